"""Several labs: one statement over both, tiers, and what happens when one is away."""

import datetime
import time

import pytest
import requests
from fields import random_netcdf, read_masked
from records import write_record

BOTH = "(SELECT * FROM east.data.cells UNION ALL SELECT * FROM west.data.cells)"
TERMS = {"terms": {"id": "https://tarn.example/terms", "sha256": "0" * 64}}


@pytest.fixture
def two(new_lab, tmp_path):
    """Two peers, each with a table; and what netCDF4 sees in them."""
    labs, fields = [], []
    for i, name in enumerate(("east", "west")):
        path = random_netcdf(tmp_path / f"{name}.nc", 90 + i, "NETCDF4", "noleap")
        lab = new_lab(name)
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path]))
        options = [
            "--table",
            "cells",
            "--grid",
            "time_lat_lon",
            "--column",
            "model=attribute:source_id",
            "--select",
            "model,lat,lon,temp",
        ]
        lab.run("ingest", path, "--dataset", "data", *options, *(["--in-place"] if i else []))
        lab.start()
        labs.append(lab)
        fields.append(read_masked(path)[0]["temp"])
    labs[0].invite(labs[1])
    return *labs, fields


def expected(fields):
    """Rows of a group by model."""
    return [
        [f"seed-{90 + i}", field.size, int(field.count()), pytest.approx(float(field.astype("f8").mean()), rel=1e-6)]
        for i, field in enumerate(fields)
    ]


GROUPED = f"SELECT model, count(*), count(temp), avg(CAST(temp AS DOUBLE)) FROM {BOTH} GROUP BY model ORDER BY model"


def test_one_statement_reads_both_labs_from_either(two):
    east, west, fields = two
    for lab in (east, west):
        answer = lab.sql(GROUPED)
        assert answer.rows == expected(fields)
        assert {site["lab"] for site in answer.sites} >= {"east", "west"}
        assert all(site["status"] == "ok" for site in answer.sites)


def test_filters_and_aggregates_run_at_the_owner(two):
    east, _, fields = two
    answer = east.sql(
        "SELECT model, count(*), avg(CAST(temp AS DOUBLE)) FROM west.data.cells WHERE lat > 0 GROUP BY model"
    )
    [west] = [site for site in answer.sites if site["lab"] == "west"]
    assert west["rows"] <= 4, f"{west['rows']} rows travelled for one group"
    answer = east.sql("SELECT lat, temp FROM west.data.cells WHERE temp > 330")
    hot = int((fields[1] > 330).sum())
    [west] = [site for site in answer.sites if site["lab"] == "west"]
    assert len(answer.rows) == hot
    assert west["rows"] == hot


def test_a_join_over_labs_is_right(two):
    east, _, fields = two
    query = """SELECT count(*) FROM (SELECT DISTINCT lat FROM east.data.cells) e JOIN (SELECT DISTINCT lat FROM west.data.cells) w USING (lat)"""
    import numpy as np

    lats = [set(np.linspace(85.5, -60.25, field.shape[1]).astype("f4").tolist()) for field in fields]
    assert east.sql(query).rows == [[len(lats[0] & lats[1])]]


def test_a_lab_that_is_away_is_an_error_and_partial_only_on_request(two):
    east, west, fields = two
    # What a lab has is known from the first question on, so that later ones can be planned without it.
    assert east.sql(GROUPED).rows == expected(fields)
    # Each visitor has a list of its own, because each may know of other tables.
    assert requests.post(f"{east.http_url}/api/v1/sql", json={"query": GROUPED}, timeout=60).status_code == 200
    west.stop()
    done = east.run("sql", GROUPED, "--format", "json", code=1)
    assert not done.out, "half an answer"
    assert "west" in done.err
    answer = east.sql(GROUPED, partial="allow", code=6)
    assert answer.rows == expected(fields)[:1]
    [missing] = [site for site in answer.sites if site["status"] != "ok"]
    assert missing["lab"] == "west"

    http = requests.post(f"{east.http_url}/api/v1/sql", json={"query": GROUPED, "partial": "allow"}, timeout=60)
    assert http.status_code == 206, http.text
    assert requests.post(f"{east.http_url}/api/v1/sql", json={"query": GROUPED}, timeout=60).status_code == 503

    west.start()
    assert east.sql(GROUPED).rows == expected(fields)


def test_partial_never_changes_a_value(two):
    east, west, _ = two
    west.stop()
    for query in (
        f"SELECT count(*) FROM {BOTH}",
        "SELECT count(*) FROM east.data.cells e LEFT JOIN west.data.cells w ON e.lat = w.lat",
        "SELECT lat FROM east.data.cells EXCEPT SELECT lat FROM west.data.cells",
        "SELECT count(*) FROM east.data.cells WHERE lat NOT IN (SELECT lat FROM west.data.cells)",
    ):
        done = east.run("sql", query, "--partial", "allow", code=None)
        assert done.code in (1, 6), done.describe()
        if done.code == 6:
            assert "west" in done.err + done.out, "a partial answer does not say what it lacks"


def test_search_covers_peers_and_says_which_did_not_answer(two):
    east, west, _ = two
    assert {hit["lab"] for hit in east.run("search", "random", "--json").json()["hits"]} == {"east", "west"}
    west.stop()
    # What it told before is still found; the server notices within seconds that it is away.
    deadline = time.monotonic() + 60
    while True:
        found = east.run("search", "random", "--json").json()
        assert {"east", "west"} == {hit["lab"] for hit in found["hits"]}
        if any(site["lab"] == "west" and site["state"] == "unreachable" for site in found["sites"]):
            break
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_an_invitation_works_once_and_a_removed_peer_is_strange(two, new_lab):
    east, west, _ = two
    invitation = east.run("peer", "invite", "--quiet").out.strip()
    third = new_lab("third", start=True)
    third.run("peer", "accept", invitation)
    fourth = new_lab("fourth", start=True)
    assert fourth.run("peer", "accept", invitation, code=None).code != 0
    assert {peer["lab"] for peer in east.run("peer", "list", "--json").json()} == {"west", "third"}
    west.run("peer", "remove", "east")
    assert east.run("sql", "SELECT count(*) FROM west.data.cells", code=None).code in (1, 3)


def test_registered_data_need_a_person_and_public_data_do_not(new_lab, tmp_path):
    lab = new_lab("ornl")
    for name, changes in (("open_data", {"tier": "public"}), ("members", {"tier": "registered", **TERMS})):
        path = random_netcdf(tmp_path / f"{name}.nc", 5, "NETCDF4", "noleap")
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, **changes))
        lab.run("ingest", path, "--dataset", name, "--table", "cells", "--grid", "time_lat_lon")
    lab.start()
    token = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    signed_in = {"Authorization": f"Bearer {token}"}

    def ask(table, headers):
        query = {"query": f"SELECT count(temp) AS n FROM ornl.{table}.cells"}
        return requests.post(f"{lab.http_url}/api/v1/sql", json=query, headers=headers, timeout=30).status_code

    assert ask("open_data", {}) == 200
    assert ask("open_data", signed_in) == 200
    assert ask("members", signed_in) == 200
    assert ask("members", {}) in (401, 403, 404)

    import json

    import pyarrow.flight as flight

    client = flight.connect(lab.flight_url)
    command = json.dumps({"tarn.stream": 1, "dataset": "ornl.members.cells", "batch_size": 4}).encode()
    with pytest.raises(flight.FlightError):
        client.get_flight_info(flight.FlightDescriptor.for_command(command))
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
    assert client.get_flight_info(flight.FlightDescriptor.for_command(command), options).total_records > 0


def test_embargoed_data_are_refused_to_all_but_the_owner(new_lab, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 5, "NETCDF4", "noleap")
    lab = new_lab("ornl")
    until = (datetime.date.today() + datetime.timedelta(days=100)).isoformat()
    lab.run(
        "register",
        write_record(
            tmp_path / "r.yaml", [path], embargo={"until": until, "reason": "a paper is being written"}
        ),
    )
    lab.run("ingest", path, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon")
    lab.start()
    other = new_lab("llnl", start=True)
    lab.invite(other)
    assert lab.sql("SELECT count(*) FROM data.cells").rows[0][0] > 0
    done = other.run("sql", "SELECT count(*) FROM ornl.data.cells", code=None)
    assert done.code in (3, 4), done.describe()
    token = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    answer = requests.post(
        f"{lab.http_url}/api/v1/sql",
        json={"query": "SELECT count(*) FROM ornl.data.cells"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code in (403, 404)
