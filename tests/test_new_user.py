"""What a new user of the command line runs into in the first hour."""

import json
import os
import subprocess
import time

import netCDF4
import numpy as np
import pyarrow.ipc
import pytest
import requests
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


def same_values(path):
    """The sum of the field, by netCDF4."""
    with netCDF4.Dataset(path) as file:
        return float(file["temp"][:].astype("f8").sum())


def test_a_file_in_place_is_pinned_by_its_content(lab_with, good):
    lab = lab_with([good])
    lab.run("ingest", good, *INGEST, "--in-place")
    query = "SELECT sum(CAST(temp AS DOUBLE)) FROM data.cells"
    total = pytest.approx(same_values(good), rel=1e-9)
    before = good.read_bytes()

    os.utime(good, (1_000_000, 1_000_000))
    assert lab.sql(query).rows == [[total]]
    assert lab.run("stream", "data.cells", "--json").json()["rows"] > 0
    good.unlink()
    good.write_bytes(before)
    assert lab.sql(query).rows == [[total]]

    damaged = bytearray(before)
    damaged[len(before) // 2] ^= 1
    good.write_bytes(damaged)
    assert "good.nc" in lab.run("sql", query, code=5).err
    good.write_bytes(before)
    assert lab.sql(query).rows == [[total]]


def test_the_message_of_a_changed_file_names_the_commands_that_mend_it(lab_with, tmp_path):
    files = [random_netcdf(tmp_path / f"f {i}.nc", 20 + i, "NETCDF4", "noleap") for i in range(3)]
    lab = lab_with(files)
    lab.run("ingest", *files, *INGEST, "--in-place", "--column", "which=path:f (.)", "--select", "which,lat,temp")
    for path in files[:2]:
        change_a_cell(path)
    done = lab.run("sql", "SELECT sum(temp) FROM data.cells", code=5)
    assert "tarn register RECORD.yaml" in done.err
    lab.run("register", write_record(tmp_path / "ornl.yaml", files))
    lab.run("sql", "SELECT sum(temp) FROM data.cells", code=5)
    command = done.err.split("then run: tarn ")[1].strip()
    ran = subprocess.run(
        ["bash", "-c", f"{lab.binary} --home '{lab.home}' {command}"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    total = sum(same_values(path) for path in files)
    answer = lab.sql("SELECT sum(CAST(temp AS DOUBLE)), count(DISTINCT which) FROM data.cells").rows
    assert answer == [[pytest.approx(total, rel=1e-9), 3]]


@pytest.fixture
def folder(good, tmp_path):
    """A folder with two NetCDF files, a SPEC log and files of other kinds."""
    folder = tmp_path / "all"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.nc").write_bytes(good.read_bytes())
    (folder / "sub" / "b.nc").write_bytes(good.read_bytes())
    (folder / "README.txt").write_text("words\n")
    (folder / "fix.py").write_text("print()\n")
    return folder


def test_a_folder_is_its_files_that_can_be_read_and_the_others_are_said(lab_with, tarn, good, folder):
    [[one]] = tarn.sql(f"SELECT count(*) FROM read_netcdf('{good}')").rows
    query = f"SELECT count(*) AS n FROM read_netcdf('{folder}')"
    done = tarn.run("sql", query, "--format", "csv")
    assert done.out.splitlines() == ["n", str(2 * one)]
    assert "2 of 4 file(s) left out" in done.err
    assert "README.txt" in done.err
    files = tarn.sql(f"SELECT DISTINCT file FROM grids('{folder}')").rows
    assert len(files) == 2
    for args in (["inspect", folder], ["record", "new", folder, "--name", "x"]):
        assert "2 file(s) left out" in tarn.run(*args).err, args
    lab = lab_with([folder])
    done = lab.run("ingest", folder, *INGEST)
    assert "fix.py" in done.err
    assert rows_of(lab) == one  # the two hold the same bytes
    # A file that is named is not left out.
    assert "README.txt" in lab.run("ingest", folder, folder / "README.txt", *INGEST, code=5).err
    tarn.run("sql", f"SELECT * FROM read_netcdf('{folder}/README.txt')", code=5)
    tarn.run("inspect", folder / "README.txt", code=5)


def test_a_format_that_a_function_does_not_read_is_left_out_of_a_folder_only(tarn, folder):
    (folder / "scan.dat").write_text("#F scan.dat\n#E 1\n#D Sun Nov 22 00:00:00 2026\n\n#S 1 ascan\n#N 1\n#L x\n1\n")
    assert len(tarn.sql(f"SELECT DISTINCT file FROM grids('{folder}')").rows) == 3
    assert "scan.dat" in tarn.run("sql", f"SELECT count(*) FROM read_netcdf('{folder}')").err
    assert "read_any" in tarn.run("sql", f"SELECT * FROM read_netcdf('{folder}/scan.dat')", code=2).err


def test_a_folder_without_anything_to_read_names_what_it_holds(tarn, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "empty").mkdir()
    for args in (
        ["inspect", tmp_path / "texts"],
        ["sql", f"SELECT * FROM read_netcdf('{tmp_path}/texts')"],
        ["record", "new", tmp_path / "texts"],
    ):
        (tmp_path / "texts" / "notes.md").write_text("words\n")
        assert "notes.md" in tarn.run(*args, code=5).err
    assert "no files in this folder" in tarn.run("inspect", tmp_path / "empty", code=4).err
    assert "matches" in tarn.run("inspect", tmp_path / "nope*.nc", code=4).err


@pytest.mark.parametrize("flags", [[], ["--in-place"]])
def test_tensors_are_tensors_in_sql_however_they_are_stored(lab_with, good, flags):
    lab = lab_with([good])
    lab.run("ingest", good, *INGEST, "--layout", "tensors", *flags)
    with netCDF4.Dataset(good) as file:
        temp = file["temp"][:]
    lat, lon = temp.shape[1] - 1, temp.shape[2] - 2
    answer = lab.sql(f"SELECT tensor_element(temp, {lat}, {lon}) FROM data.cells ORDER BY time").rows
    assert [row[0] for row in answer] == [None if v is np.ma.masked else pytest.approx(float(v)) for v in temp[:, lat, lon]]
    present = temp[:, lat, lon].compressed()
    where = f"SELECT count(*) FROM data.cells WHERE tensor_element(temp, {lat}, {lon}) > {float(np.median(present))}"
    assert lab.sql(where).rows == [[int((present > np.median(present)).sum())]]
    assert lab.sql("SELECT count(*) FROM data.cells WHERE temp IS NULL").rows == [[0]]
    assert f"{temp.shape[1]}×{temp.shape[2]}" in lab.run("show", "data").out
    [field] = [f for f in lab.sql("SELECT temp FROM data.cells LIMIT 1").fields if f["name"] == "temp"]
    assert field["metadata"]["ARROW:extension:name"] == "arrow.fixed_shape_tensor"
    lab.start()
    token = lab.run("token", "create", "--name", "ann", "--quiet").out.strip()
    import tarn as client

    column = client.connect(lab.flight_url, token=token).sql("SELECT temp FROM data.cells ORDER BY time").arrow()["temp"]
    values = column.combine_chunks().to_numpy_ndarray()
    np.testing.assert_array_equal(values[~temp.mask], temp.compressed())


def post(lab, body, **headers):
    """A request to the SQL route."""
    return requests.post(f"{lab.http_url}/api/v1/sql", data=json.dumps(body), headers=headers, timeout=60)


def test_a_peer_that_is_away_before_its_tables_are_known_leaves_a_partial_answer(new_lab, good, tmp_path):
    east, west = new_lab("east", start=True), new_lab("west", start=True)
    west.run("register", write_record(tmp_path / "w.yaml", [good]))
    west.run("ingest", good, *INGEST)
    west.invite(east)
    west.stop()
    assert east.run("peer", "status", code=1).out.count("west") == 1
    query = "SELECT count(*) AS n FROM west.data.cells"
    as_json = {"Content-Type": "application/json"}
    refused = post(east, {"query": query}, **as_json)
    assert refused.status_code == 503
    assert "--partial" not in refused.text
    answer = post(east, {"query": query, "partial": "allow"}, **as_json)
    assert answer.status_code == 206, answer.text
    assert answer.json()["rows"] == []
    [site] = answer.json()["sites"]
    assert (site["lab"], site["status"]) == ("west", "skipped")
    done = east.run("sql", query, "--partial", "allow", "--json", code=6)
    assert done.json()["rows"] == []
    for output in ("table", "csv", "arrow"):
        done = east.run("sql", query, "--partial", "allow", "--format", output, "--output", tmp_path / "x", code=6)
        assert "west" in done.err
    # Once it has answered, the columns are known while it is away.
    west.start()
    token = {"Authorization": f"Bearer {east.run('token', 'create', '--name', 'ann', '--quiet').out.strip()}"}
    deadline = time.monotonic() + 30
    while post(east, {"query": query}, **as_json, **token).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(1)
    west.stop()
    answer = post(east, {"query": query, "partial": "allow"}, **as_json, **token)
    # A count that the lab itself makes has no row without it.
    assert (answer.status_code, answer.json()["rows"]) == (206, [])
    assert [column["name"] for column in answer.json()["schema"]] == ["n"]


def test_accepting_an_invitation_says_what_must_run_and_what_is_wrong_with_it(new_lab):
    east, west = new_lab("east"), new_lab("west")
    invitation = west.run("peer", "invite", "--quiet").out.strip()
    done = east.run("peer", "accept", invitation, code=1)
    assert "tarn serve" in done.err
    assert "partial" not in done.err
    assert "damaged" in east.run("peer", "accept", invitation[:-9], code=2).err
    west.start()
    stranger = new_lab("third").run("peer", "accept", invitation)
    assert stranger.code == 0
    assert "genuine" in east.run("peer", "accept", invitation, code=3).err
    assert "peer invite" in east.run("peer", "list").err


def test_every_refusal_over_http_is_a_problem(lab_with, good):
    lab = lab_with([good], start=True)
    url = f"{lab.http_url}/api/v1"
    as_json = {"Content-Type": "application/json"}
    for status, answer in (
        (415, requests.post(f"{url}/sql", data='{"query": "SELECT 1"}', timeout=30)),
        (422, post(lab, {"sql": "SELECT 1"}, **as_json)),
        (422, post(lab, {"query": "SELECT 1", "partial": "maybe"}, **as_json)),
        (400, requests.post(f"{url}/sql", data="{", headers=as_json, timeout=30)),
        (413, requests.post(f"{url}/sql", data="[" + "1," * 2**20, headers=as_json, timeout=30)),
        (405, requests.get(f"{url}/sql", timeout=30)),
        (405, requests.delete(f"{url}/datasets", timeout=30)),
        (404, requests.get(f"{url}/nothing", timeout=30)),
        (404, requests.get(f"{url}/datasets/ornl/nothing", timeout=30)),
        (400, post(lab, {"query": "SELECT nope"}, **as_json)),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json", answer.url
        problem = answer.json()
        assert problem["status"] == status
        assert problem["code"]
        assert problem["detail"]
        assert answer.headers["x-request-id"]
    assert "partial" in post(lab, {"query": "SELECT 1", "partial": "maybe"}, **as_json).json()["detail"]
    assert "POST" in requests.get(f"{url}/sql", timeout=30).headers["allow"]


def test_a_version_is_written_as_in_sql(lab_with, good, tmp_path):
    other = random_netcdf(tmp_path / "other.nc", 12, "NETCDF4", "noleap")
    lab = lab_with([good, other])
    lab.run("ingest", good, *INGEST)
    rows = rows_of(lab)
    lab.run("ingest", other, *INGEST)
    assert rows_of(lab) > rows
    assert lab.sql('SELECT count(*) FROM "data@1".cells').rows == [[rows]]
    assert lab.run("stream", "data@1.cells", "--json").json()["rows"] == rows
    assert lab.run("stream", "ornl.data@1.cells", "--json").json()["rows"] == rows
    assert lab.run("stream", "data.cells", "--json").json()["rows"] == rows_of(lab)
    lab.run("stream", "data@9.cells", code=4)


def test_messages_say_what_to_do_next(new_lab, tarn, good, tmp_path):
    lab = new_lab("ornl")
    done = lab.run("ingest", good, "--dataset", "data", code=4)
    assert "tarn record new" in done.err
    assert "tarn register" in done.err
    for path in (good, tmp_path):
        assert "tarn record new" in lab.run("register", path, code=5).err
    lab.env["TARN_HTTP"] = "127.0.0.1"
    done = lab.run("serve", code=2)
    assert "TARN_HTTP" in done.err
    assert "127.0.0.1:8080" in done.err
    del lab.env["TARN_HTTP"]
    done = tarn.run("sql", f"SELECT * FROM read_netcd('{good}')", code=2)
    assert "did you mean read_netcdf" in done.err
    assert "grids" in tarn.run("sql", f"SELECT * FROM zzz('{good}')", code=2).err
    record = write_record(tmp_path / "r.yaml", [good], title="short")
    dry, wet = (lab.run("register", record, *flags, code=5) for flags in (["--dry-run"], []))
    assert (dry.out, dry.err.splitlines()[1:]) == (wet.out, wet.err.splitlines()[1:])
    assert "FAIR score" in wet.out


def test_an_unknown_column_is_a_usage_error_wherever_it_is_named(lab_with, tarn, good):
    lab = lab_with([good])
    lab.run("ingest", good, *INGEST, "--select", "nope", code=2)
    lab.run("ingest", good, *INGEST, "--column", "y=cf_year(nope)", code=2)
    for call in (f"read_netcdf('{good}', '{{\"select\": [\"nope\"]}}')", f"read_netcdf('{good}') WHERE nope > 1"):
        assert "nope" in tarn.run("sql", f"SELECT * FROM {call}", code=2).err
    done = lab.run("ingest", good, *INGEST, "--column", "m=attribute:nope", code=None)
    assert "there are: \n" not in done.err


def test_an_output_called_dash_is_standard_output(lab_with, good, tmp_path):
    lab = lab_with([good])
    lab.run("ingest", good, *INGEST)
    rows = rows_of(lab)
    done = subprocess.run(
        lab.command("stream", "data.cells", "--output", "-"),
        cwd=tmp_path, env=lab.environment(), capture_output=True, check=True,
    )
    assert pyarrow.ipc.open_stream(done.stdout).read_all().num_rows == rows
    assert tarn_csv(lab, tmp_path) == ["n", str(rows)]
    assert not (tmp_path / "-").exists()


def tarn_csv(lab, folder):
    """A count in CSV, through `--output -`."""
    query = "SELECT count(*) AS n FROM data.cells"
    return lab.run("sql", query, "--format", "csv", "--output", "-", cwd=folder).out.splitlines()


def test_the_client_says_what_is_wrong_with_an_address(lab_with, good):
    import tarn as client

    lab = lab_with([good], start=True)
    with pytest.raises(client.errors.InvalidArgument, match="grpc://"):
        client.connect(lab.http_url)
    lake = client.connect(lab.flight_url)
    with pytest.raises(client.errors.InvalidArgument, match="is a table"):
        lake.dataset("ornl.data.cells")
    lab.stop()
    with pytest.raises(client.errors.Unavailable, match="tarn serve"):
        client.connect(lab.flight_url).sql("SELECT 1")
