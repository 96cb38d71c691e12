"""`kill -9` at random moments of an ingest: nothing is lost, nothing is there twice."""

import random
import signal
import subprocess
import time

import netCDF4
import numpy as np
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

FILES, SHAPE = 3, (120, 40, 40)


@pytest.fixture
def big(lab_with, tmp_path):
    """A lab, files that take a while, and their sum."""
    rng, total, files = np.random.default_rng(1), 0.0, []
    for i in range(FILES):
        path = tmp_path / f"big_{i}.nc"
        values = rng.normal(0, 1, SHAPE)
        with netCDF4.Dataset(path, "w") as file:
            for name, size in zip(("time", "lat", "lon"), SHAPE):
                file.createDimension(name, size)
                file.createVariable(name, "f8", (name,))[:] = np.arange(size) + i * 1000
            file.createVariable("v", "f8", ("time", "lat", "lon"), zlib=True, chunksizes=(10, 40, 40))[:] = values
        total += values.sum()
        files.append(path)
    return lab_with(files), files, total


def ingest(lab, files):
    """The command line."""
    return lab.command("ingest", *files, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon", "--quiet")


def rows_there(lab):
    """Rows that a reader of the Delta table sees now."""
    try:
        return DeltaTable(str(lab.home / "store" / "data" / "cells")).to_pyarrow_table().num_rows
    except TableNotFoundError:
        return 0


def test_an_ingest_that_is_killed_can_be_run_again_until_it_is_done(big, binary, tmp_path):
    lab, files, total = big
    rows = FILES * int(np.prod(SHAPE))

    # How long a whole one takes here, in a home of its own.
    from records import write_record
    from story.labs import Lab

    other = Lab(binary, "timing", tmp_path)
    other.init()
    other.run("register", write_record(tmp_path / "timing.yaml", files))
    began = time.perf_counter()
    subprocess.run(ingest(other, files), check=True, env=other.environment())
    whole = time.perf_counter() - began

    rng, killed = random.Random(7), 0
    for _ in range(8):
        process = subprocess.Popen(ingest(lab, files), env=lab.environment(), stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0.05, 0.95) * whole)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        assert rows_there(lab) in (0, rows), "a reader sees a part of a commit"
    assert killed > 0
    subprocess.run(ingest(lab, files), check=True, env=lab.environment())
    assert rows_there(lab) == rows
    count, sum_ = lab.sql("SELECT count(*), sum(v) FROM data.cells").rows[0]
    assert (count, sum_) == (rows, pytest.approx(total, rel=1e-9, abs=1e-6))


def test_a_server_that_is_killed_starts_again_with_everything(lab_with, tmp_path, big):
    lab, files, total = big
    lab.start()
    subprocess.run(ingest(lab, files), check=True, env=lab.environment())
    lab.process.kill()
    lab.process.wait()
    lab.start()
    assert lab.sql("SELECT sum(v) FROM data.cells").rows[0][0] == pytest.approx(total, rel=1e-9, abs=1e-6)
    assert lab.run("search", "random", "--json").json()["total"] == 1


def test_an_ingest_that_is_interrupted_takes_away_what_it_wrote(big):
    lab, files, total = big
    store, interrupted = lab.home / "store", False
    for _ in range(20):
        process = subprocess.Popen(ingest(lab, files), env=lab.environment(), stderr=subprocess.DEVNULL)
        # Once a file is being written, there is something to take away.
        while process.poll() is None and not list(store.rglob("*.parquet*")):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        if code == 0:
            break
        interrupted = True
        assert not list(store.rglob("*.parquet*")), "data files that nobody names"
    assert interrupted
    subprocess.run(ingest(lab, files), check=True, env=lab.environment())
    named = {file.split("/")[-1] for file in DeltaTable(str(store / "data" / "cells")).file_uris()}
    assert {file.name for file in store.rglob("*.parquet*")} == named
    assert lab.sql("SELECT sum(v) FROM data.cells").rows[0][0] == pytest.approx(total, rel=1e-9, abs=1e-6)
