"""`tarn ingest` into Delta: what it writes is read by others, with the same sums."""

from pathlib import Path

import duckdb
import duckdb_extension_delta
import netCDF4
import numpy as np
import polars
import pytest
from deltalake import DeltaTable
from fields import FORMATS, random_netcdf, read_masked
from records import write_record

COLUMNS = ("temp", "count", "flag")


@pytest.fixture
def ingested(lab_with, tmp_path):
    """A lab with three files of different formats in one Delta table, and the files."""
    files = [random_netcdf(tmp_path / f"f{i}.nc", 60 + i, FORMATS[i], "noleap") for i in range(3)]
    lab = lab_with(files)
    done = lab.run("ingest", *files, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon", "--json")
    return lab, files, done.json()


def truth(files):
    """Rows, and for each column its count and sum, by netCDF4."""
    fields = [read_masked(path)[0] for path in files]
    rows = sum(field["temp"].size for field in fields)
    sums = {
        name: (
            sum(int(field[name].count()) for field in fields),
            sum(float(field[name].astype("f8").sum()) for field in fields if field[name].count()),
        )
        for name in COLUMNS
    }
    return rows, sums


def folder_of(lab, dataset="data", table="cells"):
    """Where the Delta table lies."""
    return lab.home / "store" / dataset / table


def test_deltalake_duckdb_and_polars_read_the_table_with_the_sums_of_netcdf4(ingested):
    lab, files, report = ingested
    rows, sums = truth(files)
    assert report["rows_added"] == rows
    assert report["files_added"] == len(files)
    path = str(folder_of(lab))

    arrow = DeltaTable(path).to_pyarrow_table()
    assert arrow.num_rows == rows
    by_polars = polars.read_delta(path)
    connection = duckdb.connect()
    load_delta(connection)
    for name, (count, total) in sums.items():
        values = np.asarray(arrow[name].drop_null(), dtype="f8")
        assert (len(values), values.sum()) == (count, pytest.approx(total, rel=1e-9)), name
        column = by_polars[name].drop_nulls().cast(polars.Float64)
        assert (len(column), column.sum()) == (count, pytest.approx(total, rel=1e-9)), name
        query = f"SELECT count({name}), sum({name}::DOUBLE) FROM delta_scan('{path}')"
        assert connection.execute(query).fetchone() == (count, pytest.approx(total, rel=1e-9)), name
        assert lab.sql(f"SELECT count({name}), sum(CAST({name} AS DOUBLE)) FROM data.cells").rows == [
            [count, pytest.approx(total, rel=1e-9)]
        ]


def load_delta(connection):
    """DuckDB's extension from its PyPI package, without the network."""
    [extension] = Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")


def test_units_and_standard_names_stand_in_the_table_s_schema(ingested):
    lab, _, _ = ingested
    [field] = [field for field in DeltaTable(str(folder_of(lab))).schema().fields if field.name == "temp"]
    assert field.metadata["units"] == "K"
    assert field.metadata["standard_name"] == "air_temperature"


def test_repeating_an_ingest_adds_nothing(ingested):
    lab, files, first = ingested
    again = lab.run(
        "ingest", *files, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon", "--json"
    ).json()
    assert (again["rows_added"], again["files_added"], again["files_skipped"]) == (0, 0, len(files))
    assert again["version"] == first["version"]
    assert DeltaTable(str(folder_of(lab))).version() == first["tables"][0]["version"]


def test_a_new_file_joins_the_table_and_makes_a_version(ingested, tmp_path):
    lab, files, first = ingested
    more = random_netcdf(tmp_path / "more.nc", 99, "NETCDF4", "noleap")
    # The record says which files the dataset has, so it comes first, and is a version itself.
    lab.run("register", write_record(tmp_path / "ornl.yaml", [*files, more]))
    report = lab.run(
        "ingest", *files, more, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon", "--json"
    ).json()
    assert (report["files_added"], report["files_skipped"]) == (1, len(files))
    assert report["version"] == first["version"] + 2
    rows, sums = truth([*files, more])
    assert lab.sql("SELECT count(*), count(temp) FROM data.cells").rows == [[rows, sums["temp"][0]]]
    versions = lab.run("versions", "data", "--json").json()
    assert [version["version"] for version in versions] == list(range(1, report["version"] + 1))


def test_in_place_and_delta_answer_alike(ingested):
    lab, files, _ = ingested
    lab.run("ingest", *files, "--dataset", "data", "--table", "here", "--grid", "time_lat_lon", "--in-place")
    query = """SELECT lat, count(*), count(temp), min(temp), max(temp), sum(CAST(count AS BIGINT)) FROM data.{}
               WHERE lon < 10 GROUP BY lat ORDER BY lat"""
    assert lab.sql(query.format("here")).rows == lab.sql(query.format("cells")).rows


def test_a_file_in_place_that_changed_is_refused_by_name(ingested):
    lab, files, _ = ingested
    lab.run("ingest", *files, "--dataset", "data", "--table", "here", "--grid", "time_lat_lon", "--in-place")
    with netCDF4.Dataset(files[0], "a") as file:
        file["temp"][0, 0, 0] = 1.0
    done = lab.run("sql", "SELECT sum(temp) FROM data.here", code=None)
    assert done.code in (1, 5)
    assert files[0].name in done.err
    assert "changed" in done.err


def test_every_grid_becomes_a_table_where_none_is_named(lab_with, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 70, "NETCDF4", "noleap")
    lab = lab_with([path])
    lab.run("ingest", path, "--dataset", "data")
    tables = {
        row[0] for row in lab.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'data'").rows
    }
    assert {"time_lat_lon", "scalar"} <= tables


def test_a_file_that_does_not_fit_stops_the_ingest_and_leaves_nothing(lab_with, tmp_path):
    good = random_netcdf(tmp_path / "good.nc", 71, "NETCDF4", "noleap")
    bad = tmp_path / "bad.nc"
    bad.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    lab = lab_with([good])
    done = lab.run("ingest", good, bad, "--dataset", "data", "--table", "cells", code=5)
    assert "bad.nc" in done.err
    lab.run("sql", "SELECT count(*) FROM data.cells", code=4)
    assert not list((lab.home / "store").rglob("*.json")), "a Delta log was begun"
    lab.run("ingest", good, "--dataset", "data", "--table", "cells")
