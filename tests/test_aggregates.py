"""Aggregates over files in place, beside DuckDB over the same cells read by netCDF4."""

import duckdb
import netCDF4
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from fields import FORMATS, random_netcdf, read_masked

QUESTIONS = [
    "SELECT count(*), count(temp), avg(temp), min(temp), max(temp), sum(count), avg(packed) FROM cells",
    "SELECT lat, count(*), count(temp), avg(temp), min(temp), max(temp), sum(count) FROM cells GROUP BY lat",
    "SELECT lon, avg(packed), stddev(count), max(flag), count(flag) FROM cells GROUP BY lon",
    "SELECT lat > 0, lon, sum(temp), min(packed) FROM cells GROUP BY lat > 0, lon",
    "SELECT lat, lon, avg(temp), count(count) FROM cells GROUP BY lat, lon",
    "SELECT lat, count(*), sum(temp) FROM cells WHERE packed > 280.0037 GROUP BY lat",
    "SELECT count(*), avg(packed) FROM cells WHERE temp > packed - 280 AND lon < 180",
    "SELECT sum(temp * cos(radians(lat))) / sum(cos(radians(lat))) FROM cells WHERE temp IS NOT NULL",
    "SELECT floor(lon / 30), sum(count) FILTER (WHERE temp > 0) FROM cells GROUP BY floor(lon / 30)",
    "SELECT min(lat), max(lat), min(lon), max(lon), count(lat) FROM cells",
]


def rows(table):
    """Rows in one order, as Python values."""
    key = lambda row: [(value is None, value) for value in row[:3]]  # noqa: E731
    return sorted((list(row.values()) for row in table.to_pylist()), key=key)


def oracle(path):
    """The cells of a file as DuckDB's table, read by netCDF4."""
    fields, axes, _, _ = read_masked(path)
    shape = fields["temp"].shape
    lat = np.broadcast_to(axes["lat"][None, :, None], shape)
    lon = np.broadcast_to(axes["lon"][None, None, :], shape)
    columns = {"lat": pa.array(lat.ravel()), "lon": pa.array(lon.ravel())}
    for name in ("temp", "packed", "count", "flag"):
        cells = fields[name].ravel()
        columns[name] = pa.array(np.ma.getdata(cells), mask=np.ma.getmaskarray(cells))
    database = duckdb.connect()
    database.register("cells", pa.table(columns))
    return database


@pytest.mark.parametrize("file_format", FORMATS)
def test_aggregates_are_those_of_duckdb(tarn, tmp_path, file_format):
    path = random_netcdf(tmp_path / "f.nc", 500 + FORMATS.index(file_format), file_format)
    database = oracle(path)
    for question in QUESTIONS:
        out = tmp_path / "out.arrow"
        query = question.replace("FROM cells", f"FROM read_netcdf('{path}', 'time_lat_lon')")
        tarn.run("sql", query, "--format", "arrow", "--output", out)
        with pa.ipc.open_stream(out) as reader:
            got = rows(reader.read_all())
        want = rows(database.sql(question).to_arrow_table())
        assert len(got) == len(want), question
        for one, other in zip(got, want):
            # The packed values of netCDF4 are doubles, ours have xarray's dtype.
            assert one == pytest.approx(other, rel=2e-6, abs=1e-6), question


def test_a_mean_by_latitude_makes_no_cells(tarn, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 3, "NETCDF4")
    query = f"EXPLAIN SELECT lat, avg(temp) FROM read_netcdf('{path}', 'time_lat_lon') GROUP BY lat"
    plan = tarn.run("sql", query).out
    assert "GridAggregateExec" in plan and "GridScanExec" not in plan
    with netCDF4.Dataset(path) as file:
        assert f"rows={file['temp'].size}/{file['temp'].size}" in plan
