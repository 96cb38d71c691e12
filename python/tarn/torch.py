"""Streams for PyTorch: `DataLoader(tarn.torch.StreamDataset(stream), batch_size=None)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info
from torch.utils.dlpack import from_dlpack

from ._columns import array, flat_values, permutation
from ._cursor import Cursor
from ._mix import Mix
from ._stream import Stream
from .errors import InvalidArgument


class Batch(dict[str, Any]):
    """Tensors by column. `position` is the global position in rows after this batch, for `state_dict`."""

    position: int = 0


class StreamDataset(IterableDataset[Batch]):
    """Batches as dicts of tensors of shape `[rows, *tensor]`, one per column; columns of other types are lists.

    Give it to a `DataLoader` with `batch_size=None`: the node has made the batches. `num_workers=0` is the fast way,
    because the stream reads ahead in a thread and nothing is copied between processes. With W workers, worker w takes
    the steps w, w + W, …, so that the loader's round robin keeps the order. Use `multiprocessing_context="spawn"`: forked
    workers are refused once the parent has talked to the node.

    Tensors are views of what arrived, which must not be written; with `writable=True` they are copies of their own.
    With `pin_memory=True` they are copies in pinned memory, for `tensor.to(device, non_blocking=True)`. Raises
    `InvalidData` for a NULL in a column of integers, and what the stream raises.
    """

    def __init__(self, stream: Stream | Mix, *, writable: bool = False, pin_memory: bool = False) -> None:
        super().__init__()
        if pin_memory and not torch.accelerator.is_available():
            raise InvalidArgument("pin_memory=True needs an accelerator, and torch finds none here; leave it out")
        self.stream, self.writable, self.pin_memory = stream, writable, pin_memory

    def __len__(self) -> int:
        return len(self.stream)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is of this epoch. Workers that persist keep theirs, so do without `persistent_workers`."""
        self.stream.set_epoch(epoch)

    def state_dict(self, batch: Batch | None = None) -> dict[str, Any]:
        """Where to go on: behind a batch, or behind the last one that this object yielded.

        It is the same on every rank and for any number of workers. What workers yielded is not known to the object
        in the main process, so with `num_workers` above 0 give it the batch that was trained on last.
        """
        if get_worker_info() is not None:
            raise InvalidArgument(
                "a worker does not know which batch was trained on last: call state_dict(batch) in the main process, "
                "or use num_workers=0"
            )
        return self.stream.state(None if batch is None else batch.position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on where a state was taken, with any number of workers. Raises `ResumeMismatch`."""
        self.stream.load_state(state)

    def __iter__(self) -> Iterator[Batch]:
        for found, position in _share(self.stream):
            columns = zip(found.schema.names, found.columns)
            batch = Batch((name, self._tensor(column, name)) for name, column in columns)
            batch.position = position
            yield batch

    def _tensor(self, column: pa.Array, name: str) -> torch.Tensor | list[Any]:
        values, shape = flat_values(column, name)
        if values is None:
            others = array(column, name)
            return others if isinstance(others, list) else torch.from_numpy(others)
        # By DLPack, because torch warns of every NumPy array that may not be written.
        tensor: torch.Tensor = from_dlpack(values).view(shape)
        order = permutation(column)
        if order is not None:
            tensor = tensor.permute(order)
        if self.pin_memory:
            return tensor.pin_memory()
        return tensor.clone() if self.writable else tensor


def _share(stream: Stream | Mix) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The batches of this worker, each with the global position after its step."""
    worker = get_worker_info()
    if worker is None:
        yield from _with_position(stream)
        return
    yield from worker_share(stream, worker.id, worker.num_workers)


def worker_share(stream: Stream | Mix, worker: int, workers: int) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The steps `worker`, `worker + workers`, …: those of a rank in a world that is `workers` times larger."""
    start, size = stream.next_start, stream.global_batch
    rows = max(0, stream.plan["selected"] - start)
    whole, steps = rows // size, rows // size if stream.drop_last else -(-rows // size)
    rounds = whole // workers
    if rounds:
        rank, world_size = worker * stream.world_size + stream.rank, workers * stream.world_size
        # Steps that are filled have a column more.
        tail = {} if stream.request.get("tail") == "pad" else {"drop_last": True, "tail": "drop"}
        part = stream.part(start=start, rank=rank, world_size=world_size, **tail)
        for number, batch in zip(range(rounds), part):
            yield batch, start + (number * workers + worker + 1) * size
    # Steps that do not fill a round, and a last one that is not full, go to one worker each.
    step = rounds * workers + worker
    if step < steps:
        rest = stream.part(start=start + step * size, prefetch=0)
        yield from _first(rest)


def _first(stream: Stream | Mix) -> Iterator[tuple[pa.RecordBatch, int]]:
    for found in _with_position(stream):
        yield found
        return


def _with_position(stream: Stream | Mix) -> Iterator[tuple[pa.RecordBatch, int]]:
    batch: pa.RecordBatch
    cursor: Cursor
    for batch, cursor in stream.batches():
        yield batch, cursor.next_position
