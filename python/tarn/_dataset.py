"""Datasets and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._stream import Stream
from .errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    import xarray

    from ._lake import Lake


class Dataset:
    """A dataset of a node's lab: `name` (`lab.name`), `version`, and all that the node says of it in `info`."""

    def __init__(self, lake: Lake, name: str) -> None:
        self.lake = lake
        if name.count(".") > 1:
            dataset, table = name.rsplit(".", 1)
            raise InvalidArgument(f"{name!r} is a table: write lake.dataset({dataset!r}) and name the table {table!r}")
        self.info: dict[str, Any] = lake.action("tarn.dataset", {"dataset": name})
        self.name = f"{self.info['lab']}.{self.info['name']}"
        self.version: int = self.info["version"]

    def __repr__(self) -> str:
        return f"<tarn.Dataset {self.name}@{self.version}>"

    def tables(self) -> list[dict[str, Any]]:
        """Tables with their layout, rows and columns."""
        tables: list[dict[str, Any]] = self.info["tables"]
        return tables

    def table(self, name: str | None) -> dict[str, Any]:
        """A table; the only one without a name. Raises `NotFound`."""
        tables = {str(known["name"]): known for known in self.tables()}
        if name is None and len(tables) == 1:
            return next(iter(tables.values()))
        if name is None or name not in tables:
            raise NotFound(f"dataset {self.name} has the tables {', '.join(tables)}; name one of them")
        return tables[name]

    def sql_name(self, table: str) -> str:
        """A table at this version, as SQL writes it."""
        return f'"{self.info["lab"]}"."{self.info["name"]}@{self.version}"."{table}"'

    def to_xarray(
        self,
        table: str | None = None,
        dims: Sequence[str] | None = None,
        where: str | None = None,
        chunks: Mapping[str, int] | None = None,
    ) -> xarray.Dataset:
        """The cells of a table as an `xarray.Dataset` that reads nothing but its axes until values are asked for.

        Without a table it has those of all tables, as `xarray.open_dataset` would make of the file that they come
        from. A selection becomes SQL with conditions on the axes, so that only what is selected leaves the node; it
        is read again each time, so `load()` what is used more than once. `dims` names the columns that are
        dimensions; without it they are the leading columns whose combinations are the rows. `where` is a SQL
        condition on the rows. `chunks` makes dask arrays, and needs dask.

        Missing values are NaN, times are `datetime64` or, in other calendars, dates of cftime, as xarray decodes
        them. An axis has the order of its own table where the dataset has one, else it ascends. Raises
        `InvalidArgument` where rows do not fill a grid, or where tables have different axes of one name.
        """
        from ._xarray import open_tables

        names = [known["name"] for known in self.tables()] if table is None else [self.table(table)["name"]]
        if len(names) > 1 and dims is not None:
            raise InvalidArgument("dims are those of one table; name it")
        found = open_tables(self, names, dims, where)
        return found if chunks is None else found.chunk(chunks)

    def stream(self, table: str | None = None, **request: Any) -> Stream:
        """A training stream of a table at this version; see `tarn.Stream` for the fields of a request."""
        request.setdefault("version", self.version)
        return self.lake.stream(f"{self.name}.{self.table(table)['name']}", **request)
