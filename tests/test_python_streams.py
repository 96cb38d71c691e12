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
import pyarrow.flight as flight
import pytest
import requests
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


def test_a_receipt_outlives_the_node_and_is_that_of_an_undisturbed_run(samples, tmp_path):
    lab, draw = samples(), random.Random(11)
    lake = client.connect(lab.flight_url)
    stream = lake.stream(TABLE, batch_size=16, seed=4)
    with pytest.raises(errors.Conflict, match="read the stream"):
        stream.receipt()
    whole = numbers(stream)
    receipt = stream.receipt()
    assert (receipt["rows"], receipt["batches"], receipt["complete"]) == (ROWS, len(whole), True)
    assert receipt["plan_id"] == stream.plan["plan_id"]
    assert receipt["versions"] == {"ornl.data": 1}
    die(lab)
    lab.start()
    assert stream.receipt() == receipt
    # Killed twice at random batches, and gone on with: the same samples, and one receipt of them all.
    cut, seen = lake.stream(TABLE, batch_size=16, seed=4, prefetch=0), []
    kills = sorted(draw.sample(range(1, len(whole)), 2))
    for batch in cut:
        seen += numbers([batch])
        if len(seen) in kills:
            die(lab)
            lab.start()
    joined = cut.receipt()
    assert seen == whole
    same = ("hash", "rows", "complete", "start", "next_position", "plan_id", "segments")
    assert {key: joined[key] for key in same} == {key: receipt[key] for key in same}
    assert joined["id"] != receipt["id"]
    # Signed by the lab, in a file that somebody else checks.
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(joined))
    lab.run("stream", "receipts", "verify", file)
    file.write_text(json.dumps({**joined, "rows": ROWS + 1}))
    lab.run("stream", "receipts", "verify", file, code=5)
    file.write_text(json.dumps({**joined, "note": "not signed"}))
    lab.run("stream", "receipts", "verify", file, code=5)


def test_a_receipt_claims_what_was_sent_and_no_more(samples):
    lab = samples()
    lake = client.connect(lab.flight_url)
    whole = lake.stream(TABLE, batch_size=10, seed=2)
    sum(1 for _ in whole)
    first = lake.stream(TABLE, batch_size=10, seed=2, prefetch=0)
    for number, _ in enumerate(first, 1):
        if number == 7:
            break
    # What was on its way was sent, too.
    left = first.receipt()
    assert 70 <= left["rows"] <= ROWS
    assert left["complete"] == (left["rows"] == ROWS)
    # A program that went on from there has in its receipt what it had, and not what was on its way.
    rest = lake.stream(TABLE, seed=2, resume=json.loads(json.dumps(first.state(sealed=True))))
    assert sum(batch.num_rows for batch in rest) == ROWS - 70
    assert rest.receipt()["hash"] == whole.receipt()["hash"]
    assert rest.receipt()["complete"]
    # Without the seal nobody knows what came before.
    bare = lake.stream(TABLE, seed=2, resume=first.state())
    assert sum(batch.num_rows for batch in bare) == ROWS - 70
    assert (bare.receipt()["start"], bare.receipt()["rows"], bare.receipt()["complete"]) == (70, ROWS - 70, False)


def test_receipts_of_ranks_have_the_sum_of_one(samples):
    lake = client.connect(samples().flight_url)
    one = lake.stream(TABLE, batch_size=48, seed=9, drop_last=True)
    whole = sum(numbers(one), [])
    total = [int(one.receipt()["hash"].removeprefix("sum:")[at : at + 16], 16) for at in range(0, 64, 16)]
    for world in (2, 3, 4, 6, 8, 12, 16):
        ranks = [lake.stream(TABLE, global_batch=48, seed=9, rank=rank, world_size=world) for rank in range(world)]
        steps = [numbers(stream) for stream in ranks]
        assert [row for step in zip(*steps) for batch in step for row in batch] == whole, world
        receipts = [stream.receipt() for stream in ranks]
        assert sum(receipt["rows"] for receipt in receipts) == len(whole)
        words = [[int(r["hash"].removeprefix("sum:")[at : at + 16], 16) for at in range(0, 64, 16)] for r in receipts]
        swap = lambda word: int.from_bytes(word.to_bytes(8, "little"), "big")  # noqa: E731
        sums = [sum(swap(word) for word in column) % 2**64 for column in zip(*words)]
        assert sums == [swap(word) for word in total], world


def test_receipts_are_listed_for_whom_they_concern(samples):
    lab = samples(tier="registered", terms={"id": "https://tarn.example/terms", "sha256": "0" * 64})
    tokens = {
        name: lab.run("token", "create", "--name", name, "--scope", scope, "--quiet").out.strip()
        for name, scope in (("ann", "admin"), ("bob", "read"), ("eve", "admin"))
    }
    stream = client.connect(lab.flight_url, token=tokens["ann"]).stream(TABLE, batch_size=100)
    sum(1 for _ in stream)

    def listed(name, **query):
        headers = {"Authorization": f"Bearer {tokens[name]}"}
        answer = requests.get(
            f"{lab.http_url}/api/v1/streams/receipts", params=query, headers=headers, timeout=60
        ).json()
        return answer["receipts"]

    assert listed("ann") == [stream.receipt()]
    assert listed("ann")[0]["subject"] == "person:ann"
    assert listed("bob") == []
    assert len(listed("eve", affected_by="data@1")) == 1
    assert listed("eve", affected_by="data@2") == []
    told = lab.run("stream", "receipts", "list", "--affected-by", "data@1", "--json").json()
    assert told == listed("ann")
    lab.run("stream", "receipts", "--affected-by", "nothing", code=4)
    gone = lab.run("retract", "data", "--reason", "the sensor was wrong", "--json").json()
    assert [receipt["id"] for receipt in gone["receipts"]] == [told[0]["id"]]


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


def ended(stream, act):
    """Reads a stream, acts after its first batch, and says how the stream ended and how many rows came. What the node
    had sent until a second after the act still comes; nothing else does."""
    seen = 0
    try:
        for batch in stream:
            seen += batch.num_rows
            if act is not None:
                act()
                act = time.sleep(1.5)
    except client.TarnError as error:
        return error, seen
    raise AssertionError("the stream came to its end")


def test_a_retraction_ends_a_running_stream_with_the_reason(samples):
    lab = samples()
    stream = client.connect(lab.flight_url).stream(TABLE, batch_size=1, prefetch=0)
    act = lambda: lab.run("retract", "data", "--reason", "the sensor was wrong")  # noqa: E731
    error, seen = ended(stream, act)
    assert isinstance(error, errors.Retracted) and error.code == "retracted"
    assert "the sensor was wrong" in str(error)
    assert seen < ROWS


def test_a_token_that_is_revoked_ends_a_running_stream(samples):
    lab = samples(tier="registered", terms={"id": "https://tarn.example/terms", "sha256": "0" * 64})
    token = lab.run("token", "create", "--name", "ann", "--scope", "admin", "--quiet").out.strip()
    stream = client.connect(lab.flight_url, token=token).stream(TABLE, batch_size=1, prefetch=0)
    error, seen = ended(stream, lambda: lab.run("token", "revoke", "ann"))
    assert isinstance(error, errors.Unauthenticated)
    assert seen < ROWS


def test_a_policy_that_closes_ends_a_running_stream(samples, tmp_path):
    lab = samples()
    stream = client.connect(lab.flight_url).stream(TABLE, batch_size=1, prefetch=0)

    def close():
        # The newest record decides for all versions.
        terms = {"id": "https://tarn.example/terms", "sha256": "0" * 64}
        record = write_record(tmp_path / "closed.yaml", [tmp_path / "samples.h5"], tier="registered", terms=terms)
        lab.run("register", record)

    error, seen = ended(stream, close)
    assert isinstance(error, errors.PolicyChanged) and error.code == "policy_changed"
    assert seen < ROWS


def test_a_ticket_is_good_at_the_node_that_comes_after(samples):
    lab = samples()
    lake = client.connect(lab.flight_url)
    whole = numbers(lake.stream(TABLE, batch_size=250, seed=3))
    info, _ = lake.stream(TABLE, batch_size=250, seed=3).open(0)
    die(lab)
    lab.start()
    plain = flight.FlightClient(lab.flight_url)
    reading = plain.do_get(info.endpoints[0].ticket)
    assert numbers([chunk.data for chunk in reading]) == whole
    # A ticket says in which second it ends.
    time.sleep(1.1)
    renewed = plain.do_action(
        flight.Action("RenewFlightEndpoint", b"\x0a" + length(info.endpoints[0].serialize()))
    )
    endpoint = flight.FlightEndpoint.deserialize(next(iter(renewed)).body.to_pybytes())
    assert endpoint.ticket.ticket != info.endpoints[0].ticket.ticket
    assert numbers([chunk.data for chunk in plain.do_get(endpoint.ticket)]) == whole
    # Bound to who asked for it.
    token = lab.run("token", "create", "--name", "bob", "--scope", "read", "--quiet").out.strip()
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
    with pytest.raises(flight.FlightUnauthorizedError):
        plain.do_get(info.endpoints[0].ticket, options).read_all()
    # And to the key, which the operator replaces.
    lab.run("stream", "replace-key")
    time.sleep(3)
    with pytest.raises(flight.FlightUnauthorizedError):
        plain.do_get(info.endpoints[0].ticket).read_all()
    # The client goes on over that.
    stream, seen = lake.stream(TABLE, batch_size=10, seed=3, prefetch=0), []
    for batch in stream:
        seen += sum(numbers([batch]), [])
        if len(seen) == 500:
            lab.run("stream", "replace-key")
            die(lab)
            lab.start()
    assert seen == sum(whole, [])


def length(payload):
    """A length-delimited field behind its key, as protobuf has it."""
    size, digits = len(payload), b""
    while size > 0x7F:
        digits, size = digits + bytes([size & 0x7F | 0x80]), size >> 7
    return digits + bytes([size]) + payload


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
