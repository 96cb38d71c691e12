"""Foreign clients against `tarn serve`: ADBC, pyarrow.flight, HTTP."""

import json

import adbc_driver_flightsql.dbapi as flightsql
import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
import requests
from adbc_driver_flightsql import DatabaseOptions
from fields import random_netcdf, read_masked
from records import write_record

ROWS = "SELECT lat, lon, temp, count FROM ornl.data.cells ORDER BY time, lat, lon"


@pytest.fixture(scope="module")
def served(module_lab, tmp_path_factory):
    """A running lab with a table of cells, one of tensors, its file and a token."""
    folder = tmp_path_factory.mktemp("files")
    path = random_netcdf(folder / "f.nc", 33, "NETCDF4", "noleap")
    lab = module_lab("ornl")
    lab.run("register", write_record(folder / "r.yaml", [path]))
    lab.run("ingest", path, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon")
    lab.run(
        "ingest",
        path,
        "--dataset",
        "data",
        "--table",
        "fields",
        "--grid",
        "time_lat_lon",
        "--layout",
        "tensors",
        "--in-place",
    )
    lab.start()
    token = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    return lab, path, token


@pytest.fixture
def adbc(served):
    """A connection with a token."""
    lab, _, token = served
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    with flightsql.connect(lab.flight_url, db_kwargs=options) as connection:
        yield connection


def test_adbc_runs_a_query(adbc, served):
    _, path, _ = served
    fields, _, _, _ = read_masked(path)
    with adbc.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) AS n, count(temp) AS present, sum(CAST(count AS BIGINT)) AS total FROM ornl.data.cells"
        )
        assert cursor.fetchone() == (
            fields["temp"].size,
            int(fields["temp"].count()),
            int(fields["count"].astype("i8").sum()),
        )
        cursor.execute(ROWS)
        assert cursor.fetch_arrow_table().num_rows == fields["temp"].size


def test_adbc_lists_catalogs_schemas_tables_and_columns(adbc):
    found = adbc.adbc_get_objects(depth="all").read_all().to_pylist()
    tables = {
        (catalog["catalog_name"], schema["db_schema_name"], table["table_name"])
        for catalog in found
        for schema in catalog["catalog_db_schemas"] or []
        for table in schema["db_schema_tables"] or []
    }
    assert {("ornl", "data", "cells"), ("ornl", "data", "fields")} <= tables
    schema = adbc.adbc_get_table_schema("cells", catalog_filter="ornl", db_schema_filter="data")
    assert {"time", "lat", "lon", "temp", "packed"} <= set(schema.names)
    assert "table" in [kind.lower() for kind in adbc.adbc_get_table_types()] or adbc.adbc_get_table_types()


def test_adbc_prepares_statements_and_reads_the_server_s_name(adbc):
    assert "tarn" in adbc.adbc_get_info()["vendor_name"].lower()
    with adbc.cursor() as cursor:
        cursor.adbc_prepare("SELECT 1 AS one")
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchone() == (1,)


def test_adbc_is_told_what_is_wrong(adbc, served):
    with adbc.cursor() as cursor:
        with pytest.raises(Exception, match="tmep"):
            cursor.execute("SELECT tmep FROM ornl.data.cells")
        with pytest.raises(Exception, match="nothing"):
            cursor.execute("SELECT 1 FROM ornl.data.nothing")
        cursor.execute("SELECT 2")
        assert cursor.fetchone() == (2,)
    lab, _, _ = served
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer wrong"}
    with pytest.raises(Exception, match=r"(?i)unauth|token"):
        with flightsql.connect(lab.flight_url, db_kwargs=options) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def stream(lab, token, **command):
    """Batches of a stream by pyarrow.flight, and the FlightInfo."""
    client = flight.connect(lab.flight_url)
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
    command = {"tarn.stream": 1, "dataset": "ornl.data.fields", "batch_size": 4, **command}
    info = client.get_flight_info(flight.FlightDescriptor.for_command(json.dumps(command).encode()), options)
    tables = [client.do_get(endpoint.ticket, options).read_all() for endpoint in info.endpoints]
    return info, pa.concat_tables(tables)


def times(table):
    """The leading coordinate of every row, as comparable values."""
    return (
        table["time"].cast(pa.int64()).to_pylist()
        if pa.types.is_timestamp(table["time"].type)
        else table["time"].to_pylist()
    )


def test_a_stream_in_order_is_the_table(served):
    lab, path, token = served
    fields, axes, _, _ = read_masked(path)
    info, table = stream(lab, token, shuffle=False, drop_last=False)
    assert info.total_records == len(axes["time"]) == table.num_rows
    column = table["plain"].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    np.testing.assert_array_equal(column.to_numpy_ndarray(), fields["plain"].filled(np.nan))


def test_a_shuffled_epoch_has_every_row_once_in_an_order_that_the_seed_gives(served):
    lab, _, token = served
    in_order = times(stream(lab, token, shuffle=False, drop_last=False)[1])
    first = times(stream(lab, token, shuffle=True, seed=7, epoch=0, drop_last=False)[1])
    again = times(stream(lab, token, shuffle=True, seed=7, epoch=0, drop_last=False)[1])
    other = times(stream(lab, token, shuffle=True, seed=8, epoch=0, drop_last=False)[1])
    next_epoch = times(stream(lab, token, shuffle=True, seed=7, epoch=1, drop_last=False)[1])
    assert sorted(first) == sorted(in_order)
    assert first == again
    assert len({tuple(order) for order in (in_order, first, other, next_epoch)}) == 4


def test_ranks_share_an_epoch_without_overlap(served):
    lab, _, token = served
    whole = times(stream(lab, token, shuffle=True, seed=3, drop_last=False)[1])
    parts = [
        times(stream(lab, token, shuffle=True, seed=3, drop_last=True, world_size=2, rank=rank, batch_size=2)[1])
        for rank in (0, 1)
    ]
    # The order does not depend on the number of ranks; what fills no global batch is left out.
    assert sorted(parts[0] + parts[1]) == sorted(whole[: len(whole) // 4 * 4])


def test_a_stream_of_an_unknown_table_or_with_a_wrong_token_is_refused(served):
    lab, _, token = served
    # pyarrow has exceptions of its own for NOT_FOUND and INVALID_ARGUMENT.
    with pytest.raises(KeyError, match="nothing"):
        stream(lab, token, dataset="ornl.data.nothing")
    with pytest.raises(flight.FlightUnauthenticatedError):
        stream(lab, "wrong")
    with pytest.raises(pa.ArrowInvalid):
        stream(lab, token, batch_size=0)
    with pytest.raises(pa.ArrowInvalid, match="rank"):
        stream(lab, token, world_size=2, rank=2)


def test_the_command_line_streams_the_same_epoch(served, tmp_path):
    lab, _, token = served
    lab.run("stream", "data.fields", "--seed", 7, "--batch-size", 4, "--output", tmp_path / "s.arrow")
    with pa.ipc.open_stream(tmp_path / "s.arrow") as reader:
        by_cli = times(reader.read_all())
    assert by_cli == times(stream(lab, token, shuffle=True, seed=7, drop_last=False)[1])


def test_http_answers_json_csv_and_arrow_alike(served):
    lab, _, token = served
    ask = lambda accept: requests.post(  # noqa: E731
        f"{lab.http_url}/api/v1/sql",
        json={"query": ROWS},
        headers={"Accept": accept, "Authorization": f"Bearer {token}"},
        timeout=60,
    )
    rows = ask("application/json").json()["rows"]
    with pa.ipc.open_stream(ask("application/vnd.apache.arrow.stream").content) as reader:
        table = reader.read_all()
    assert table.num_rows == len(rows)
    assert table["count"].to_pylist() == [row["count"] for row in rows]
    lines = ask("text/csv").text.splitlines()
    assert lines[0] == "lat,lon,temp,count"
    assert len(lines) == len(rows) + 1


def test_http_describes_itself_and_resolves_arks(served):
    lab, _, _ = served
    assert requests.get(f"{lab.http_url}/healthz", timeout=10).status_code == 200
    assert requests.get(f"{lab.http_url}/api/v1/openapi.json", timeout=10).json()["openapi"].startswith("3.1")
    assert "# TYPE" in requests.get(f"{lab.http_url}/metrics", timeout=10).text
    ark = requests.get(f"{lab.http_url}/api/v1/datasets/ornl/data", timeout=10).json()["ark"]
    answer = requests.get(f"{lab.http_url}/{ark}", allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["location"]) == (302, "/datasets/ornl/data")
    assert "Random fields" in requests.get(f"{lab.http_url}/datasets/ornl/data", timeout=10).text
    problem = requests.get(f"{lab.http_url}/api/v1/nothing", timeout=10)
    assert (problem.status_code, problem.json()["code"]) == (404, "not_found")
