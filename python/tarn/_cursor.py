"""The cursor that travels with every batch of a stream."""

from __future__ import annotations

import struct
import typing

from .errors import TarnError

_LAYOUT = struct.Struct("<4sHHQIIQQII")
_LAST = 1


class Cursor(typing.NamedTuple):
    """Where a stream is after a batch."""

    plan: int
    epoch: int
    rows: int
    step: int
    next_position: int
    last: bool

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
        return cls(plan, epoch, rows, step, position, bool(flags & _LAST))
