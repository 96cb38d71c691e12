"""Answers that are given at several endpoints at once, and what is told of a query before and while it runs."""

import json
import threading
import uuid

import adbc_driver_flightsql.dbapi as flightsql
import numpy as np
import pyarrow.flight as flight
import pytest
import requests
import xarray as xr
from adbc_driver_flightsql import DatabaseOptions
from test_limits import SILENT, ask, until_running
from test_statements import options, plan

ROWS = 600_000
WHOLE = "SELECT step, value FROM ornl.data.step WHERE value >= 0"


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(7).integers(-1000, 1000, ROWS)


@pytest.fixture(scope="module")
def served(module_lab, tmp_path_factory, values):
    """A running lab over a table of many rows, and two tokens."""
    from records import write_record

    folder = tmp_path_factory.mktemp("files")
    xr.Dataset({"value": ("step", values)}, coords={"step": np.arange(ROWS)}).to_netcdf(
        folder / "steps.nc", encoding={"value": {"chunksizes": (20_000,)}}
    )
    lab = module_lab("ornl", start=True)
    lab.run("register", write_record(folder / "data.yaml", [folder / "steps.nc"], tier="public"))
    lab.run("ingest", folder / "steps.nc", "--dataset", "data", "--in-place")
    tokens = [
        lab.run("token", "create", "--name", name, "--scope", "read", "--quiet").out.strip() for name in ["ann", "bob"]
    ]
    return lab, *tokens


@pytest.fixture(scope="module")
def expected(values):
    kept = values >= 0
    return sorted(np.arange(ROWS)[kept].tolist()), int(values[kept].sum())


def same(tables, expected):
    steps = sorted(step for table in tables for step in table["step"].to_pylist())
    total = sum(sum(table["value"].to_pylist()) for table in tables)
    return (steps, total) == expected


def test_readers_at_once_get_each_row_once(served, expected):
    lab, token, _ = served
    for _ in range(3):
        client, info = plan(lab, token, WHOLE)
        assert len(info.endpoints) > 1 and not info.ordered
        tables, failures, sites = [], [], []

        def read(endpoint, tables=tables, failures=failures, sites=sites):
            try:
                reader = flight.connect(lab.flight_url).do_get(endpoint.ticket, options(token))
                chunks = list(reader)
                tables.extend(chunk.data for chunk in chunks)
                sites.append(json.loads(chunks[-1].app_metadata.to_pybytes())["sites"])
            except Exception as error:
                failures.append(error)

        readers = [threading.Thread(target=read, args=(endpoint,)) for endpoint in info.endpoints]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
        assert not failures and same(tables, expected)
        assert sites[0] == sites[-1] and sites[0][0]["rows"] >= len(expected[0])


def test_one_endpoint_alone_or_one_after_the_other_gives_all_rows(served, expected):
    lab, token, _ = served
    client, info = plan(lab, token, WHOLE)
    assert same([client.do_get(info.endpoints[0].ticket, options(token)).read_all()], expected)
    client, info = plan(lab, token, WHOLE)
    tables = [client.do_get(endpoint.ticket, options(token)).read_all() for endpoint in reversed(info.endpoints)]
    assert same(tables, expected)
    with pytest.raises(Exception, match="read already"):
        client.do_get(info.endpoints[0].ticket, options(token)).read_all()
    with flightsql.connect(
        lab.flight_url, db_kwargs={DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    ) as adbc, adbc.cursor() as cursor:
        cursor.execute(WHOLE)
        assert same([cursor.fetch_arrow_table()], expected)


def test_what_one_reader_gives_up_no_other_takes_for_the_whole(served):
    lab, token, other = served
    client, info = plan(lab, token, "SELECT a.step FROM data.step a CROSS JOIN (VALUES (1), (2), (3), (4)) b(n)")
    assert len(info.endpoints) > 1
    with pytest.raises(Exception, match="(?i)ticket"):
        flight.connect(lab.flight_url).do_get(info.endpoints[1].ticket, options(other)).read_all()
    first = client.do_get(info.endpoints[0].ticket, options(token))
    first.read_chunk()
    first.cancel()
    del first
    with pytest.raises(Exception, match="went away|given up"):
        while True:
            # It may take a moment until the node knows.
            flight.connect(lab.flight_url).do_get(info.endpoints[1].ticket, options(token)).read_all()


def test_few_rows_and_ordered_rows_come_from_one_endpoint(served, expected):
    lab, token, _ = served
    for sql in [f"{WHOLE} ORDER BY step", "SELECT count(*) FROM data.step", "SELECT 1", f"{WHOLE} LIMIT 10"]:
        _, info = plan(lab, token, sql)
        assert len(info.endpoints) == 1 and info.ordered, sql
    client, info = plan(lab, token, f"{WHOLE} ORDER BY step")
    steps = client.do_get(info.endpoints[0].ticket, options(token)).read_all()["step"].to_pylist()
    assert steps == expected[0]


def test_an_estimate_is_told_over_http(served):
    lab, token, _ = served
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{lab.http_url}/api/v1/sql/estimate"
    answer = requests.post(url, json={"query": WHOLE.split(" WHERE")[0]}, headers=headers, timeout=30)
    assert answer.json() == {"rows": ROWS, "bytes": 16 * ROWS, "beyond": False, "certain": True}
    part = requests.post(url, json={"query": f"{WHOLE} AND step < 100"}, headers=headers, timeout=30).json()
    assert part["rows"] < ROWS and not part["beyond"]
    assert requests.post(url, json={"query": "SELECT 1 FROM nothing.at_all"}, headers=headers, timeout=30).status_code == 404


def test_events_tell_how_far_a_query_is(served):
    lab, token, other = served
    name = str(uuid.uuid4())
    done = []
    asking = threading.Thread(target=lambda: done.append(ask(lab, SILENT["nested loop"], token, id=name, limits={"seconds": 4})))
    asking.start()
    until_running(lab, name, token)
    url = f"{lab.http_url}/api/v1/sql/{name}/events"
    assert requests.get(url, headers={"Authorization": f"Bearer {other}"}, timeout=30).status_code == 404
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.iter_lines(decode_unicode=True) if line]
    asking.join()
    assert set(lines[::2]) == {"event: progress"}
    states = [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert [state["state"] for state in states[:2]] == ["running", "running"]
    assert states[-1]["state"] == "failed" and states[-1]["code"] == "deadline_exceeded"
    assert states[0]["seconds"] < states[1]["seconds"] and all(state["id"] == name for state in states)
