"""Streams over tables that change, lose files, or hold rows far larger than their types say; and receipts that came late."""

import datetime
import json
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tarn as client
from deltalake import write_deltalake
from records import write_record
from tarn import errors

MEGABYTE = 1_000_000


@pytest.fixture
def over(new_lab, tmp_path):
    """A started lab with a Delta table in place of these parts, and the table's folder."""

    def make(parts, settings=""):
        folder = tmp_path / "plain"
        for part in parts:
            write_deltalake(str(folder), part, mode="append")
        lab = new_lab("ornl", start=True, settings=settings)
        lab.run("register", write_record(tmp_path / "data.yaml", [folder]))
        lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place")
        return lab, folder

    return make


def numbers(rows, first=0):
    return pa.table({"n": pa.array(range(first, first + rows), pa.int64())})


def rows_of(stream):
    return [n for batch in stream for n in batch.column("n").to_pylist()]


def test_a_table_that_is_written_anew_under_the_same_version_is_another_stream(over):
    lab, folder = over([numbers(200)])
    stream = client.connect(lab.flight_url).stream("data.t", seed=1, batch_size=50, prefetch=0)
    next(iter(stream))
    state = stream.state()
    shutil.rmtree(folder)
    write_deltalake(str(folder), numbers(200, 50_000))
    lab.stop()
    lab.start()
    lake = client.connect(lab.flight_url)
    with pytest.raises(errors.PlanChanged):
        rows_of(lake.stream("data.t", seed=1, resume=state))
    with pytest.raises(errors.PlanChanged):
        rows_of(lake.stream("data.t", seed=1, resume=stream.state(sealed=True)))
    assert sorted(rows_of(lake.stream("data.t", seed=1))) == list(range(50_000, 50_200))


def test_a_shuffled_batch_of_long_texts_takes_what_it_weighs(over):
    """60 files of 100 texts of a megabyte: a batch of 64 has rows of all files, and is not all of them."""
    text = "x" * MEGABYTE
    parts = [
        pa.table({"n": pa.array(range(part * 100, part * 100 + 100), pa.int64()), "t": pa.array([text] * 100)})
        for part in range(60)
    ]
    lab, _ = over(parts, "\n[limits]\nprepared_gib = 0\n")
    peak, ended = [0], threading.Event()

    def watch():
        status = Path(f"/proc/{lab.process.pid}/status")
        while not ended.wait(0.02):
            peak[0] = max(peak[0], int(status.read_text().split("RssAnon:")[1].split()[0]) >> 10)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        lake = client.connect(lab.flight_url)
        stream = lake.stream("data.t", batch_size=64, prefetch=0)
        batch = next(iter(stream))
    finally:
        ended.set()
        watcher.join()
    assert len(set(batch.column("n").to_pylist())) == 64
    assert all(value == text for value in batch.column("t").to_pylist())
    assert stream.plan["selected"] == 6000
    # Two batches of 64 MB are gathered, two blocks of 100 MB are decoded, and a quarter of the engine's memory is cache.
    assert peak[0] < 2500, f"{peak[0]} MiB"
    with pytest.raises(errors.ResourceExhausted, match="smaller"):
        rows_of(lake.stream("data.t", batch_size=2000))
    with pytest.raises(errors.ResourceExhausted, match="smaller"):
        rows_of(lake.stream("data.t", batch_size=300))


def test_rows_whose_file_is_gone_or_damaged_are_lost_and_not_a_fault_of_the_node(over):
    lab, folder = over([numbers(100), numbers(100, 100)], "\n[limits]\nprepared_gib = 0\n")
    lake = client.connect(lab.flight_url)
    # The plan is kept, and the file goes before its rows are read.
    assert lake.stream("data.t", shuffle=False).plan["selected"] == 200
    file = sorted(folder.glob("*.parquet"))[0]
    whole = file.read_bytes()
    file.unlink()
    with pytest.raises(errors.DataLoss, match="gone"):
        rows_of(lake.stream("data.t", shuffle=False))
    end = int.from_bytes(whole[-8:-4], "little") + 8
    file.write_bytes(whole[:4] + bytes(len(whole) - end - 4) + whole[-end:])
    with pytest.raises(errors.DataLoss, match="damaged"):
        rows_of(lake.stream("data.t", shuffle=False))
    file.write_bytes(whole)
    assert sorted(rows_of(lake.stream("data.t", shuffle=False))) == list(range(200))


def test_a_receipt_that_could_not_be_kept_at_the_end_comes_when_it_is_asked_for(over):
    # More than is on its way at once.
    text = "x" * MEGABYTE
    lab, _ = over([pa.table({"n": pa.array(range(100), pa.int64()), "t": pa.array([text] * 100)})])
    stream = client.connect(lab.flight_url).stream("data.t", batch_size=5, prefetch=0)
    batches = iter(stream)
    next(batches)
    held = sqlite3.connect(lab.home / "catalog.sqlite", isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    try:
        started = time.monotonic()
        assert sum(batch.num_rows for batch in batches) == 95
        assert time.monotonic() - started > 5, "the node did not wait for the database: the test shows nothing"
    finally:
        held.execute("ROLLBACK")
        held.close()
    receipt = stream.receipt()
    assert (receipt["rows"], receipt["complete"]) == (100, True)


def test_what_a_wide_table_has_instead_of_a_column_arrives(over):
    lab, _ = over([pa.table({f"a_rather_long_name_of_a_column_{number}": [1.0] for number in range(700)})])
    lake = client.connect(lab.flight_url)
    with pytest.raises(errors.InvalidArgument, match='no column "nope"'):
        list(lake.stream("data.t", columns=["nope"]))
    with pytest.raises(errors.InvalidArgument, match="nope"):
        list(lake.stream("data.t", filter="nope > 1"))


def test_null_inside_lists_and_structs_is_null(over):
    lists = pa.array([[1, None], [2], [3]], pa.list_(pa.int64()))
    lab, _ = over([pa.table({"n": pa.array(range(3), pa.int64()), "l": lists})])
    lake = client.connect(lab.flight_url)
    for nulls in ("error", "nan", "mask"):
        with pytest.raises(errors.BadSample, match='"l"'):
            list(lake.stream("data.t", nulls=nulls))
    assert sorted(rows_of(lake.stream("data.t", nulls="error", filter="n > 0"))) == [1, 2]


def delta_of(folder, schema, files):
    """A Delta table of Parquet files as other programs write them, with a log by hand. `schema` is in Delta's words."""
    (folder / "_delta_log").mkdir(parents=True)
    names = []
    for number, write in enumerate(files):
        write(folder / f"{number}.parquet")
        names.append(f"{number}.parquet")
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in schema.items()]
    metadata = {"id": "1", "format": {"provider": "parquet", "options": {}}, "partitionColumns": [], "configuration": {}}
    metadata["schemaString"] = json.dumps({"type": "struct", "fields": fields})
    entries = [{"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}, {"metaData": metadata}]
    for name in names:
        size, rows = (folder / name).stat().st_size, pq.ParquetFile(folder / name).metadata.num_rows
        add = {"path": name, "size": size, "partitionValues": {}, "modificationTime": 0, "dataChange": True}
        entries.append({"add": {**add, "stats": json.dumps({"numRecords": rows})}})
    log = folder / "_delta_log" / f"{0:020}.json"
    log.write_text("\n".join(json.dumps(entry) for entry in entries))


@pytest.fixture
def foreign(new_lab, tmp_path):
    """A started lab with a table of files that other programs wrote, in place."""

    def make(schema, *files, settings=""):
        folder = tmp_path / "foreign"
        delta_of(folder, schema, files)
        lab = new_lab("ornl", start=True, settings=settings)
        lab.run("register", write_record(tmp_path / "data.yaml", [folder]))
        lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place")
        return lab, folder

    return make


def test_times_of_96_bits_beyond_nanoseconds_are_what_spark_wrote(foreign):
    times = [datetime.datetime(2020, 1, 1), datetime.datetime(9999, 12, 31), datetime.datetime(1500, 1, 1), None]
    table = pa.table({"n": [1, 2, 3, 4], "at": pa.array(times, pa.timestamp("us"))})

    def write(path):
        pq.write_table(table, path, use_deprecated_int96_timestamps=True, store_schema=False)

    lab, _ = foreign({"n": "long", "at": "timestamp"}, write)
    lake = client.connect(lab.flight_url)
    batch = next(iter(lake.stream("data.t", shuffle=False)))
    expected = [time and time.replace(tzinfo=datetime.timezone.utc) for time in times]
    assert batch.column("at").to_pylist() == expected
    found = lake.sql("SELECT at FROM data.t ORDER BY n").arrow()["at"].to_pylist()
    assert found == expected
    assert lake.sql("SELECT n FROM data.t WHERE at > TIMESTAMP '9000-01-01'").arrow()["n"].to_pylist() == [2]


def test_a_struct_that_gained_a_field_has_null_there(foreign):
    kind = {"type": "struct", "fields": [{"name": name, "type": "long", "nullable": True, "metadata": {}} for name in "abc"]}
    old = pa.table({"n": [1], "s": pa.array([{"a": 1, "b": 2}], pa.struct([("a", pa.int64()), ("b", pa.int64())]))})
    new = pa.table({"n": [2], "s": pa.array([{"c": 6, "b": 5, "a": 4}], pa.struct([(name, pa.int64()) for name in "cba"]))})
    lab, _ = foreign({"n": "long", "s": kind}, lambda path: pq.write_table(old, path), lambda path: pq.write_table(new, path))
    stream = client.connect(lab.flight_url).stream("data.t", shuffle=False)
    rows = [row for batch in stream for row in batch.to_pylist()]
    assert sorted(rows, key=lambda row: row["n"]) == [
        {"n": 1, "s": {"a": 1, "b": 2, "c": None}},
        {"n": 2, "s": {"a": 4, "b": 5, "c": 6}},
    ]


def test_a_row_that_fills_a_batch_again_and_again_is_weighed_first(over):
    """The last row is 8 MB, and `pad` says it 200 times: 1.6 GB of one column."""
    texts = ["x"] * 2000 + ["y" * 8_000_000]
    lab, _ = over([pa.table({"n": pa.array(range(2001), pa.int64()), "t": pa.array(texts)})])
    lake = client.connect(lab.flight_url)
    with pytest.raises(errors.ResourceExhausted, match="smaller batch_size"):
        list(lake.stream("data.t", shuffle=False, tail="pad", batch_size=200, start=2000))
    assert sum(batch.num_rows for batch in lake.stream("data.t", shuffle=False, batch_size=200)) == 2001


def test_texts_that_a_dictionary_hides_are_counted_as_they_are_decoded(foreign):
    """A file of kilobytes stands for 1.6 GB, and says nothing of where its rows begin."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 16_000, pa.int32()), pa.array(["z" * 100_000]))
    table = pa.table({"n": pa.array(range(16_000), pa.int64()), "t": column})
    lab, folder = foreign({"n": "long", "t": "string"}, lambda path: pq.write_table(table, path))
    assert (folder / "0.parquet").stat().st_size < 1_000_000
    lake = client.connect(lab.flight_url)
    for fields in ({}, {"filter": "length(t) > 1"}):
        with pytest.raises(errors.ResourceExhausted, match="row group 0"):
            list(lake.stream("data.t", batch_size=1, **fields))
    assert len(rows_of(lake.stream("data.t", columns=["n"]))) == 16_000


def test_a_file_that_is_gone_before_the_stream_was_planned_is_data_loss_too(over):
    lab, folder = over([numbers(100)])
    sorted(folder.glob("*.parquet"))[0].unlink()
    lake = client.connect(lab.flight_url)
    for fields in ({}, {"filter": "n > 3"}):
        with pytest.raises(errors.DataLoss, match="gone"):
            list(lake.stream("data.t", **fields))
