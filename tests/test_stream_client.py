"""The Rust client, by `tarn stream --server`, against the home itself, against pyarrow, and against nodes that die."""

import datetime
import json
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from deltalake import write_deltalake
from records import write_record
from test_access import token

ROWS, SHAPE = 1000, (3, 32, 32)


def batches(path):
    with pa.ipc.open_stream(path) as reader:
        return list(reader)


def by_pyarrow(lab, name, secret=None, **fields):
    """The batches of a stream as pyarrow's own client has them."""
    client = flight.connect(lab.flight_url)
    options = flight.FlightCallOptions(headers=[(b"authorization", b"Bearer " + secret.encode())]) if secret else None
    asked = json.dumps({"tarn.stream": 1, "dataset": name, **fields}).encode()
    info = client.get_flight_info(flight.FlightDescriptor.for_command(asked), options)
    return [chunk.data for chunk in client.do_get(info.endpoints[0].ticket, options)]


@pytest.fixture
def samples(new_lab, tmp_path):
    """A started lab with ROWS tensors; sample i is filled with i."""
    file = tmp_path / "samples.h5"
    with h5py.File(file, "w") as out:
        out["x"] = np.arange(ROWS, dtype="f4")[:, None, None, None] * np.ones(SHAPE, "f4")
    lab = new_lab("ornl", start=True)
    lab.run("register", write_record(tmp_path / "ornl.yaml", [file]))
    lab.run("ingest", file, "--dataset", "data", "--table", "samples", "--layout", "tensors", "--in-place")
    return lab


def test_every_type_comes_as_it_comes_to_pyarrow_and_from_the_home(new_lab, tmp_path):
    lab = new_lab("ornl", start=True)
    draw, count = random.Random(7), 700
    maybe = lambda make: [None if draw.random() < 0.2 else make() for _ in range(count)]  # noqa: E731
    table = pa.table(
        {
            "i": pa.array(range(count), pa.int64()),
            "b": pa.array(maybe(lambda: draw.random() < 0.5), pa.bool_()),
            "f": pa.array(maybe(draw.random), pa.float64()),
            "h": pa.array(maybe(lambda: draw.randrange(-99, 99)), pa.int8()),
            "t": pa.array(maybe(lambda: "é" * draw.randrange(0, 40)), pa.string()),
            "y": pa.array(maybe(lambda: draw.randbytes(draw.randrange(0, 30))), pa.binary()),
            "d": pa.array(maybe(lambda: datetime.date(2020, 1, 1 + draw.randrange(28))), pa.date32()),
            "w": pa.array(maybe(lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)), pa.timestamp("us", "UTC")),
            "l": pa.array(maybe(lambda: [draw.random() for _ in range(draw.randrange(4))]), pa.list_(pa.float32())),
            "s": pa.array(maybe(lambda: {"p": draw.randrange(9), "q": None}), pa.struct([("p", pa.int32()), ("q", pa.string())])),
            "n": pa.array([None] * count, pa.int32()),
        }
    )
    folder = tmp_path / "types"
    write_deltalake(str(folder), table)
    lab.run("register", write_record(tmp_path / "r.yaml", [folder]))
    lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place")
    for number, (args, fields) in enumerate(
        [
            ((), {}),
            (("--in-order", "--batch-size", "64"), {"shuffle": False, "batch_size": 64}),
            (("--batch-size", "1", "--filter", "i < 5"), {"batch_size": 1, "filter": "i < 5"}),
            (("--world-size", "3", "--rank", "1", "--seed", "9", "--batch-size", "50"), {"world_size": 3, "rank": 1, "seed": 9, "batch_size": 50}),
            (("--filter", "i > 1000"), {"filter": "i > 1000"}),
            (("--columns", "t,n", "--start", "256"), {"columns": ["t", "n"], "start": 256}),
        ]
    ):
        here, there = tmp_path / f"here{number}", tmp_path / f"there{number}"
        lab.run("stream", "data.t", *args, "--output", here)
        done = lab.run("stream", "ornl.data.t", *args, "--output", there, "--server", lab.flight_url, "--json")
        expected = by_pyarrow(lab, "ornl.data.t", **fields)
        assert batches(there) == batches(here) == expected, fields
        assert done.json()["rows"] == sum(batch.num_rows for batch in expected)
    rows = sorted((row["i"], row["t"]) for batch in batches(tmp_path / "there0") for row in batch.to_pylist())
    assert rows == sorted(zip(range(count), table["t"].to_pylist()))


def test_a_killed_node_loses_and_repeats_nothing(samples, tmp_path):
    lab, draw = samples, random.Random(3)
    whole = np.concatenate([batch.column("x").to_numpy_ndarray()[:, 0, 0, 0] for batch in by_pyarrow(lab, "ornl.data.samples", batch_size=9, seed=3)])
    with ThreadPoolExecutor(1) as keeper:
        for turn in range(3):
            out = tmp_path / f"out{turn}"
            command = lab.command("stream", "ornl.data.samples", "--batch-size", "9", "--seed", "3", "--server", lab.flight_url, "--output", "-")
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=lab.environment())
            with open(out, "wb") as written:
                # What is in pipes and windows has left the node: some of it is read first, so that a cut falls anywhere.
                written.write(child.stdout.read(draw.randrange(1, 9_000_000)))
                lab.process.send_signal(signal.SIGKILL)
                lab.process.wait()
                lab.process = None
                again = keeper.submit(lambda: (time.sleep(1), lab.start()))
                while part := child.stdout.read(1 << 16):
                    written.write(part)
            again.result()
            assert child.wait(60) == 0, child.stderr.read()
            values = np.concatenate([batch.column("x").to_numpy_ndarray() for batch in batches(out)])
            assert (values == values[:, :1, :1, :1]).all()
            np.testing.assert_array_equal(values[:, 0, 0, 0], whole)
    # The connections of a run that was cut have one receipt, which is that of the run that was not.
    receipts = [receipt for receipt in lab.run("stream", "receipts", "--json").json() if receipt["rows"] == ROWS]
    assert len(receipts) == 4 and len({receipt["hash"] for receipt in receipts}) == 1


def test_refusals_are_said_and_not_asked_again(new_lab, tmp_path):
    lab = new_lab("ornl", start=True)
    file = tmp_path / "s.h5"
    with h5py.File(file, "w") as out:
        out["x"] = np.arange(40, dtype="f4")
    closed = {"tier": "registered", "terms": {"id": "https://tarn.example/terms", "sha256": "0" * 64}}
    lab.run("register", write_record(tmp_path / "r.yaml", [file], name="data", **closed))
    lab.run("ingest", file, "--dataset", "data", "--table", "t", "--in-place")

    def stream(code, *args, server=lab.flight_url, secret=None):
        began = time.monotonic()
        environment = {**lab.environment(), **({"TARN_TOKEN": secret} if secret else {})}
        done = subprocess.run(lab.command("stream", *args, "--server", server), capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == code, done.stderr
        assert time.monotonic() - began < 20
        assert (secret or "no secret") not in done.stderr
        return done.stderr

    stream(3, "ornl.data.t")
    stream(3, "ornl.data.t", secret="no-such-token")
    secret = token(lab, "ann", "read")
    stream(0, "ornl.data.t", secret=secret)
    assert "nothing" in stream(4, "ornl.data.nothing", secret=secret)
    stream(2, "ornl.data.t", "--filter", "no_such_column > 1", secret=secret)
    stream(2, "ornl.data.t", server="http://127.0.0.1:1")
    stream(2, "ornl.data.t", server=lab.flight_url, secret="new\nline")
    # What speaks no Flight, and what is not there.
    assert stream(1, "ornl.data.t", server=lab.http_url.replace("http", "grpc"), secret=secret)
    assert stream(1, "ornl.data.t", server="grpc://127.0.0.1:1", secret=secret)
