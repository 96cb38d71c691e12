"""What a stream may be asked for beside its rows: tails, splits, values in place of NULL, signs of life."""

import h5py
import numpy as np
import pyarrow.flight as flight
import pytest
import tarn as client
from records import write_record
from tarn import errors
from test_python_streams import ROWS, SHAPE, TABLE, numbers, samples  # noqa: F401
from web import web_server


def test_a_tail_is_dropped_kept_or_filled(samples):  # noqa: F811
    lake = client.connect(samples().flight_url)
    whole = sum(numbers(lake.stream(TABLE, batch_size=48, seed=1)), [])
    assert sum(numbers(lake.stream(TABLE, batch_size=48, seed=1, tail="keep")), []) == whole
    assert sum(numbers(lake.stream(TABLE, batch_size=48, seed=1, tail="drop")), []) == whole[: 20 * 48]
    for world in (1, 3, 16):
        ranks = [
            lake.stream(TABLE, global_batch=48, seed=1, tail="pad", rank=rank, world_size=world) for rank in range(world)
        ]
        seen, counts = [], []
        for batches in zip(*ranks, strict=True):
            counts.append([batch.num_rows for batch in batches])
            for batch in batches:
                valid = batch.column("_valid").to_numpy(zero_copy_only=False)
                rows = np.array(numbers([batch])[0])
                seen += rows[valid].tolist()
                assert set(rows[~valid]) <= {whole[-1]}
        assert seen == whole, world
        assert counts == [[48 // world] * world] * 21
        assert all(len(stream) == 21 for stream in ranks)
        assert sum(stream.receipt()["rows"] for stream in ranks) == ROWS
    with pytest.raises(errors.InvalidArgument, match="tail: pad"):
        list(lake.stream(TABLE, global_batch=48, tail="keep", rank=0, world_size=2))


def test_splits_are_all_rows_and_share_none(samples):  # noqa: F811
    lake = client.connect(samples().flight_url)
    read = lambda **how: sorted(sum(numbers(lake.stream(TABLE, **how)), []))  # noqa: E731
    parts = [read(split=name, seed=seed) for seed, name in enumerate(("train", "validation", "test"))]
    assert sorted(sum(parts, [])) == list(range(ROWS))
    assert read(split=[0, 0.8], shuffle=False, epoch=3) == parts[0]
    assert read(split="test", filter="dim_0 < 500") == [row for row in parts[2] if row < 500]
    with pytest.raises(errors.InvalidArgument, match="split"):
        read(split="dev")


def test_null_ends_a_stream_or_has_another_value_in_its_place(new_lab, tmp_path):
    file, values = tmp_path / "holes.h5", np.arange(60, dtype="f4").reshape(20, 3)
    values[7, 1] = -1
    with h5py.File(file, "w") as out:
        out["x"] = values
        out["x"].attrs["_FillValue"] = np.float32(-1)
    lab = new_lab("ornl", start=True)
    lab.run("register", write_record(tmp_path / "ornl.yaml", [file]))
    lab.run("ingest", file, "--dataset", "data", "--table", "samples", "--layout", "tensors", "--in-place")
    lake = client.connect(lab.flight_url)
    read = lambda nulls: list(lake.stream(TABLE, columns=["x"], shuffle=False, nulls=nulls))  # noqa: E731
    hole = values == -1
    assert read(None)[0].column("x").storage.flatten().null_count == 1
    with pytest.raises(errors.BadSample, match='"x"'):
        read("error")
    filled = np.concatenate([batch.column("x").to_numpy_ndarray() for batch in read("nan")])
    np.testing.assert_array_equal(filled, np.where(hole, np.nan, values))
    (batch,) = read("mask")
    np.testing.assert_array_equal(batch.column("x").to_numpy_ndarray(), np.where(hole, 0, values))
    np.testing.assert_array_equal(batch.column("x__valid").to_numpy_ndarray(), ~hole)


def test_a_node_that_waits_for_a_slow_store_says_that_it_is_there(new_lab, tmp_path):
    with h5py.File(tmp_path / "samples.h5", "w") as out:
        out["x"] = np.arange(ROWS, dtype="f4")[:, None, None, None] * np.ones(SHAPE, "f4")
    with web_server(tmp_path) as web:
        lab = new_lab("ornl", start=True)
        url = f"{web.url}/samples.h5"
        record = write_record(tmp_path / "ornl.yaml", [])
        record.write_text(record.read_text().replace("files: []", f"files: ['{url}']"))
        lab.run("register", record)
        lab.run("ingest", url, "--dataset", "data", "--table", "samples", "--layout", "tensors", "--in-place")
        lake = client.connect(lab.flight_url)
        stream = lake.stream(TABLE, batch_size=250, shuffle=False, heartbeat_seconds=1)
        info, _ = stream.open(0)
        web.delay = 4
        beats, rows = 0, []
        for chunk in flight.FlightClient(lab.flight_url).do_get(info.endpoints[0].ticket):
            cursor = client.Cursor.parse(chunk.app_metadata)
            assert cursor.heartbeat == (chunk.data is None)
            beats += cursor.heartbeat
            rows += [] if cursor.heartbeat else numbers([chunk.data])[0]
            web.delay = 4 if beats < 2 else 0
        assert beats >= 2
        assert rows == list(range(ROWS))
        assert sum(numbers(stream), []) == rows


def test_fields_that_are_unknown_or_contradict_each_other_are_refused(samples):  # noqa: F811
    lake = client.connect(samples().flight_url)
    for fields, problem in (
        ({"shufle": True}, "shufle"),
        ({"tail": "pads"}, "pads"),
        ({"tail": "drop", "drop_last": False}, "tail"),
        ({"nulls": "zero"}, "zero"),
        ({"resume_from": 3}, "resume_from"),
    ):
        with pytest.raises(errors.InvalidArgument, match=problem):
            list(lake.stream(TABLE, **fields))
