"""Columns of a batch as arrays, without a copy wherever Arrow's memory is already what NumPy would have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from .errors import InvalidData


def flat_values(column: pa.Array, name: str) -> tuple[pa.Array | None, tuple[int, ...]]:
    """Numbers of a column in one row after the other, and the shape that they have; no numbers: None.

    Raises `InvalidData` for a NULL in a column that has no number to stand for it.
    """
    kind, shape = column.type, (len(column),)
    if isinstance(kind, pa.FixedShapeTensorType):
        if column.null_count:
            raise InvalidData(_null(name))
        # In the order of memory: `permuted` turns them into that of the tensor.
        # `flatten` would do the same, and import half of pyarrow before the first batch.
        storage, width = column.storage, column.type.storage_type.list_size
        values = storage.values.slice(storage.offset * width, len(storage) * width)
        shape, column = (len(column), *kind.shape), values
        if column.null_count and pa.types.is_floating(column.type):
            # The node writes NaN under the NULLs of a tensor, so that they need no second look.
            column = pa.Array.from_buffers(column.type, len(column), [None, column.buffers()[1]], offset=column.offset)
    if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
        column = column.view(pa.int64())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None, shape
    if column.null_count:
        if not pa.types.is_floating(column.type):
            raise InvalidData(_null(name))
        column = column.fill_null(float("nan"))
    return column, shape


def permutation(column: pa.Array) -> list[int] | None:
    """The order of the axes of a batch of tensors, where it is not that of memory."""
    permuted = column.type.permutation if isinstance(column.type, pa.FixedShapeTensorType) else None
    return None if permuted is None else [0, *(axis + 1 for axis in permuted)]


def array(column: pa.Array, name: str) -> np.ndarray[Any, Any] | list[Any]:
    """A column as a read-only NumPy view of shape `[rows, *tensor]`; what is no number is a list of Python's values.

    Times are 64-bit integers in the unit of the column, Booleans an array of their own.
    """
    if pa.types.is_boolean(column.type) and not column.null_count:
        return np.asarray(column.to_numpy(zero_copy_only=False))
    values, shape = flat_values(column, name)
    if values is None:
        rows: list[Any] = column.to_pylist()
        return rows
    view = np.asarray(values.to_numpy(zero_copy_only=True)).reshape(shape)
    order = permutation(column)
    return view if order is None else view.transpose(order)


def _null(name: str) -> str:
    return f"column {name} has NULL, which no tensor of its type can hold: leave it out with filter='\"{name}\" IS NOT NULL'"
