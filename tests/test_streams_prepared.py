"""Prepared blocks of streams: every way to read gives the rows of the table, and nothing that policy hides."""

import logging
import shutil
import stat
import time

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
import tarn as client
from deltalake import DeltaTable, write_deltalake
from records import write_record
from tarn import _mapped, errors
from test_access import TIER, token

ROWS = 700
POLICY = """
@id("south")
@obligation("rows: number < 100")
permit (principal, action == Action::"read", resource == Dataset::"ornl.data")
when { principal.groups.contains("south") };
"""


def table(rows, first=0):
    """Columns of every kind that Delta has, with NULLs and without."""
    numbers = range(first, first + rows)
    return pa.table(
        {
            "number": pa.array(numbers, pa.int64()),
            "real": pa.array([float(n) / 7 for n in numbers], pa.float64()),
            "maybe": pa.array([None if n % 3 == 0 else n for n in numbers], pa.int32()),
            "small": pa.array([n % 100 for n in numbers], pa.int8()),
            "flag": pa.array([None if n % 11 == 0 else n % 2 == 0 for n in numbers], pa.bool_()),
            "text": pa.array([None if n % 5 == 0 else "é" * (n % 9) for n in numbers], pa.string()),
            "list": pa.array([None if n % 7 == 0 else list(range(n % 4)) for n in numbers], pa.list_(pa.int64())),
            "pair": pa.array([{"a": n, "b": str(n)} for n in numbers], pa.struct([("a", pa.int64()), ("b", pa.string())])),
        }
    )


def files_of(lab):
    """The prepared blocks of a lab."""
    return sorted((lab.home / "prepared").glob("*/*.arrow"))


def wait_for(lab, name="pack-0.arrow"):
    """Blocks are written while a stream runs, and joined a moment after it; a block that is the whole table stays alone."""
    for _ in range(400):
        if any(file.name == name for file in files_of(lab)):
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} is not there: {[file.name for file in files_of(lab)]}")


def read(stream):
    """All rows of a stream as a table."""
    return pa.Table.from_batches(list(stream), stream.schema)


@pytest.fixture
def delta(new_lab, tmp_path):
    """A started lab with a Delta table of three files, and the table as deltalake reads it."""
    folder = tmp_path / "plain"
    for part in range(3):
        write_deltalake(str(folder), table(ROWS // 7 * (2 + part), part * 1000), mode="append")
    lab = new_lab("ornl", start=True)
    lab.run("register", write_record(tmp_path / "data.yaml", [folder]))
    lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place")
    return lab, DeltaTable(str(folder)).to_pyarrow_table().sort_by("number")


@pytest.mark.parametrize("batch_size", [1, 37, 10_000])
def test_every_way_to_read_gives_the_rows_that_deltalake_reads(delta, batch_size):
    lab, expected = delta
    lake = client.connect(lab.flight_url)

    def rows(**fields):
        stream = lake.stream("data.t", batch_size=batch_size, **fields)
        return stream, read(stream)

    def same(found):
        ordered = found.sort_by("number").cast(expected.schema)
        ordered.validate(full=True)
        assert ordered.equals(expected)

    _, sequential = rows(shuffle=False)
    _, shuffled = rows(seed=5, epoch=2)
    wait_for(lab)
    same(sequential)
    same(shuffled)
    assert rows(shuffle=False)[1].equals(sequential)
    assert rows(seed=5, epoch=2)[1].equals(shuffled)
    for fields, known in (({"shuffle": False}, sequential), ({"seed": 5, "epoch": 2}, shuffled)):
        stream, mapped = rows(mapped=True, **fields)
        assert stream._reader.mapped == -(-ROWS // 7 * 9 // batch_size)
        mapped.validate(full=True)
        assert mapped.equals(known)
    filtered = lake.stream("data.t", batch_size=batch_size, filter="number % 2 = 0", seed=5, epoch=2, mapped=True)
    some = read(filtered)
    assert filtered._reader.mapped == 0
    assert some["number"].to_pylist() == [n for n in shuffled["number"].to_pylist() if n % 2 == 0]
    columns = lake.stream("data.t", batch_size=batch_size, columns=["text", "number"], seed=5, epoch=2)
    assert read(columns).equals(shuffled.select(["text", "number"]))


def test_ranks_and_resumption_of_a_mapped_stream_are_those_of_a_sent_one(delta):
    lab, _ = delta
    lake = client.connect(lab.flight_url)
    read(lake.stream("data.t"))
    wait_for(lab)
    for rank in range(3):
        fields = {"batch_size": 20, "seed": 3, "world_size": 3, "rank": rank, "start": 120}
        sent = list(lake.stream("data.t", **fields).batches())
        stream = lake.stream("data.t", mapped=True, **fields)
        mapped = list(stream.batches())
        assert stream._reader.mapped == len(mapped) == len(sent)
        # What is mapped is not sent, so that nothing is sealed about it.
        assert [cursor for _, cursor in mapped] == [cursor._replace(token=None) for _, cursor in sent]
        assert all(one.equals(other) for (one, _), (other, _) in zip(mapped, sent))


@pytest.mark.parametrize("layout", ["delta", "in place"])
def test_tensors_are_mapped_without_a_copy(new_lab, tmp_path, layout):
    values = np.random.default_rng(1).standard_normal((300, 3, 16, 16)).astype("f4")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = values
    lab = new_lab("ornl", start=True)
    lab.run("register", write_record(tmp_path / "data.yaml", [tmp_path / "x.h5"]))
    place = ["--in-place"] if layout == "in place" else []
    lab.run("ingest", tmp_path / "x.h5", "--dataset", "data", "--table", "t", "--layout", "tensors", *place)
    lake = client.connect(lab.flight_url)

    def tensors(**fields):
        stream = lake.stream("data.t", columns=["x"], batch_size=50, **fields)
        batches = list(stream)
        return stream, batches, np.concatenate([batch.column("x").to_numpy_ndarray() for batch in batches])

    _, _, first = tensors(shuffle=False)
    # Files in place are read chunk by chunk.
    wait_for(lab, "0.arrow" if layout == "delta" else "pack-0.arrow")
    assert (first == values).all()
    stream, batches, mapped = tensors(shuffle=False, mapped=True)
    assert stream._reader.mapped == len(batches)
    assert (mapped == values).all()
    blocks = [pa.ipc.open_file(pa.memory_map(str(file))).get_batch(0) for file in files_of(lab)]
    assert all(batch.column("x").storage.values.buffers()[0] is None for batch in blocks)
    sent, mapped = (tensors(seed=9, mapped=way)[2] for way in (False, True))
    assert (sent == mapped).all()
    assert sorted(sent[:, 0, 0, 0].tolist()) == sorted(values[:, 0, 0, 0].tolist())


def test_a_table_of_one_row_and_a_stream_of_none(new_lab, tmp_path):
    lab = new_lab("ornl", start=True)
    lake = client.connect(lab.flight_url)
    folder = tmp_path / "one"
    write_deltalake(str(folder), table(1))
    lab.run("register", write_record(tmp_path / "one.yaml", [folder], name="one"))
    lab.run("ingest", folder, "--dataset", "one", "--table", "t", "--in-place")
    for mapped in (False, True, True):
        stream = lake.stream("one.t", mapped=mapped)
        assert read(stream)["number"].to_pylist() == [0]
        wait_for(lab, "0.arrow")
        assert read(lake.stream("one.t", filter="number > 5", mapped=mapped)).num_rows == 0
        assert read(lake.stream("one.t", start=1, mapped=mapped)).num_rows == 0
    assert stream._reader.mapped == 1


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_file_is_noticed_and_made_anew(delta, damage):
    lab, _ = delta
    known = read(client.connect(lab.flight_url).stream("data.t", seed=1))
    wait_for(lab)
    lab.stop()
    [file] = files_of(lab)
    data = bytearray(file.read_bytes())
    file.unlink()
    if damage == "cut":
        data = data[: len(data) // 2]
    else:
        for at in range(len(data) // 3, len(data) // 2, 100):
            data[at] ^= 4
    file.write_bytes(data)
    lab.start()
    lake = client.connect(lab.flight_url)
    stream = lake.stream("data.t", seed=1, mapped=True)
    assert read(stream).equals(known)
    assert stream._reader.mapped == 0
    wait_for(lab)
    stream = lake.stream("data.t", seed=1, mapped=True)
    assert read(stream).equals(known)
    assert stream._reader.mapped > 0


def test_the_folder_may_be_removed_while_streams_run(delta):
    lab, _ = delta
    lake = client.connect(lab.flight_url)
    known = read(lake.stream("data.t", seed=1, batch_size=10))
    wait_for(lab)
    for mapped in (False, True):
        stream = lake.stream("data.t", seed=1, batch_size=10, mapped=mapped, prefetch=0)
        found = []
        for number, batch in enumerate(stream):
            found.append(batch)
            if number == 3:
                shutil.rmtree(lab.home / "prepared")
        assert pa.Table.from_batches(found).equals(known)
        # Who asks where the files are finds that they are gone, and the next epoch makes them anew.
        assert read(lake.stream("data.t", seed=1, batch_size=10, mapped=True)).equals(known)
        wait_for(lab)


@pytest.fixture
def large(new_lab, tmp_path):
    """A started lab with more rows than one file has: 3,000 tensors of 51 kB, each filled with its number."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.broadcast_to(np.arange(3000, dtype="f4")[:, None, None], (3000, 100, 128))
    lab = new_lab("ornl", start=True)
    lab.run("register", write_record(tmp_path / "data.yaml", [tmp_path / "x.h5"]))
    lab.run("ingest", tmp_path / "x.h5", "--dataset", "data", "--table", "t", "--layout", "tensors", "--in-place")
    return lab


def first_values(batches):
    """What the tensors of batches are filled with."""
    return [value for batch in batches for value in batch.column("x").to_numpy_ndarray()[:, 0, 0].tolist()]


def test_a_table_of_several_files_is_whole_and_in_order_however_it_is_read(large):
    lake = client.connect(large.flight_url)
    known = {shuffle: first_values(lake.stream("data.t", columns=["x"], shuffle=shuffle, batch_size=70)) for shuffle in (False, True)}
    assert known[False] == list(range(3000)) and sorted(known[True]) == known[False] != known[True]
    for number in range(3):
        wait_for(large, f"pack-{number}.arrow")
    for shuffle, mapped in ((False, False), (True, False), (False, True), (True, True)):
        stream = lake.stream("data.t", columns=["x"], shuffle=shuffle, batch_size=70, mapped=mapped)
        found = []
        for batch in stream:
            values = batch.column("x").to_numpy_ndarray()
            assert (values == values[:, :1, :1]).all()
            found += values[:, 0, 0].tolist()
        assert found == known[shuffle], (shuffle, mapped)
        assert (stream._reader.mapped > 0) == mapped


def test_a_mapped_file_that_is_gone_is_read_over_the_connection(large, caplog):
    lake = client.connect(large.flight_url)
    for _ in lake.stream("data.t", columns=["x"], shuffle=False):
        pass
    for number in range(3):
        wait_for(large, f"pack-{number}.arrow")
    stream = lake.stream("data.t", columns=["x"], shuffle=False, batch_size=70, mapped=True, prefetch=0)
    found = []
    with caplog.at_level(logging.INFO, "tarn"):
        for number, batch in enumerate(stream):
            found.append(batch)
            if number == 0:
                for file in files_of(large):
                    if file.name == "pack-1.arrow":
                        file.unlink()
    assert first_values(found) == list(range(3000))
    assert 0 < stream._reader.mapped < len(found)
    assert "over the connection" in caplog.text


def test_a_full_cache_and_a_disk_that_refuses_break_no_stream(delta):
    lab, _ = delta
    lab.stop()
    (lab.home / "prepared").write_text("no folder can be here")
    lab.start()
    lake = client.connect(lab.flight_url)
    known = read(lake.stream("data.t", seed=1))
    assert read(lake.stream("data.t", seed=1, mapped=True)).equals(known)
    lab.stop()
    (lab.home / "prepared").unlink()
    config = lab.home / "tarn.toml"
    config.write_text(config.read_text() + "\n[limits]\nprepared_gib = 0\n")
    lab.start()
    assert read(client.connect(lab.flight_url).stream("data.t", seed=1)).equals(known)
    assert not (lab.home / "prepared").exists()


def test_only_the_own_account_can_read_what_is_prepared(delta):
    lab, _ = delta
    read(client.connect(lab.flight_url).stream("data.t"))
    wait_for(lab)
    for file in files_of(lab):
        assert stat.S_IMODE(file.stat().st_mode) == 0o400
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    command = flight.FlightDescriptor.for_command(b'{"tarn.stream": 1, "dataset": "data.t"}')
    for headers in ([], [(b"x-tarn-machine", b"8c1b42a5-0000-0000-0000-000000000000")]):
        told = flight.connect(lab.flight_url).get_flight_info(command, flight.FlightCallOptions(headers=headers))
        assert not told.endpoints[0].locations
        assert b"blocks" not in told.app_metadata.replace(b"window_blocks", b"")


def test_rows_that_policy_hides_are_in_no_way_to_read(new_lab, tmp_path):
    folder = tmp_path / "plain"
    write_deltalake(str(folder), table(ROWS))
    lab = new_lab("ornl")
    record = write_record(tmp_path / "data.yaml", [folder], tier="controlled", exposure="full", **TIER)
    lab.run("register", record)
    lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place")
    (lab.home / "policies").mkdir()
    (lab.home / "policies" / "south.cedar").write_text(POLICY)
    for name, group in (("ann", "south"), ("eve", "north")):
        lab.run("user", "create", name, "--group", group, "--assurance", "low")
    lab.start()
    for name in ("ann", "eve"):
        lake = client.connect(lab.flight_url, token=token(lab, name))
        for mapped in (False, True):
            with pytest.raises((errors.PermissionDenied, errors.NotFound)):
                list(lake.stream("data.t", mapped=mapped))
    with pytest.raises((errors.PermissionDenied, errors.NotFound, errors.Unauthenticated)):
        list(client.connect(lab.flight_url, token="").stream("data.t", mapped=True))
    assert files_of(lab) == []


def test_a_right_that_is_gone_ends_a_mapped_stream_with_the_reason(delta, monkeypatch):
    lab, _ = delta
    lake = client.connect(lab.flight_url)
    read(lake.stream("data.t"))
    wait_for(lab)
    monkeypatch.setattr(_mapped, "RECHECK", 0.0)
    stream, seen = lake.stream("data.t", batch_size=10, mapped=True, prefetch=0), 0
    with pytest.raises((errors.NotFound, errors.PermissionDenied, errors.Conflict), match="(?i)withdrawn|retracted"):
        for _ in stream:
            seen += 1
            if seen == 2:
                lab.run("retract", "data", "--reason", "the sensor was wrong")
    assert seen == 2
    with pytest.raises((errors.NotFound, errors.PermissionDenied, errors.Conflict)):
        list(lake.stream("data.t", batch_size=10, mapped=True))


def test_a_unix_socket_serves_the_own_account(new_lab, tmp_path):
    lab = new_lab("ornl", env={"TARN_FLIGHT_UNIX": "flight.sock"})
    folder = tmp_path / "plain"
    write_deltalake(str(folder), table(ROWS))
    lab.run("register", write_record(tmp_path / "data.yaml", [folder]))
    lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place")
    lab.start()
    socket = lab.home / "flight.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    lake = client.connect(f"grpc+unix://{socket}")
    assert lake.sql("SELECT count(*) AS n FROM data.t").arrow().to_pylist() == [{"n": ROWS}]
    found = read(lake.stream("data.t", seed=1))
    assert found.equals(read(client.connect(lab.flight_url).stream("data.t", seed=1)))
    lab.stop()
    assert not socket.exists()
    lab.start()
    assert read(client.connect(f"grpc+unix://{socket}").stream("data.t", seed=1)).equals(found)


def test_what_has_another_form_is_sent_and_not_mapped(delta):
    lab, _ = delta
    lake = client.connect(lab.flight_url)
    read(lake.stream("data.t"))
    wait_for(lab)
    for fields in ({"nulls": "mask", "columns": ["number", "maybe"]}, {"tail": "pad", "batch_size": 37}, {"tail": "pad", "world_size": 3, "rank": 2, "shuffle": False}):
        sent, mapped = lake.stream("data.t", **fields), lake.stream("data.t", mapped=True, **fields)
        found = read(mapped)
        assert found.equals(read(sent)) and found.schema.equals(mapped.schema), fields
        assert mapped._reader.mapped == 0


def test_a_mapped_stream_that_began_from_a_sealed_state_survives_a_block_that_goes(delta):
    lab, _ = delta
    lake = client.connect(lab.flight_url)
    whole = lake.stream("data.t", batch_size=10, seed=1, prefetch=0)
    known = read(whole)
    wait_for(lab)
    begun, first = lake.stream("data.t", batch_size=10, seed=1, prefetch=0), []
    for batch in begun:
        first.append(batch)
        if len(first) == 4:
            break
    rest = lake.stream("data.t", batch_size=10, seed=1, prefetch=0, mapped=True, resume=begun.state(sealed=True))
    for number, batch in enumerate(rest):
        first.append(batch)
        if number == 5:
            shutil.rmtree(lab.home / "prepared")
    assert pa.Table.from_batches(first).equals(known)


def test_the_epoch_of_a_loaded_state_goes_on_where_it_was(delta):
    lab, _ = delta
    lake = client.connect(lab.flight_url)
    begun = lake.stream("data.t", batch_size=10, seed=1, epoch=1, prefetch=0)
    head = [batch for _, batch in zip(range(3), begun)]
    state = begun.state()
    other = lake.stream("data.t", batch_size=10, seed=1)
    other.load_state(state)
    other.set_epoch(1)
    assert other.next_start == state["position"]
    rest = list(other)
    assert sum(batch.num_rows for batch in head + rest) == read(lake.stream("data.t", epoch=1, seed=1)).num_rows
    other.set_epoch(1)
    assert other.next_start == 0
