"""Streams for PyTorch: `DataLoader(tarn.torch.StreamDataset(stream), batch_size=None)`."""

import copy

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info


def _values(column):
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        values = column.to_numpy_ndarray()
    elif pa.types.is_primitive(kind) and not pa.types.is_temporal(kind):
        values = column.to_numpy(zero_copy_only=False)
    elif pa.types.is_timestamp(kind):
        values = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    else:
        return column.to_pylist()
    # torch has no read-only tensors: numpy copies once where Arrow's memory may not be written.
    return torch.from_numpy(np.require(values, requirements=["W", "C"]))


class StreamDataset(IterableDataset):
    """Batches as dicts of tensors, one per column; columns of other types are lists.

    With `num_workers=0`, the fast way, batches come straight from the stream. With W workers, worker w takes the
    steps w, w + W, …, so that DataLoader's round robin keeps the order.
    """

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def __len__(self):
        return len(self.stream)

    def set_epoch(self, epoch):
        """The next iteration is of this epoch."""
        self.stream.set_epoch(epoch)

    def state_dict(self):
        """The position after the last batch, the same on every rank."""
        return self.stream.state()

    def load_state_dict(self, state):
        """Goes on at a position."""
        self.stream.load_state(state)

    def __iter__(self):
        for batch in _share(self.stream):
            yield {name: _values(column) for name, column in zip(batch.schema.names, batch.columns)}


def _share(stream):
    """The steps of this worker: as a rank of a world that is as many times larger as there are workers."""
    worker = get_worker_info()
    if worker is None or worker.num_workers == 1:
        yield from stream
        return
    start = stream._first if stream._first is not None else stream.start
    world, rank = stream.request["world_size"], stream.request["rank"]
    left = (stream.plan["selected"] - start) // stream.global_batch
    rounds = left // worker.num_workers
    part = copy.copy(stream)
    part.request = {
        **stream.request,
        "start": start,
        "world_size": world * worker.num_workers,
        "rank": worker.id * world + rank,
        "drop_last": True,
    }
    part._first = None
    for number, batch in enumerate(part):
        done = number * worker.num_workers + worker.id + 1
        stream._position = start + done * stream.global_batch
        yield batch
    # Steps that do not fill a round, and a last partial batch, go to one worker each.
    step = rounds * worker.num_workers + worker.id
    steps = left if stream.drop_last else len(_from(stream, start))
    if step < steps:
        rest = _from(stream, start + step * stream.global_batch)
        yield next(iter(rest))


def _from(stream, start):
    part = copy.copy(stream)
    part.request, part._first = {**stream.request, "start": start}, None
    return part
