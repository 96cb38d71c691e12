"""Reads a Delta table with deltalake and polars, and its sources with netCDF4; prints both."""

import json
import sys

import deltalake
import netCDF4
import numpy as np
import polars
import pyarrow.compute as pc

table, *files = sys.argv[1:]
delta = deltalake.DeltaTable(table)
rows = delta.to_pyarrow_table()
ta = rows["ta"]
lazy = polars.read_delta(table)["ta"].cast(polars.Float64)
cells = [netCDF4.Dataset(file)["ta"][:].astype("f8").ravel() for file in files]
cells = np.ma.concatenate(cells)
# What netCDF4 masks is NULL; the sum is a double's.
source = {
    "rows": int(cells.size),
    "nulls": int(np.ma.count_masked(cells)),
    "min": float(cells.min()),
    "max": float(cells.max()),
    "sum": round(float(cells.sum()), 6),
}
written = {
    "rows": rows.num_rows,
    "nulls": ta.null_count,
    "min": pc.min(ta).as_py(),
    "max": pc.max(ta).as_py(),
    "sum": round(pc.sum(ta.cast("float64")).as_py(), 6),
}
by_polars = {
    "rows": lazy.len(),
    "nulls": lazy.null_count(),
    "min": lazy.min(),
    "max": lazy.max(),
    "sum": round(lazy.sum(), 6),
}
fields = {field["name"]: field["metadata"] for field in json.loads(delta.schema().to_json())["fields"]}
configuration = delta.metadata().configuration
protocol = delta.protocol()
print(
    json.dumps(
        {
            "source": source,
            "deltalake": written,
            "polars": by_polars,
            "units": fields["ta"]["units"],
            "calendar": fields["time"].get("calendar"),
            "time_units": fields["time"].get("units"),
            "models": rows["model"].unique().to_pylist(),
            "interval": configuration["delta.checkpointInterval"],
            "features": [protocol.reader_features, protocol.writer_features],
        }
    )
)
