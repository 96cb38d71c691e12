"""What a new user of the command line runs into in the first hour."""

import json
import os
import subprocess

import netCDF4
import numpy as np
import pytest
import xarray
from deltalake import DeltaTable
from fields import random_netcdf
from records import write_record

INGEST = ("--dataset", "data", "--table", "cells", "--grid", "time_lat_lon")


@pytest.fixture
def good(tmp_path):
    """A file that is sound."""
    return random_netcdf(tmp_path / "good.nc", 11, "NETCDF4", "noleap")


def change_a_cell(path):
    """Writes one cell of the field anew."""
    with netCDF4.Dataset(path, "a") as file:
        file["temp"][0, 0, 0] = 123.0


def rows_of(lab, table="cells"):
    """Rows of a Delta table, by deltalake."""
    return DeltaTable(str(lab.home / "store" / "data" / table)).to_pyarrow_table().num_rows


def test_a_changed_file_neither_doubles_its_rows_nor_replaces_them_unasked(lab_with, good, tmp_path):
    lab = lab_with([good])
    lab.run("ingest", good, *INGEST)
    rows, version = rows_of(lab), lab.run("versions", "data", "--json").json()[-1]["version"]
    before = good.read_bytes()
    change_a_cell(good)

    # The record still describes the old bytes.
    done = lab.run("ingest", good, *INGEST, code=5)
    assert "good.nc" in done.err
    assert "tarn register" in done.err
    # It describes the new ones now, and the table holds the old ones.
    lab.run("register", write_record(tmp_path / "ornl.yaml", [good]))
    version = lab.run("versions", "data", "--json").json()[-1]["version"]
    done = lab.run("ingest", good, *INGEST, code=1)
    assert "good.nc" in done.err
    assert "--table" in done.err
    assert rows_of(lab) == rows
    assert lab.run("versions", "data", "--json").json()[-1]["version"] == version
    # What the message says works.
    lab.run("ingest", good, "--dataset", "data", "--table", "cells_2", "--grid", "time_lat_lon")
    assert rows_of(lab, "cells_2") == rows
    good.write_bytes(before)
    lab.run("register", write_record(tmp_path / "ornl.yaml", [good]))
    lab.run("ingest", good, *INGEST)
    assert rows_of(lab) == rows


def test_the_same_file_read_in_another_way_does_not_double_its_rows(lab_with, good):
    lab = lab_with([good])
    lab.run("ingest", good, *INGEST)
    rows = rows_of(lab)
    done = lab.run("ingest", good, *INGEST, "--select", "lat,lon,temp", code=1)
    assert "other options" in done.err
    assert rows_of(lab) == rows


def test_a_file_that_the_record_does_not_list_is_refused_with_the_list(lab_with, good, tmp_path):
    lab = lab_with([good])
    other = random_netcdf(tmp_path / "other.nc", 12, "NETCDF4", "noleap")
    for flags in ([], ["--in-place"]):
        done = lab.run("ingest", good, other, *INGEST, *flags, code=5)
        for words in ("other.nc", "good.nc", "files:", "tarn register"):
            assert words in done.err, done.err
    lab.run("sql", "SELECT 1 FROM data.cells", code=4)
    # The same bytes at another place are what the record describes.
    copy = tmp_path / "copy.nc"
    copy.write_bytes(good.read_bytes())
    lab.run("ingest", copy, *INGEST)
    lab.run("register", write_record(tmp_path / "ornl.yaml", [good, other]))
    lab.run("ingest", good, other, *INGEST)


def test_a_file_counts_once_however_many_grids_it_has(lab_with, good):
    lab = lab_with([good])
    done = lab.run("ingest", good, "--dataset", "data")
    tables = len(done.out.splitlines())
    assert tables > 1
    assert f"1 file(s) added, 0 there already; {tables} table(s)" in done.err
    again = lab.run("ingest", good, "--dataset", "data", "--json").json()
    assert (again["files_added"], again["files_skipped"], again["rows_added"]) == (0, 1, 0)


def test_statements_come_from_standard_input_too(tarn):
    done = tarn.run("sql", "--format", "csv", stdin="select 1 as a")
    assert done.out.splitlines() == ["a", "1"]
    done = tarn.run("sql", "--format", "csv", stdin="select 1 as a;\nselect\n 2 as b;\n\nselect 3 as c\n")
    assert done.out.splitlines() == ["a", "1", "b", "2", "c", "3"]
    done = tarn.run("sql", "--format", "csv", stdin="select 1 as a;\nselect nope;\nselect 3 as c;\n", code=2)
    assert done.out.splitlines() == ["a", "1"]
    assert "nope" in done.err
    assert tarn.run("sql", stdin="").out == ""


def test_columns_of_one_name_stay_columns_in_json(tarn):
    query = "SELECT a.n, b.n, c.n FROM (SELECT 1 n) a, (SELECT 2 n) b, (SELECT 3 n) c"
    answer = tarn.run("sql", query, "--json").json()
    assert answer["rows"] == [{"n": 1, "n_2": 2, "n_3": 3}]
    assert [column["name"] for column in answer["schema"]] == ["n", "n_2", "n_3"]
    assert tarn.run("sql", query, "--format", "csv").out.splitlines() == ["n,n,n", "1,2,3"]


def closed_early(lab, *args):
    """Runs a command whose reader goes away at once; its exit code and what it says."""
    read, write = os.pipe()
    os.close(read)
    command = lab.command(*args)
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, env=lab.environment(), timeout=60, check=False
    )
    os.close(write)
    return done.returncode, done.stderr.decode()


def test_a_reader_that_goes_away_ends_a_command_without_a_word(lab_with, good, tmp_path):
    lab = lab_with([good])
    record = write_record(tmp_path / "again.yaml", [good], name="again")
    for args in (
        ["inspect", good, good, good],
        ["record", "new", good],
        ["sql", "SELECT * FROM generate_series(1, 1000000)", "--format", "csv"],
        ["sql", "SELECT 1"],
        ["sql", "SELECT 1", "--json"],
        ["register", record],
        ["ingest", good, *INGEST],
        ["show", "data"],
        ["versions", "data"],
        ["stream", "data.cells"],
        ["search"],
        ["token", "list"],
        ["peer", "list"],
    ):
        code, said = closed_early(lab, *args)
        assert code == 0, (args, said)
        assert "panicked" not in said, args
        assert "roken pipe" not in said, args
    # What they were to do is done.
    assert lab.run("show", "again", "--json").json()["version"] == 1
    assert rows_of(lab) > 0


def test_a_full_disk_under_standard_output_is_an_error(tarn, good):
    for args in (["inspect", good], ["sql", "SELECT 1"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                tarn.command(*args), stdout=full, stderr=subprocess.PIPE, env=tarn.environment(), check=False
            )
        assert done.returncode == 1, done.stderr
        assert b"panicked" not in done.stderr
        assert b"space" in done.stderr


def test_files_can_be_read_where_the_home_is_not_made_yet(tarn, good, tmp_path):
    (tmp_path / "empty").mkdir()
    query = f"SELECT count(*) FROM read_netcdf('{good}')"
    count = tarn.run("sql", query, "--format", "csv").out
    for home in ("", str(tmp_path / "empty"), str(tmp_path / "nowhere")):
        tarn.env["TARN_HOME"] = home
        assert tarn.run("sql", query, "--format", "csv").out == count
        assert "time_lat_lon" in tarn.run("inspect", good).out
        assert "good.nc" in tarn.run("record", "new", good).out
        assert "tarn init" in tarn.run("sql", "SELECT * FROM data.cells", code=4).err
        assert "tarn init" in tarn.run("search", code=4).err
    usage = tarn.run("inspect", code=2).err
    assert "--home" not in usage, usage
    assert "time_lat_lon" in tarn.run("--home", tmp_path / "nowhere", "inspect", good).out


@pytest.fixture
def forty_eight(lab_with, tmp_path):
    """A running lab with a table of 48 rows."""
    path = tmp_path / "f.nc"
    xarray.Dataset({"v": ("time", np.arange(48.0))}, {"time": np.arange(48)}).to_netcdf(path)
    lab = lab_with([path], start=True)
    lab.run("ingest", path, "--dataset", "data", "--table", "cells", "--grid", "time")
    return lab


def test_every_door_streams_every_row_by_default(forty_eight):
    import tarn as client

    lab = forty_eight
    token = lab.run("token", "create", "--name", "ann", "--quiet").out.strip()
    lake = client.connect(lab.flight_url, token=token)
    for size, steps in ((32, 2), (256, 1)):
        by_cli = lab.run("stream", "data.cells", "--batch-size", size, "--json").json()
        assert (by_cli["rows"], by_cli["batches"]) == (48, steps)
        stream = lake.stream("ornl.data.cells", batch_size=size)
        assert sum(batch.num_rows for batch in stream) == 48
        assert len(stream) == steps
        assert stream.receipt()["rows"] == 48
    dropping = lake.stream("ornl.data.cells", batch_size=32, drop_last=True)
    assert sum(batch.num_rows for batch in dropping) == 32
    # Ranks end at the same step.
    two = [lake.stream("ornl.data.cells", batch_size=10, world_size=2, rank=rank) for rank in (0, 1)]
    assert [sum(batch.num_rows for batch in stream) for stream in two] == [20, 20]
    assert [len(stream) for stream in two] == [2, 2]


def test_a_stream_that_would_drop_every_row_is_refused(forty_eight):
    import tarn as client

    lab = forty_eight
    token = lab.run("token", "create", "--name", "ann", "--quiet").out.strip()
    lake = client.connect(lab.flight_url, token=token)
    for request in ({"drop_last": True}, {"world_size": 2, "rank": 0}):
        with pytest.raises(client.errors.InvalidArgument, match="48 rows"):
            list(lake.stream("ornl.data.cells", batch_size=256, **request))
    done = lab.run("stream", "data.cells", "--world-size", 2, code=2)
    assert "batch_size" in done.err
    # A resumed stream may have less than a step left.
    assert list(lake.stream("ornl.data.cells", batch_size=32, drop_last=True, start=32)) == []
    assert json.loads(lab.run("stream", "data.cells", "--start", 48, "--json").out)["rows"] == 0
