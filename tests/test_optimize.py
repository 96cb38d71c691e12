"""`tarn optimize`: the same rows in fewer or better files, and older versions as they were."""

import json
import signal
import subprocess
import time

import duckdb
import netCDF4
import numpy as np
import pyarrow.parquet as pq
import pytest
import requests
from deltalake import DeltaTable
from records import write_record
from test_ingest import load_delta

FILES, ROWS = 5, 4_000
SUMS = "SELECT count(*) AS n, sum(site) AS s, min(energy) AS low, max(energy) AS high, count(energy) AS c"


def part(path, seed):
    """A file of rows whose columns have no order."""
    rng = np.random.default_rng(seed)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("row", ROWS)
        for name, kind, values in (
            ("site", "i4", rng.integers(0, 1000, ROWS)),
            ("run", "i4", rng.integers(0, 1000, ROWS)),
            ("energy", "f8", rng.normal(size=ROWS).round(6)),
        ):
            fill = {"fill_value": -1e30} if kind == "f8" else {}
            variable = file.createVariable(name, kind, ("row",), **fill)
            variable.units, variable.long_name = "1", name
            variable[:] = values
        file["energy"][: ROWS // 100] = -1e30
    return path


@pytest.fixture
def parts(new_lab, tmp_path):
    """A lab with one table of small files."""
    lab = new_lab("ornl")
    files = [part(tmp_path / f"f{i:02}.nc", i) for i in range(FILES)]
    lab.run("register", write_record(tmp_path / "r.yaml", files))
    for file in files:
        lab.run("ingest", file, "--dataset", "data", "--table", "t")
    return lab, lab.home / "store" / "data" / "t"


def sums(lab, folder, table="data.t"):
    """What Tarn says of the rows, which has to be what DuckDB says of all that deltalake names."""
    connection = duckdb.connect()
    load_delta(connection)
    expected = connection.execute(f"{SUMS} FROM delta_scan('{folder}')").fetchall()
    assert lab.sql(f"{SUMS} FROM {table}").rows == [list(row) for row in expected]
    return expected


def test_small_files_become_one_and_the_older_version_keeps_its_own(parts):
    lab, folder = parts
    before, version = sums(lab, folder), lab.run("show", "data", "--json").json()["version"]
    old = set(DeltaTable(str(folder)).file_uris())
    done = lab.run("optimize", "data.t", "--json").json()
    [table] = done["tables"]
    assert (table["files_replaced"], table["files_written"], done["version"]) == (FILES, 1, version + 1)
    new = DeltaTable(str(folder)).file_uris()
    assert len(new) == 1 and not old & set(new)
    assert sums(lab, folder) == before
    pinned = lab.sql(f'{SUMS} FROM "data@{version}".t').rows
    assert pinned == [list(row) for row in before]
    again = lab.run("optimize", "data", "--json").json()
    assert (again["tables"][0]["files_replaced"], again["version"]) == (0, version + 1)
    # What is ingested after it is added once, and what was ingested before is still known.
    name = lab.home.parent / "f03.nc"
    repeated = lab.run("ingest", name, "--dataset", "data", "--table", "t", "--json").json()
    assert repeated["rows_added"] == 0
    assert "optimize" in str(DeltaTable(str(folder)).history()).lower()
    assert lab.run("audit", "verify").code == 0


def test_of_two_at_once_one_is_told_and_no_row_is_doubled(parts):
    lab, folder = parts
    before = sums(lab, folder)
    for _ in range(3):
        commands = [lab.command("optimize", "data.t", "--z-order", column) for column in ("site", "run", "energy")]
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=lab.environment(), text=True)
            for command in commands
        ]
        told = [one.communicate(timeout=300)[1] for one in both]
        codes = [one.returncode for one in both]
        assert 0 in codes, told
        for code, text in zip(codes, told, strict=True):
            assert code == 0 or "another writer" in text or "at once" in text or "version" in text, text
        assert sums(lab, folder) == before
        removed = [add for log in sorted((folder / "_delta_log").glob("*.json")) for add in log.read_text().splitlines()]
        paths = [json.loads(line)["remove"]["path"] for line in removed if '"remove"' in line]
        assert len(paths) == len(set(paths)), "no file is taken away twice"


def test_rows_in_order_of_two_columns_leave_out_row_groups_for_either(parts):
    lab, folder = parts
    before = sums(lab, folder)
    lab.run("optimize", "data.t", "--z-order", "site,run", "--target-size", "1")
    assert sums(lab, folder) == before
    [file] = DeltaTable(str(folder)).file_uris()
    rows = pq.read_table(file)
    assert rows.num_rows == FILES * ROWS
    # A twentieth of the curve lies in a sixteenth of the square.
    first = rows.slice(0, rows.num_rows // 20).to_pandas()
    assert np.ptp(first["site"]) < 300 and np.ptp(first["run"]) < 300, first.describe()


REFUSED = [
    (["data.none"], 5, "none"),
    (["data@1.t"], 2, "data@1"),
    (["data.t", "--z-order", "nowhere"], 5, "nowhere"),
    (["data.t", "--z-order", "site,site"], 5, "twice"),
    (["absent"], 4, "absent"),
]


def test_what_cannot_be_done_is_refused_and_changes_nothing(parts):
    lab, folder = parts
    before = sorted(path.name for path in folder.rglob("*"))
    for arguments, code, word in REFUSED:
        refused = lab.run("optimize", *arguments, code=None)
        assert refused.code == code and word in refused.err, refused.describe()
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_killed_at_any_time_it_leaves_the_rows_as_they_were(parts):
    lab, folder = parts
    before = sums(lab, folder)
    for pause in (0.05, 0.3, 0.8):
        with subprocess.Popen(lab.command("optimize", "data.t", "--z-order", "run"), env=lab.environment()) as process:
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        assert sums(lab, folder) == before
    lab.run("optimize", "data.t", "--z-order", "run")
    assert sums(lab, folder) == before


def test_a_server_reads_a_version_s_log_once_and_sees_the_commits_of_others(parts):
    lab, folder = parts
    lab.start()

    def count(table="data.t"):
        asked = requests.post(f"{lab.http_url}/api/v1/sql", json={"query": f"SELECT count(*) AS n FROM {table} WHERE run >= 0"})
        assert asked.status_code == 200, asked.text
        return asked.json()["rows"][0]["n"]

    assert count() == FILES * ROWS
    log, away = folder / "_delta_log", folder / "away"
    log.rename(away)
    assert count() == FILES * ROWS
    away.rename(log)
    # Another process than the server's.
    lab.run("optimize", "data.t")
    [file] = DeltaTable(str(folder)).file_uris()
    assert count() == FILES * ROWS
    with open(file, "r+b") as bytes_of:
        bytes_of.truncate(0)
    asked = requests.post(f"{lab.http_url}/api/v1/sql", json={"query": "SELECT sum(run) AS s FROM data.t"})
    assert asked.status_code != 200, "the server reads the new version's file"
