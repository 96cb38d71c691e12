"""Streams as NumPy arrays: `for batch in tarn.numpy.batches(stream)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ._columns import array
from ._mix import Mix
from ._stream import Stream


def batches(stream: Stream | Mix) -> Iterator[dict[str, np.ndarray[Any, Any] | list[Any]]]:
    """Batches as dicts of arrays of shape `[rows, *tensor]`, one per column.

    Arrays of numbers are read-only views of what arrived, without a copy. Columns of other types are lists; times
    are 64-bit integers in the unit of their column. Raises what the stream raises, and `InvalidData` for a NULL in a
    column of integers.
    """
    for batch in stream:
        yield {name: array(column, name) for name, column in zip(batch.schema.names, batch.columns)}
