"""Streams of the Python client against a node that is killed, refuses and forgets."""

import json
import multiprocessing
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tarn as client
import tarn.numpy
from conftest import ROOT
from records import write_record
from tarn import errors

# More bytes than the buffers of a connection hold, so that a cut falls into the stream.
ROWS, SHAPE = 1000, (3, 32, 32)
TABLE = "ornl.data.samples"


@pytest.fixture
def samples(new_lab, tmp_path):
    """A started lab with ROWS tensors; sample i is filled with i."""

    def make(**changes):
        file = tmp_path / "samples.h5"
        with h5py.File(file, "w") as out:
            out["x"] = np.arange(ROWS, dtype="f4")[:, None, None, None] * np.ones(SHAPE, "f4")
        lab = new_lab("ornl", start=True)
        lab.run("register", write_record(tmp_path / "ornl.yaml", [file], **changes))
        lab.run("ingest", file, "--dataset", "data", "--table", "samples", "--layout", "tensors", "--in-place")
        return lab

    return make


def numbers(batches):
    """What the samples of a stream are filled with, in their order; each is whole."""
    found = []
    for batch in batches:
        values = batch.column("x").to_numpy_ndarray()
        assert (values == values[:, :1, :1, :1]).all()
        found.append(values[:, 0, 0, 0].astype(int).tolist())
    return found


@pytest.fixture
def keeper():
    """A thread that restarts nodes. It lives as long as the test, because a node ends with the thread that began it."""
    with ThreadPoolExecutor(1) as threads:
        yield threads


def restart(lab, after):
    """Starts a node again after some seconds."""
    time.sleep(after)
    lab.start()


def die(lab):
    """Ends the node as a power cut would."""
    lab.process.send_signal(signal.SIGKILL)
    lab.process.wait()
    lab.process = None


def test_a_killed_and_restarted_node_loses_and_repeats_nothing(samples, keeper):
    lab, draw = samples(), random.Random(6)
    lake = client.connect(lab.flight_url)
    make = lambda: lake.stream(TABLE, batch_size=9, seed=3, prefetch=draw.choice([0, 1, 4]))  # noqa: E731
    whole = numbers(make())
    assert sorted(sum(whole, [])) == list(range(ROWS))
    for _ in range(3):
        stream, seen, running = make(), [], keeper.submit(int)
        kills = sorted(draw.sample(range(1, len(whole) // 2), 2))
        for batch in stream:
            seen += numbers([batch])
            assert stream.state()["position"] == min(9 * len(seen), ROWS)
            if kills and len(seen) == kills[0]:
                kills.pop(0)
                # What was read ahead may have bridged the last restart.
                running.result()
                die(lab)
                running = keeper.submit(restart, lab, draw.uniform(0, 1))
        running.result()
        assert seen == whole
        assert stream.stats().reconnects >= 1
        assert (stream.stats().rows, stream.stats().batches) == (ROWS, len(whole))


def test_a_receipt_counts_what_was_read_and_ends_with_the_node(samples):
    lab = samples()
    stream = client.connect(lab.flight_url).stream(TABLE, batch_size=64)
    with pytest.raises(errors.Conflict, match="read the stream"):
        stream.receipt()
    whole = numbers(stream)
    receipt = stream.receipt()
    assert (receipt["rows"], receipt["batches"]) == (ROWS, len(whole))
    assert receipt["plan_id"] == stream.plan["plan_id"]
    die(lab)
    lab.start()
    with pytest.raises(errors.Conflict, match="restarted"):
        stream.receipt()


def test_a_program_that_was_killed_goes_on_in_another_world(samples):
    lake = client.connect(samples().flight_url)
    whole = sum(numbers(lake.stream(TABLE, batch_size=12, seed=5, drop_last=True)), [])
    stream, seen = lake.stream(TABLE, global_batch=12, seed=5, drop_last=True), []
    for world in (1, 3, 4, 2, 6, 12):
        state = json.loads(json.dumps(stream.state()))
        ranks = [
            lake.stream(TABLE, seed=5, rank=rank, world_size=world, resume=state, drop_last=True)
            for rank in range(world)
        ]
        for step, batches in enumerate(zip(*ranks), 1):
            seen += sum(numbers(batches), [])
            if step == 5:
                break
        assert len({stream.position for stream in ranks}) == 1
        stream = ranks[0]
    assert seen == whole[: len(seen)] and len(seen) == 6 * 5 * 12
    with pytest.raises(errors.InvalidArgument, match="divides"):
        list(lake.stream(TABLE, seed=5, rank=0, world_size=5, resume=state))


def test_a_network_that_falls_silent_is_noticed(samples, monkeypatch):
    lab = samples()
    times = {"grpc.keepalive_time_ms": 3000, "grpc.keepalive_timeout_ms": 2000, "grpc.http2.ping_timeout_ms": 2000}
    monkeypatch.setattr("tarn._lake._ALIVE", list(times.items()))
    with Relay(lab.flight) as relay:
        stream, seen = client.connect(f"grpc://127.0.0.1:{relay.port}").stream(TABLE, batch_size=100, prefetch=0), []
        for batch in stream:
            seen += numbers([batch])
            if len(seen) == 2:
                relay.silent = True
        assert seen == numbers(client.connect(lab.flight_url).stream(TABLE, batch_size=100))


class Relay:
    """Passes connections on, until its first one is told to be silent, as a cable that was pulled."""

    def __init__(self, target):
        self.target, self.silent = target, False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.sockets = []

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for one in [self.server, *self.sockets]:
            one.close()

    def accept(self):
        first = True
        while True:
            try:
                one, _ = self.server.accept()
            except OSError:
                return
            other = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [one, other]
            for source, sink in ((one, other), (other, one)):
                threading.Thread(target=self.copy, args=(source, sink, first), daemon=True).start()
            first = False

    def copy(self, source, sink, may_be_silent):
        try:
            while data := source.recv(4096):
                if not (may_be_silent and self.silent):
                    sink.sendall(data)
        except OSError:
            pass


def test_a_token_is_renewed_in_mid_stream(samples):
    lab = samples(tier="registered", terms={"id": "https://tarn.example/terms", "sha256": "0" * 64})
    whole, tokens, given = None, [], []

    def token():
        tokens.append(
            lab.run("token", "create", "--name", f"t{len(tokens)}", "--scope", "admin", "--quiet").out.strip()
        )
        return tokens[-1]

    whole = numbers(client.connect(lab.flight_url, token=token()).stream(TABLE, batch_size=10, seed=1))
    lake = client.connect(lab.flight_url, token=token)
    stream = lake.stream(TABLE, batch_size=10, seed=1, prefetch=0)
    for batch in stream:
        given += numbers([batch])
        if len(given) == 30:
            lab.run("token", "revoke", "t1")
            die(lab)
            lab.start()
    assert given == whole
    assert len(tokens) == 3
    # A token that is only a text has nothing in its place.
    lab.run("token", "revoke", "t2")
    with pytest.raises(errors.Unauthenticated):
        list(client.connect(lab.flight_url, token=tokens[-1]).stream(TABLE))


def test_policy_and_withdrawal_end_a_stream_with_the_reason(samples):
    lab = samples()
    lake = client.connect(lab.flight_url)
    stream, seen = lake.stream(TABLE, batch_size=1, prefetch=0), 0
    with pytest.raises((errors.NotFound, errors.PermissionDenied, errors.Conflict), match="(?i)withdrawn|retracted"):
        for _ in stream:
            seen += 1
            if seen == 1:
                lab.run("retract", "data", "--reason", "the sensor was wrong")
                # A node asks its policy again every five seconds.
                time.sleep(6)
    assert seen < ROWS


def test_another_stream_than_that_of_the_state_is_refused_with_what_differs(samples):
    lake = client.connect(samples().flight_url)
    stream = lake.stream(TABLE, batch_size=8, seed=1)
    next(iter(stream))
    state = stream.state()
    with pytest.raises(errors.ResumeMismatch, match="seed is 2 and was 1") as caught:
        lake.stream(TABLE, batch_size=4, seed=2, resume=state)
    assert caught.value.fields == ["seed", "global_batch"]
    assert pickle.loads(pickle.dumps(caught.value)).fields == caught.value.fields
    with pytest.raises(errors.PlanChanged) as caught:
        list(lake.stream(TABLE, seed=1, shuffle=False, resume=state))
    assert caught.value.changes["order"] == ("fz1", "table")
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), errors.PlanChanged)
    with pytest.raises(errors.PlanChanged):
        list(lake.stream(TABLE, seed=1, filter="dim_0 > 3", resume=state))


def test_files_that_are_gone_are_not_passed_over(samples, tmp_path):
    lab = samples()
    (tmp_path / "samples.h5").write_bytes(b"something else")
    with pytest.raises(client.TarnError) as caught:
        list(client.connect(lab.flight_url).stream(TABLE))
    assert caught.value.code in ("data_loss", "conflict", "invalid_data")


def test_a_node_that_is_away_is_waited_for_and_then_given_up(samples, monkeypatch):
    lab = samples()
    monkeypatch.setattr("tarn._backoff._PATIENCE", 1.0)
    stream = client.connect(lab.flight_url).stream(TABLE, batch_size=1, prefetch=2)
    with pytest.raises(errors.Unavailable):
        for count, _ in enumerate(stream):
            if count == 3:
                die(lab)
    state = stream.state()
    lab.start()
    rest = numbers(client.connect(lab.flight_url).stream(TABLE, batch_size=1, resume=state))
    assert len(rest) == ROWS - state["position"]


def test_an_iteration_may_be_left_at_any_batch(samples):
    lake = client.connect(samples().flight_url)
    before = threading.active_count()
    for prefetch in (0, 1, 8):
        for _ in range(10):
            for _ in lake.stream(TABLE, batch_size=7, prefetch=prefetch):
                break
    assert threading.active_count() <= before


def test_numpy_arrays_are_views_of_what_arrived(samples):
    stream = client.connect(samples().flight_url).stream(TABLE, batch_size=64, seed=2)
    for arrow, batch in zip(stream, tarn.numpy.batches(stream.part())):
        assert batch["x"].shape == (len(arrow), *SHAPE)
        np.testing.assert_array_equal(batch["x"], arrow.column("x").to_numpy_ndarray())
        np.testing.assert_array_equal(batch["dim_0"], arrow.column("dim_0"))
        assert not batch["x"].flags.owndata and not batch["x"].flags.writeable


def test_jax_arrays_have_the_same_values(samples):
    import tarn.jax

    stream = client.connect(samples().flight_url).stream(TABLE, batch_size=300, seed=2)
    for batch, expected in zip(tarn.jax.batches(stream), tarn.numpy.batches(stream.part())):
        np.testing.assert_array_equal(batch["x"], expected["x"])
        assert isinstance(batch["x"], tarn.jax.jax.Array)


def in_child(stream, queue):
    queue.put(numbers(stream))


def test_a_stream_goes_to_another_process(samples):
    stream = client.connect(samples().flight_url).stream(TABLE, batch_size=100)
    whole = numbers(stream)
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    child = context.Process(target=in_child, args=(stream, queue))
    child.start()
    assert queue.get() == whole
    child.join()


FORKS = """
import os, sys, tarn
stream = tarn.connect(sys.argv[1]).stream(sys.argv[2], batch_size=100)
if "first" in sys.argv:
    stream.plan
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    print(sum(batch.num_rows for batch in stream), flush=True)
except tarn.errors.InvalidArgument as error:
    print(error, flush=True)
os._exit(0)
"""


def test_a_forked_process_reads_or_is_told_to_be_spawned(samples):
    lab = samples()

    def told(*arguments):
        command = [sys.executable, "-c", FORKS, lab.flight_url, TABLE, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment).stdout

    assert told() == f"{ROWS}\n"
    assert "'spawn'" in told("first")
