"""The little of Flight SQL's protobuf that a query needs."""


def _field(number: int, payload: bytes) -> bytes:
    head = (number << 3 | 2).to_bytes(1, "little")
    length, size = bytearray(), len(payload)
    while True:
        size, low = size >> 7, size & 0x7F
        length.append(low | (0x80 if size else 0))
        if not size:
            return head + bytes(length) + payload


def statement(sql: str) -> bytes:
    """`CommandStatementQuery` in `google.protobuf.Any`."""
    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    return _field(1, kind) + _field(2, _field(1, sql.encode()))
