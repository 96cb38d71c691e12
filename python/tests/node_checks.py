"""Python clients against the node of `query/tests/support`: the Rust test `flight_stream` runs this file."""

import json
import os
import pickle
import types

import adbc_driver_flightsql.dbapi as flightsql
import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
import tarn
import tarn.torch
from adbc_driver_flightsql import DatabaseOptions
from tarn import errors

URL, TOKEN = os.environ["TARN_NODE"], os.environ["TARN_NODE_TOKEN"]
ROWS = 115


@pytest.fixture
def lake():
    return tarn.connect(URL, token=TOKEN)


def times(batches):
    """The times of all rows; every image must belong to its time."""
    found = []
    for batch in batches:
        column, image = batch.column("time").to_pylist(), batch.column("image")
        assert image.type.shape == [2, 3]
        for time, values in zip(column, image.to_numpy_ndarray()):
            np.testing.assert_array_equal(values, np.full((2, 3), time, "f4"))
        found += column
    return found


def adbc(token=None, **options):
    if token is not None:
        options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    return flightsql.connect(URL.replace("grpc://", "grpc+tcp://"), db_kwargs=options)


def test_adbc_queries_without_a_token_what_is_public():
    with adbc() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), sum(id) FROM ornl.scans.log")
        assert cursor.fetchone() == (40, 780)
        cursor.execute("SELECT * FROM ornl.scans.images ORDER BY time")
        assert cursor.fetch_arrow_table()["time"].to_pylist() == list(range(ROWS))
        with pytest.raises(Exception, match="(?i)denied|token|sign|not"):
            cursor.execute("SELECT count(*) FROM ornl.inside.images")


def test_adbc_queries_with_a_token_and_with_a_password():
    with adbc(TOKEN) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ornl.inside.images")
        assert cursor.fetchone() == (ROWS,)
    with adbc(username="ann", password=TOKEN) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ornl.inside.images")
        assert cursor.fetchone() == (ROWS,)


def test_adbc_is_refused_with_a_wrong_token():
    with pytest.raises(Exception, match="(?i)unauthenticated"):
        with adbc("wrong") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    with pytest.raises(Exception, match="(?i)unauthenticated"):
        with adbc(username="ann", password="wrong") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_adbc_lists_objects_schemas_and_itself():
    with adbc(TOKEN) as connection:
        found = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        tables = {
            (catalog["catalog_name"], schema["db_schema_name"], table["table_name"])
            for catalog in found
            for schema in catalog["catalog_db_schemas"] or []
            for table in schema["db_schema_tables"] or []
        }
        assert {("ornl", "scans", "cells"), ("ornl", "scans", "log"), ("ornl", "inside", "images")} <= tables
        schema = connection.adbc_get_table_schema("log", catalog_filter="ornl", db_schema_filter="scans")
        assert schema.names == ["id", "text"]
        assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
        assert connection.adbc_get_info()["vendor_name"] == "tarn"
        for depth in ("catalogs", "db_schemas", "tables"):
            found = connection.adbc_get_objects(depth=depth, table_name_filter="nothing").read_all()
            assert [catalog["catalog_name"] for catalog in found.to_pylist()] == ["ornl"]


def test_adbc_prepares_and_is_told_what_is_wrong():
    with adbc(TOKEN) as connection, connection.cursor() as cursor:
        schema = cursor.adbc_prepare("SELECT 1 AS one")
        assert schema is None or len(schema) == 0
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchone() == (1,)
        with pytest.raises(Exception, match="tmep"):
            cursor.execute("SELECT tmep FROM ornl.scans.log")
        with pytest.raises(Exception, match="only reads|not allowed"):
            cursor.execute("DROP TABLE ornl.scans.log")
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)


def test_pyarrow_logs_in_with_a_password():
    client = flight.connect(URL)
    header, value = client.authenticate_basic_token("ann", TOKEN)
    assert (header, value) == (b"authorization", f"Bearer {TOKEN}".encode())
    with pytest.raises(flight.FlightUnauthenticatedError):
        client.authenticate_basic_token("ann", "wrong")


def test_sql_gives_tables_frames_batches_and_sites(lake):
    query = "SELECT id, text FROM ornl.scans.log ORDER BY id"
    result = lake.sql(query)
    assert result.schema.names == ["id", "text"]
    assert result.arrow()["id"].to_pylist() == list(range(40))
    assert [site["lab"] for site in result.sites] == ["ornl"]
    assert lake.sql(query).pandas()["text"].tolist() == [f"row {id}" for id in range(40)]
    assert lake.sql(query).polars()["id"].to_list() == list(range(40))
    result = lake.sql(query, partial="allow")
    assert sum(batch.num_rows for batch in result.batches()) == 40
    assert result.sites[0]["status"] == "ok"
    assert result.arrow().num_rows == 40
    empty = lake.sql("SELECT id FROM ornl.scans.log WHERE id < 0")
    assert (empty.arrow().num_rows, empty.sites[0]["lab"]) == (0, "ornl")


def test_errors_have_codes(lake):
    with pytest.raises(errors.NotFound, match="nothing"):
        lake.sql("SELECT 1 FROM ornl.scans.nothing")
    with pytest.raises(errors.InvalidArgument, match="tmep"):
        lake.sql("SELECT tmep FROM ornl.scans.log")
    with pytest.raises(errors.Unauthenticated):
        tarn.connect(URL, token="wrong").sql("SELECT 1")
    with pytest.raises(errors.NotFound):
        lake.dataset("ornl.nothing")
    with pytest.raises(errors.InvalidArgument, match="batchsize"):
        list(lake.stream("ornl.scans.images", batchsize=3))
    with pytest.raises(tarn.TarnError) as caught:
        tarn.connect("grpc://127.0.0.1:1").sql("SELECT 1")
    assert caught.value.code == "unavailable"


def test_search_and_datasets(lake):
    assert lake.search("scans")["total"] == 2
    assert [hit["name"] for hit in lake.search("scans", filters={"tier": "public"})["hits"]] == ["scans"]
    dataset = lake.dataset("ornl.scans")
    assert {table["name"] for table in dataset.tables()} == {"cells", "images", "log"}
    cells = dataset.to_xarray("cells")
    assert dict(cells.sizes) == {"time": ROWS, "y": 2, "x": 3}
    np.testing.assert_array_equal(cells["image"].sel(y=1, x=2), np.arange(ROWS))


def test_a_stream_by_pyarrow_alone():
    client = flight.connect(URL)
    command = {"tarn.stream": 1, "dataset": "ornl.scans.images", "batch_size": 5, "shuffle": False}
    info = client.get_flight_info(flight.FlightDescriptor.for_command(json.dumps(command).encode()))
    assert info.total_records == ROWS
    reader = client.do_get(info.endpoints[0].ticket)
    chunks = list(reader)
    assert times(chunk.data for chunk in chunks) == list(range(ROWS))
    assert all(isinstance(chunk.data.column("image"), pa.FixedShapeTensorArray) for chunk in chunks)
    assert tarn.Cursor.parse(chunks[-1].app_metadata).last


def test_a_stream_is_whole_reproducible_and_has_a_receipt(lake):
    stream = lake.stream("ornl.scans.images", batch_size=10, seed=7, drop_last=False)
    assert len(stream) == 12
    first = times(stream)
    assert sorted(first) == list(range(ROWS))
    assert times(stream) == first
    receipt = stream.receipt()
    assert (receipt["rows"], receipt["plan_id"]) == (ROWS, stream.plan["plan_id"])
    stream.set_epoch(1)
    assert times(stream) != first
    assert times(lake.stream("ornl.scans.images", batch_size=10, seed=8, drop_last=False)) != first


def test_a_stream_goes_on_from_a_state_also_in_another_process_and_world(lake):
    # Ranks end at the same step, so both leave out what does not fill one.
    whole = times(lake.stream("ornl.scans.images", batch_size=8, seed=5, drop_last=True))
    stream, seen = lake.stream("ornl.scans.images", batch_size=8, seed=5), []
    for count, batch in enumerate(stream):
        seen += times([batch])
        if count == 3:
            break
    state = json.loads(json.dumps(stream.state()))
    assert state["position"] == 32
    again = lake.stream("ornl.scans.images", batch_size=8, seed=5, drop_last=True, resume=state)
    again = pickle.loads(pickle.dumps(again))
    assert seen + times(again) == whole
    halves = [
        list(lake.stream("ornl.scans.images", batch_size=4, seed=5, world_size=2, rank=rank, resume=state))
        for rank in (0, 1)
    ]
    assert seen + times(batch for step in zip(*halves) for batch in step) == whole
    with pytest.raises(errors.InvalidArgument, match="global_batch"):
        lake.stream("ornl.scans.images", batch_size=16, seed=5, resume=state)
    with pytest.raises(errors.Conflict):
        list(lake.stream("ornl.scans.images", batch_size=8, seed=5, filter="time > 1", resume=state))


@pytest.mark.parametrize("workers", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("drop_last", [True, False])
def test_workers_share_the_steps_in_the_order_of_one(lake, monkeypatch, workers, drop_last):
    make = lambda: tarn.torch.StreamDataset(  # noqa: E731
        lake.stream("ornl.scans.images", batch_size=8, seed=2, drop_last=drop_last)
    )
    whole = [batch["time"].tolist() for batch in make()]
    assert sum(map(len, whole)) == (112 if drop_last else 115)
    shares = []
    for worker in range(workers):
        info = types.SimpleNamespace(id=worker, num_workers=workers)
        monkeypatch.setattr(tarn.torch, "get_worker_info", lambda info=info: info)
        shares.append([batch["time"].tolist() for batch in make()])
    steps = [share[step] for step in range(len(whole)) for share in shares if step < len(share)]
    assert not workers or steps == whole


def test_a_dataset_gives_tensors_of_the_shape_of_the_images(lake):
    dataset = tarn.torch.StreamDataset(lake.stream("ornl.scans.images", batch_size=8, seed=2))
    batch = next(iter(dataset))
    assert tuple(batch["image"].shape) == (8, 2, 3)
    assert len(dataset) == 15
    dataset.load_state_dict(dataset.state_dict())
    assert len(list(dataset)) == 14
