"""Grids as `xarray.Dataset`: lazy, with the attributes, missing values and times that xarray makes of the same file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xarray
from xarray.backends import BackendArray
from xarray.core import indexing

from ._cf import Decoding, split_attributes
from ._grid import Grid, Values
from .errors import InvalidArgument

if TYPE_CHECKING:
    from ._dataset import Dataset


class LazyArray(BackendArray):
    """A variable of a grid, read where it is indexed."""

    def __init__(self, grid: Grid, field: pa.Field) -> None:
        self.grid, self.name = grid, field.name
        self.decoding = Decoding(field, grid.sparse)
        self.shape = grid.shape
        self.dtype = self.decoding.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> Values:
        every = [np.arange(length) for length in self.shape]
        picked = [np.atleast_1d(indices[part]) for indices, part in zip(every, key)]
        # The node gives each cell once; an index that is asked for twice is repeated here.
        unique = [np.unique(indices, return_inverse=True) for indices in picked]
        chosen = [indices for indices, _ in unique]
        flat = self.decoding.missing(int(np.prod([len(indices) for indices in chosen], dtype=np.int64)))

        def into(positions: Values, column: pa.Array) -> None:
            flat[positions] = self.decoding.raw(column)

        if flat.size:
            self.grid.read(self.name, chosen, into)
        values = self.decoding.decoded(flat).reshape([len(indices) for indices in chosen])
        values = values[np.ix_(*(inverse for _, inverse in unique))] if unique else values
        kept = tuple(0 if isinstance(part, (int, np.integer)) else slice(None) for part in key)
        return np.asarray(values[kept])


def open_tables(
    dataset: Dataset, tables: Sequence[str], dims: Sequence[str] | None, where: str | None
) -> xarray.Dataset:
    """The variables of some tables of cells with their coordinates."""
    variables: dict[str, xarray.Variable] = {}
    axes: dict[str, Values] = {}
    coordinates: set[str] = set()
    for table in tables:
        if dataset.table(table)["layout"] == "tensors":
            raise InvalidArgument(f"{table} is a table of tensors; stream it, or ingest its files as cells")
        grid = Grid(dataset, table, dims, where)
        for axis in grid.axes:
            if not np.array_equal(axes.setdefault(axis.name, axis.values), axis.values):
                raise InvalidArgument(
                    f"tables of {dataset.name} have different {axis.name}; name one: {', '.join(tables)}"
                )
            if not axis.is_index:
                decoding = Decoding(axis.field, False)
                values = decoding.decoded(decoding.raw(pa.array(axis.values, axis.field.type)))
                variables.setdefault(axis.name, _variable((axis.name,), values, axis.field, coordinates))
        for field in grid.variables:
            if field.name in variables:
                raise InvalidArgument(
                    f"several tables of {dataset.name} have {field.name}; name one: {', '.join(tables)}"
                )
            lazy = indexing.LazilyIndexedArray(LazyArray(grid, field))
            variables[field.name] = _variable(grid.dims, lazy, field, coordinates)
    coords = {name: variable for name, variable in variables.items() if name in axes or name in coordinates}
    data = {name: variable for name, variable in variables.items() if name not in coords}
    told = {
        "title": dataset.info["title"],
        "ark": dataset.info["ark"],
        "tarn_dataset": f"{dataset.name}@{dataset.version}",
    }
    return xarray.Dataset(data, coords, told)


def _variable(dims: tuple[str, ...], values: Any, field: pa.Field, coordinates: set[str]) -> xarray.Variable:
    attributes, encoding = split_attributes(field)
    coordinates.update(str(encoding.get("coordinates", "")).split())
    return xarray.Variable(dims, values, attributes, encoding)
