"""Batches from the node's own files, on the machine of the node: mapped and not sent."""

from __future__ import annotations

import os
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

from ._cursor import Cursor
from ._order import Order

if TYPE_CHECKING:
    from ._stream import Stream

SCHEME = b"tarn+mmap://"
# How often the node is asked whether the stream is still allowed.
RECHECK = 15.0
# Files that are open at once.
_MOST = 8192


class Gone(Exception):
    """A file of the node cannot be mapped: it was removed to make room, or belongs to another account."""


def machine() -> dict[str, str]:
    """The header by which a node knows that the client is on its machine; none where there is no such number."""
    try:
        return {"machine": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()}
    except OSError:
        return {}


def folder_of(endpoint: flight.FlightEndpoint) -> str | None:
    """Where the node's files are, if it says so and this account may read them."""
    for location in endpoint.locations:
        if location.uri.startswith(SCHEME):
            path = urllib.parse.unquote(location.uri[len(SCHEME) :].decode())
            return path if os.access(path, os.R_OK | os.X_OK) else None
    return None


class _Files:
    """Files by number, each with the rows of `pack` blocks."""

    def __init__(self, folder: str, pack: int) -> None:
        self._folder, self._name = folder, "pack-{}.arrow" if pack > 1 else "{}.arrow"
        self._open: dict[int, pa.RecordBatch] = {}

    def rows(self, number: int) -> pa.RecordBatch:
        found = self._open.get(number)
        if found is None:
            if len(self._open) >= _MOST:
                self._open.clear()
            try:
                with pa.ipc.open_file(pa.memory_map(os.path.join(self._folder, self._name.format(number)))) as reader:
                    found = reader.get_batch(0)
            except (OSError, pa.ArrowException) as error:
                raise Gone(str(error)) from error
            self._open[number] = found
        return found


def _runs(files: Any, rows: Any) -> list[tuple[int, int, int]]:
    """File, first row and number of rows that follow each other."""
    breaks = np.nonzero((np.diff(files) != 0) | (np.diff(rows) != 1))[0] + 1
    starts = [0, *breaks.tolist()] if len(files) else []
    ends = [*starts[1:], len(files)]
    return [(int(files[start]), int(rows[start]), end - start) for start, end in zip(starts, ends)]


def _gather(files: _Files, runs: list[tuple[int, int, int]], schema: pa.Schema) -> pa.RecordBatch:
    parts = [files.rows(file).slice(first, rows) for file, first, rows in runs]
    if len(parts) == 1:
        return parts[0]
    columns = []
    for number, field in enumerate(schema):
        arrays = [part.column(number) for part in parts]
        if isinstance(field.type, pa.BaseExtensionType):
            joined = pa.concat_arrays([array.storage for array in arrays])
            columns.append(pa.ExtensionArray.from_storage(field.type, joined))
        else:
            columns.append(pa.concat_arrays(arrays))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def batches(
    stream: Stream, plan: dict[str, Any], folder: str, position: int, ask: Callable[[], None]
) -> Iterator[tuple[pa.RecordBatch, Cursor]]:
    """Batches from a position on, with the cursors that the node would have sent. `ask` raises when the stream is no
    longer allowed. Raises `Gone` where the files are."""
    rows = np.repeat([rows for _, rows in plan["blocks"]], [count for count, _ in plan["blocks"]])
    request = stream.request
    shuffle = (request["seed"], request["epoch"]) if request["shuffle"] else None
    order, pack, schema = Order(rows, plan["window_blocks"], shuffle), int(plan["pack"]), stream.schema
    files, begins = _Files(folder, pack), np.concatenate([[0], np.cumsum(rows)])
    size, everyone, selected = stream.batch_size, stream.global_batch, int(plan["selected"])
    short, steps = int.from_bytes(bytes.fromhex(plan["plan_id"])[:8], "little"), int(plan["steps"])
    asked = time.monotonic()
    for step in range(steps):
        if time.monotonic() - asked > RECHECK:
            ask()
            asked = time.monotonic()
        first = position + step * everyone + stream.rank * size
        blocks, places = order.read(first, min(first + size, selected))
        numbers = blocks // pack
        found = _gather(files, _runs(numbers, places + begins[blocks] - begins[numbers * pack]), schema)
        after = min(position + (step + 1) * everyone, selected)
        yield found, Cursor(short, stream.epoch, found.num_rows, step, after, step + 1 == steps)
