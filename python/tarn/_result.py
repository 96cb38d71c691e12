"""Answers to queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.flight as flight

from ._wire import statement
from .errors import translated

if TYPE_CHECKING:
    import pandas
    import polars

    from ._lake import Lake


class Result:
    """The answer to a query. It runs when the rows are first asked for. `schema` is that of its rows."""

    def __init__(self, lake: Lake, query: str, partial: str) -> None:
        self._lake, self._query, self._partial = lake, query, partial
        self._table: pa.Table | None = None
        self._sites: list[dict[str, Any]] | None = None
        self._info: flight.FlightInfo | None = self._plan()
        self.schema: pa.Schema = self._info.schema

    def _plan(self) -> flight.FlightInfo:
        descriptor = flight.FlightDescriptor.for_command(statement(self._query))
        return self._lake.call(
            lambda: self._lake.client.get_flight_info(descriptor, self._lake.options(partial=self._partial))
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches as they arrive. Asking again runs the query again, unless it was read whole."""
        if self._table is not None:
            yield from self._table.to_batches()
            return
        info, self._info = self._info or self._plan(), None
        options = self._lake.options(partial=self._partial)
        for endpoint in info.endpoints:
            with translated():
                reader = self._lake.client.do_get(endpoint.ticket, options)
            while True:
                with translated():
                    try:
                        chunk = reader.read_chunk()
                    except StopIteration:
                        break
                if chunk.app_metadata is not None:
                    self._sites = json.loads(chunk.app_metadata.to_pybytes())["sites"]
                if chunk.data is not None and chunk.data.num_rows:
                    yield chunk.data

    def arrow(self) -> pa.Table:
        """All rows as a `pyarrow.Table`."""
        if self._table is None:
            self._table = pa.Table.from_batches(self.batches(), self.schema)
        return self._table

    def pandas(self) -> pandas.DataFrame:
        """All rows as a `pandas.DataFrame`."""
        frame: pandas.DataFrame = self.arrow().to_pandas()
        return frame

    def polars(self) -> polars.DataFrame:
        """All rows as a `polars.DataFrame`."""
        import polars

        frame = polars.from_arrow(self.arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    @property
    def sites(self) -> list[dict[str, Any]]:
        """How each lab took part: `[{"lab", "status", "rows", "bytes", "ms", …}]`. Reads all rows first."""
        if self._sites is None:
            self.arrow()
        return self._sites or []

    def __repr__(self) -> str:
        return f"<tarn.Result {', '.join(self.schema.names)}>"
