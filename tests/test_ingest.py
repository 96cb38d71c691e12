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


def one_variable(path, name, values, units="1"):
    """A file with one variable along one dimension of its own."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension(f"n_{name}", len(values))
        variable = file.createVariable(name, np.asarray(values).dtype, (f"n_{name}",))
        variable.units = units
        variable[:] = values
    return path


def data_files(lab):
    """Data files in the store, whether a log names them or not."""
    return sorted((lab.home / "store").rglob("*.parquet"))


def test_a_grid_that_cannot_be_stored_leaves_nothing_of_the_others_either(lab_with, tmp_path):
    two, good = tmp_path / "two.nc", one_variable(tmp_path / "good.nc", "va", np.full(2, 7, "f4"))
    with netCDF4.Dataset(two, "w") as file:
        file.createDimension("n_va", 4)
        file.createDimension("n_vb", 3)
        file.createVariable("va", "f4", ("n_va",))[:] = 1
        file.createVariable("vb", "u8", ("n_vb",))[:] = np.array([1, 2, 2**63 + 5], "u8")
    lab = lab_with([two, good])
    done = lab.run("ingest", two, "--dataset", "data", code=5)
    assert "column vb" in done.err
    assert not data_files(lab)
    assert not list((lab.home / "store").rglob("_delta_log"))
    lab.run("ingest", good, "--dataset", "data")
    assert lab.sql("SELECT count(*), sum(va) FROM data.n_va").rows == [[2, 14.0]]


def test_a_later_commit_that_fails_says_what_was_committed_and_a_repeat_finishes(lab_with, tmp_path):
    path = tmp_path / "two.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("a", 4), ("b", 3)):
            file.createDimension(name, size)
            file.createVariable(f"v{name}", "f4", (name,))[:] = 1
    lab = lab_with([path])
    # A file where the folder of the second log should be: data can be written beside it, no commit.
    block = lab.home / "store" / "data" / "b" / "_delta_log"
    block.parent.mkdir(parents=True)
    block.write_text("in the way", encoding="utf-8")
    done = lab.run("ingest", path, "--dataset", "data", code=None)
    assert done.code != 0
    assert "committed before that: a" in done.err
    assert lab.sql("SELECT count(*) FROM data.a").rows == [[4]]
    block.unlink()
    report = lab.run("ingest", path, "--dataset", "data", "--json").json()
    assert report["rows_added"] == 3
    assert [lab.sql(f"SELECT count(*) FROM data.{table}").rows for table in "ab"] == [[[4]], [[3]]]
    assert len(data_files(lab)) == 2


def test_the_same_content_read_in_another_way_is_refused(lab_with, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 72, "NETCDF4", "noleap")
    copy = tmp_path / "copy.nc"
    copy.write_bytes(path.read_bytes())
    lab = lab_with([path])
    table = ("--dataset", "data", "--table", "cells", "--grid", "time_lat_lon")
    rows = lab.run("ingest", path, *table, "--json").json()["rows_added"]
    for file in (path, copy):
        for other in (("--select", "lat,lon,temp"), ("--column", r"name=path:(\w+)\.nc")):
            done = lab.run("ingest", file, *table, *other, code=None)
            assert done.code != 0
            assert "other options" in done.err
            assert file.name in done.err
    assert lab.sql("SELECT count(*) FROM data.cells").rows == [[rows]]
    # Another grid of the same file is other rows.
    assert lab.run("ingest", path, *table[:4], "--grid", "scalar", "--json").json()["rows_added"] == 1


def test_a_copy_is_the_same_data_in_delta_and_in_place(lab_with, tmp_path):
    path = random_netcdf(tmp_path / "a.nc", 73, "NETCDF4", "noleap")
    copies = [tmp_path / "b.nc", tmp_path / "c.nc"]
    for copy in copies:
        copy.write_bytes(path.read_bytes())
    lab = lab_with([path])
    for where in ((), ("--in-place",)):
        table = f"t{len(where)}"
        args = ("--dataset", "data", "--table", table, "--grid", "time_lat_lon", "--json", *where)
        first = lab.run("ingest", path, copies[0], *args).json()
        assert (first["files_added"], first["copies"]) == (1, [str(copies[0])])
        later = lab.run("ingest", copies[1], *args).json()
        assert (later["rows_added"], later["copies"]) == (0, [str(copies[1])])
        assert lab.sql(f"SELECT count(*) FROM data.{table}").rows == [[first["rows_added"]]]
        # A column that tells the path makes them other rows.
        named = (*args[:3], f"n{len(where)}", *args[4:], "--column", r"name=path:(\w+)\.nc")
        both = lab.run("ingest", path, copies[0], *named).json()
        assert (both["files_added"], both["copies"]) == (2, [])
    said = lab.run("ingest", copies[0], "--dataset", "data", "--table", "t0", "--grid", "time_lat_lon")
    assert "b.nc" in said.err


def test_names_that_differ_in_letter_case_alone_are_refused_with_a_way_out_that_works(lab_with, tmp_path):
    path = tmp_path / "case.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 3)
        for name, value in (("T", 1), ("t", 2)):
            file.createVariable(name, "f4", ("x",))[:] = value
    lab = lab_with([path])
    args = ("--dataset", "data", "--table", "cells")
    done = lab.run("ingest", path, *args, code=5)
    assert "column t" in done.err
    assert "column T " in done.err
    lab.run("ingest", path, *args, "--column", "time=variable:t", "--select", "time,T")
    assert lab.sql('SELECT sum(time), sum("T") FROM data.cells').rows == [[6.0, 3.0]]


def test_a_pinned_file_is_not_pinned_anew_in_silence(lab_with, tmp_path):
    import os

    old, new = (one_variable(tmp_path / f"{n}.nc", "v", np.full(3, i, "f8")) for i, n in enumerate("ab"))
    lab = lab_with([old, new])
    args = ("--dataset", "data", "--table", "here", "--in-place")
    lab.run("ingest", old, *args)
    # Other bytes of the same length, under the same time stamp.
    stat, content = old.stat(), bytearray(old.read_bytes())
    content[content.index(np.zeros(3, "f8").tobytes(), -100)] ^= 1
    old.write_bytes(content)
    os.utime(old, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    done = lab.run("ingest", new, *args, code=None)
    assert done.code != 0
    assert "a.nc" in done.err
