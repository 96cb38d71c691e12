"""The cursor that travels with every batch of a stream."""

from __future__ import annotations

import base64
import struct
import typing

from .errors import TarnError

_LAYOUT = struct.Struct("<4sHHQIIQQII")
_LAST, _HEARTBEAT, _PADDED = 1, 2, 4


class Cursor(typing.NamedTuple):
    """Where a stream is after a batch. `rows` are those that count; `padded` says that the batch has more. `token` is the
    same place sealed by the node, which says in a receipt what was sent until then."""

    plan: int
    epoch: int
    rows: int
    step: int
    next_position: int
    last: bool
    heartbeat: bool = False
    padded: bool = False
    token: str | None = None

    @classmethod
    def parse(cls, metadata: typing.Any) -> Cursor:
        """Reads the cursor in `app_metadata` of a batch.

        Raises `TarnError` where the bytes are none of a version that this client knows.
        """
        if metadata is None or len(metadata) < _LAYOUT.size or bytes(metadata[:4]) != b"TRNC":
            raise TarnError("the batch has no cursor; is the other end a node of Tarn?")
        _, version, flags, plan, epoch, rows, step, position, _, _ = _LAYOUT.unpack_from(metadata)
        if version != 1:
            raise TarnError(f"the batch has a cursor of version {version}, which this client does not know; update it")
        sealed = bytes(metadata[_LAYOUT.size :])
        token = base64.urlsafe_b64encode(sealed).decode().rstrip("=") if sealed else None
        last, heartbeat, padded = (bool(flags & flag) for flag in (_LAST, _HEARTBEAT, _PADDED))
        return cls(plan, epoch, rows, step, position, last, heartbeat, padded, token)
