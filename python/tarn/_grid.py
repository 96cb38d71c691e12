"""A table of cells as a grid: its axes, and the SQL that reads a part of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from .errors import DataLoss, InvalidArgument

if TYPE_CHECKING:
    from ._dataset import Dataset
    from ._lake import Lake

Values = np.ndarray[Any, Any]


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclasses.dataclass
class Axis:
    """A dimension: its field in the table, and its values in the order of the grid."""

    field: pa.Field
    values: Values

    def __post_init__(self) -> None:
        self._order = np.argsort(self.values, kind="stable")
        self._sorted = self.values[self._order]

    @property
    def name(self) -> str:
        """The name of the dimension."""
        return str(self.field.name)

    @property
    def is_index(self) -> bool:
        """Whether it only counts: the node numbers the indices of a dimension without coordinate."""
        counts = pa.types.is_int64(self.field.type) and not self.field.metadata
        return counts and np.array_equal(self.values, np.arange(len(self.values)))

    def find(self, values: Values) -> Values:
        """The index of each value."""
        return np.asarray(self._order[np.searchsorted(self._sorted, values)])

    def condition(self, chosen: Values) -> str | None:
        """SQL that is true for the values at these indices (each once), or None for all of them."""
        if len(chosen) == len(self.values):
            return None
        ranks = np.sort(np.searchsorted(self._sorted, self.values[chosen]))
        if len(ranks) > 2 and ranks[-1] - ranks[0] == len(ranks) - 1:
            return (
                f"{quoted(self.name)} BETWEEN {literal(self._sorted[ranks[0]])} AND {literal(self._sorted[ranks[-1]])}"
            )
        return f"{quoted(self.name)} IN ({', '.join(literal(value) for value in self.values[chosen])})"


def literal(value: Any) -> str:
    """A value of an axis in SQL, exactly: a float32 is compared as the double that it is."""
    if isinstance(value, np.datetime64):
        return f"TIMESTAMP '{value}'"
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    return "'" + str(value).replace("'", "''") + "'"


class Grid:
    """A table of cells whose rows are the combinations of its axes."""

    def __init__(self, dataset: Dataset, table: str, dims: Sequence[str] | None, where: str | None) -> None:
        self.lake: Lake = dataset.lake
        self.table, self._name, self._where = table, dataset.sql_name(table), where
        self.schema: pa.Schema = self.lake.sql(f"SELECT * FROM {self._name} LIMIT 0").schema
        rows = self._ask("count(*)")[0].to_numpy()[0]
        if dims is not None:
            missing = [name for name in dims if name not in self.schema.names]
            if missing:
                raise InvalidArgument(
                    f"{table} has no column {', '.join(missing)}; it has {', '.join(self.schema.names)}"
                )
            self.axes = [self._axis(name, dataset) for name in dims]
        else:
            self.axes = self._leading_axes(rows, dataset)
        self.shape = tuple(len(axis.values) for axis in self.axes)
        if rows > math.prod(self.shape):
            raise InvalidArgument(f"{', '.join(self.dims)} do not name each row of {table} once; pass dims=[…]")
        # Only where dims were given: cells without a row are missing values.
        self.sparse = bool(rows < math.prod(self.shape))

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def variables(self) -> list[pa.Field]:
        """Fields that are no axes."""
        return [field for field in self.schema if field.name not in self.dims]

    def _ask(self, columns: str, rest: str = "") -> list[pa.ChunkedArray]:
        where = f" WHERE ({self._where})" if self._where else ""
        return list(self.lake.sql(f"SELECT {columns} FROM {self._name}{where}{rest}").arrow().columns)

    def _axis(self, name: str, dataset: Dataset) -> Axis:
        column = quoted(name)
        values = _plain(self._ask(column, f" GROUP BY {column}")[0], name)
        values = np.sort(values)
        # SQL has no order of its own; that of the file can be had where a small table holds the axis alone.
        own = next((known for known in dataset.tables() if known["name"] == name), None)
        if own is not None and own["columns"][0]["name"] == name and own["rows"] == len(values):
            listed = self.lake.sql(f"SELECT {column} FROM {dataset.sql_name(name)}").arrow().column(0)
            listed = _plain(listed, name)
            if np.array_equal(np.sort(listed), values):
                values = listed
        return Axis(self.schema.field(name), values)

    def _leading_axes(self, rows: int, dataset: Dataset) -> list[Axis]:
        """The columns that the table is named after, else the fewest leading ones that name as many rows as there are."""
        if self.table == "scalar" and rows == 1:
            return []
        names = self.schema.names
        named = [count for count in range(1, len(names) + 1) if self.table.endswith("_".join(names[:count]))]
        axes: list[Axis] = []
        for count, name in enumerate(names, 1):
            if pa.types.is_nested(self.schema.field(name).type):
                break
            axes.append(self._axis(name, dataset))
            product = math.prod(len(axis.values) for axis in axes)
            if product == rows and (not named or count >= max(named)):
                return axes
            if product > rows:
                break
        raise InvalidArgument(
            f"the rows of {self.table} do not fill a grid of its leading columns; pass dims=[…], the columns that are "
            "dimensions, or use sql(…)"
        )

    def read(self, name: str, chosen: Sequence[Values], into: Any) -> None:
        """Reads the cells of a variable at some indices of each axis (each once), batch by batch.

        `into(positions, column)` takes the positions in the flattened selection and the values there.
        """
        conditions = [axis.condition(indices) for axis, indices in zip(self.axes, chosen)]
        conditions += [f"({self._where})"] if self._where else []
        where = " AND ".join(condition for condition in conditions if condition)
        # An axis of which one index is chosen has the same value in every row.
        wide = [number for number, indices in enumerate(chosen) if len(indices) > 1]
        columns = ", ".join(quoted(self.axes[number].name) for number in wide)
        columns = f"{columns}, {quoted(name)}" if columns else quoted(name)
        query = f"SELECT {columns} FROM {self._name}" + (f" WHERE {where}" if where else "")
        places = [_inverse(indices, len(axis.values)) for axis, indices in zip(self.axes, chosen)]
        shape = [len(indices) for indices in chosen]
        rows = 0
        for batch in self.lake.sql(query).batches():
            positions = np.zeros(batch.num_rows, np.intp)
            for column, number in zip(batch.columns, wide):
                axis = self.axes[number]
                found = places[number][axis.find(_plain(column, axis.name))]
                positions += found * math.prod(shape[number + 1 :])
            into(positions, batch.columns[-1])
            rows += batch.num_rows
        if rows != math.prod(shape) and not self.sparse:
            raise DataLoss(f"{self.table} gave {rows} cells where {math.prod(shape)} were asked for; open it again")


def _inverse(indices: Values, length: int) -> Values:
    places = np.zeros(length, np.intp)
    places[indices] = np.arange(len(indices))
    return places


def _plain(column: pa.Array | pa.ChunkedArray, name: str) -> Values:
    if column.null_count:
        raise InvalidArgument(
            f"column {name} has NULL and cannot be a dimension; pass dims=[…] or where='{name} IS NOT NULL'"
        )
    return np.asarray(column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy())
