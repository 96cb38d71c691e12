"""Queries under citable identifiers: the same answer again, or why not; against hashlib and pandas."""

import hashlib
import struct

import netCDF4
import numpy as np
import pandas as pd
import pytest
import requests
from records import write_record
from test_access import TIER, header, token

POLICY = """
@id("south")
@obligation("rows: lat < 0")
permit (principal, action == Action::"read", resource == Dataset::"ornl.closed")
when { principal.groups.contains("south") };
"""


def table(path, seed, rows=5000):
    """A file of one row an index, and its rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "station": rng.integers(0, 9, rows),
            "lat": rng.choice([-45.0, 20.0, 60.0], rows),
            "dose": rng.uniform(0, 100, rows),
        }
    )
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("visit", rows)
        for name, kind in {"station": "i4", "lat": "f8", "dose": "f8"}.items():
            variable = file.createVariable(name, kind, ("visit",))
            variable[:] = frame[name].to_numpy()
            variable.long_name = name
            variable.units = {"lat": "degrees_north", "dose": "mg"}.get(name, "1")
    return frame


@pytest.fixture
def lab(new_lab, tmp_path):
    lab = new_lab("ornl")
    lab.rows = table(tmp_path / "a.nc", 1)

    def put(name, path, *more, **changes):
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, **changes))
        lab.run("ingest", path, "--dataset", name, "--table", "t", *more)

    lab.put = put
    put("a", tmp_path / "a.nc")
    return lab


def checksum(columns, rows):
    """The checksum of an answer by its description in docs/reference/sql.md."""

    def text(value):
        data = value.encode()
        return struct.pack("<Q", len(data)) + data

    def value(kind, cell):
        if cell is None:
            return b"\0"
        return b"\1" + {"Int64": lambda: struct.pack("<q", cell), "Float64": lambda: struct.pack("<d", cell), "Int32": lambda: struct.pack("<i", cell), "Utf8": lambda: text(cell)}[kind]()

    data = b"tarn answer 1\n" + struct.pack("<Q", len(columns))
    data += b"".join(text(name) + text(kind) for name, kind in columns)
    for row in rows:
        data += b"".join(value(kind, cell) for (_, kind), cell in zip(columns, row, strict=True))
    return hashlib.sha256(data).hexdigest()


def test_a_query_is_kept_with_its_versions_and_answers_the_same_after_its_tables_changed(lab, tmp_path):
    sql = "SELECT station, count(*) AS n, sum(dose) AS total FROM a.t WHERE lat > $1 GROUP BY station"
    saved = lab.run("query", "save", "by station", sql, "--parameter", "0", "--json").json()
    assert saved["ark"].startswith("ark:/99999/") and saved["ark"].endswith(saved["id"])
    assert [(one["dataset"], one["table"]) for one in saved["tables"]] == [("ornl.a@1", "t")]
    assert saved["parameters"] == [0] and "DataFusion" in saved["engine"]
    first = lab.run("query", "run", "by station", "--json").json()
    expected = lab.rows.query("lat > 0").groupby("station")["dose"].agg(["count", "sum"]).reset_index()
    # Without an ORDER BY rows come by their columns.
    assert [(row["station"], row["n"]) for row in first["rows"]] == list(expected[["station", "count"]].itertuples(index=False, name=None))
    assert np.allclose([row["total"] for row in first["rows"]], expected["sum"], rtol=1e-12)
    columns = [("station", "Int32"), ("n", "Int64"), ("total", "Float64")]
    rows = [tuple(row.values()) for row in first["rows"]]
    assert saved["answer"] == {"rows": len(rows), "sha256": checksum(columns, rows)}
    # New rows make a new version, and the query answers as before.
    more = table(tmp_path / "b.nc", 2)
    lab.run("register", write_record(tmp_path / "a.yaml", [tmp_path / "a.nc", tmp_path / "b.nc"], name="a"))
    lab.run("ingest", tmp_path / "b.nc", "--dataset", "a", "--table", "t")
    assert lab.run("sql", "SELECT count(*) AS n FROM a.t", "--json").json()["rows"] == [{"n": len(lab.rows) + len(more)}]
    for format, name in (("csv", "x.csv"), ("arrow", "x.arrow"), ("parquet", "x.parquet")):
        done = [lab.run("query", "run", saved["ark"], "--format", format, "--output", tmp_path / f"{turn}{name}") for turn in (1, 2)]
        assert saved["saved_at"] in done[0].err
        assert (tmp_path / f"1{name}").read_bytes() == (tmp_path / f"2{name}").read_bytes()
    assert lab.run("query", "run", saved["id"], "--json").json()["rows"] == first["rows"]
    assert "by station" in lab.run("query", "list").out
    # Of what was withdrawn nothing leaves, and that is what is said.
    lab.run("retract", "a", "--reason", "wrong calibration")
    refused = lab.run("query", "run", "by station", code=3)
    assert "cannot be answered again" in refused.err and "wrong calibration" in refused.err
    lab.run("query", "delete", "by station")
    assert lab.run("query", "show", saved["ark"], code=4)
    assert lab.run("audit", "verify").code == 0


def test_ties_have_an_order_and_big_sums_of_floats_are_the_same_bits(lab):
    for name, sql in {
        "ties": "SELECT lat, dose FROM a.t ORDER BY lat DESC",
        "first": "SELECT station, lat FROM a.t ORDER BY lat LIMIT 7",
        "floats": "SELECT lat, avg(dose), stddev(dose), sum(sin(dose)) FROM a.t GROUP BY lat",
        "window": "SELECT station, sum(dose) OVER (PARTITION BY station ORDER BY dose) AS s FROM a.t ORDER BY station",
        "union": "SELECT dose FROM a.t UNION ALL SELECT dose FROM t",
    }.items():
        lab.run("query", "save", name, sql)
        answers = {lab.run("query", "run", name, "--format", "csv").out for _ in range(3)}
        assert len(answers) == 1 and len(answers.pop().splitlines()) > 3, name
    ties = lab.run("query", "run", "ties", "--json").json()["rows"]
    expected = lab.rows.sort_values(["lat", "dose"], ascending=[False, True])
    assert [tuple(row.values()) for row in ties] == list(expected[["lat", "dose"]].itertuples(index=False, name=None))


def test_what_depends_on_more_than_pinned_tables_is_refused_and_says_why(lab, tmp_path):
    for sql, why in {
        "SELECT now(), station FROM a.t": "now()",
        "SELECT random() FROM a.t": "random()",
        "SELECT uuid()": "uuid()",
        "SELECT * FROM a.t WHERE dose > (SELECT avg(random()) FROM a.t)": "random()",
        "SELECT station FROM a.t LIMIT 3": "LIMIT without ORDER BY",
        "SELECT * FROM (SELECT station FROM a.t LIMIT 3) ORDER BY station": "LIMIT without ORDER BY",
        f"SELECT * FROM read_netcdf('{tmp_path}/a.nc')": "read_netcdf",
        "SELECT * FROM information_schema.tables": "information_schema",
        "SELECT * FROM llnl.a.t": "another lab",
        "EXPLAIN SELECT 1": "no SELECT",
        "SHOW TABLES": "no SELECT",
        "DROP TABLE a.t": "DROP TABLE",
        "CREATE VIEW v AS SELECT 1": "CREATE VIEW",
        "SELECT $1 FROM a.t": "parameter",
    }.items():
        refused = lab.run("query", "save", "x", sql, code=2)
        assert why in refused.err, (sql, refused.err)
    assert lab.run("query", "list", "--json").json() == []


def test_over_http_a_query_is_shared_with_those_who_may_know_of_its_tables(lab, tmp_path):
    closed = table(tmp_path / "closed.nc", 3)
    lab.put("closed", tmp_path / "closed.nc", tier="controlled", exposure="full", **TIER)
    (lab.home / "policies").mkdir()
    (lab.home / "policies" / "south.cedar").write_text(POLICY)
    for name in ("ann", "sue"):
        lab.run("user", "create", name, "--group", "south", "--assurance", "low")
    people = {name: header(token(lab, name)) for name in ("ann", "sue", "bob")}
    by_owner = lab.run("query", "save", "whole", "SELECT count(*) AS n FROM closed.t", "--reader", "public", "--json").json()
    lab.start()
    api = f"{lab.http_url}/api/v1/queries"
    asked = {"name": "south", "query": "SELECT count(*) AS n, min(dose) AS least FROM closed.t", "readers": ["public"]}
    saved = requests.post(api, json=asked, headers=people["ann"], timeout=60)
    assert saved.status_code == 201, saved.text
    saved = saved.json()
    assert requests.post(api, json=asked, headers=people["ann"], timeout=60).status_code == 409
    assert requests.post(api, json={**asked, "name": "y"}, timeout=60).status_code == 403
    seen = closed.query("lat < 0")
    # Its ARK leads to it.
    found = requests.get(f"{lab.http_url}/{saved['ark']}", headers=people["sue"], timeout=60)
    assert found.status_code == 200 and found.json()["query"] == asked["query"]
    for name in ("ann", "sue"):
        answer = requests.post(f"{api}/{saved['id']}/run", headers=people[name], timeout=60)
        assert answer.json()["rows"] == [{"n": len(seen), "least": seen["dose"].min()}], answer.text
        assert answer.headers["x-tarn-query-ark"] == saved["ark"]
    # Who may see the record and not the data is told neither answer nor checksum, and cannot run it.
    for headers in (people["bob"], {}):
        shown = requests.get(f"{api}/{saved['id']}", headers=headers, timeout=60).json()
        assert shown["answer"] is None and "readers" not in shown
        assert requests.post(f"{api}/{saved['id']}/run", headers=headers, timeout=60).status_code == 403
    # Who sees some rows is not told what the answer over all of them is, in whatever way it differs.
    shown = requests.get(f"{api}/{by_owner['id']}", headers=people["ann"], timeout=60).json()
    assert shown["answer"] is None
    refused = requests.post(f"{api}/{by_owner['id']}/run", headers=people["ann"], timeout=60)
    assert refused.status_code == 403 and "another part" in refused.json()["detail"]
    refused = lab.run("query", "run", saved["ark"], code=3)
    assert "another part" in refused.err
    # What is hidden from somebody is not named to them: the query does not exist.
    private = requests.post(api, json={"name": "mine", "query": "SELECT max(dose) FROM a.t"}, headers=people["ann"], timeout=60).json()
    said = set()
    for one in (private["id"], "bbbbbbbbbbb"):
        for method, path in (("GET", one), ("DELETE", one), ("POST", f"{one}/run")):
            answer = requests.request(method, f"{api}/{path}", headers=people["bob"], timeout=60)
            assert answer.status_code == 404
            said.add(answer.text.replace(one, "ID"))
    assert len(said) == 1
    listed = requests.get(api, headers=people["bob"], timeout=60).json()
    assert {one["name"] for one in listed["queries"]} == {"south", "whole"} and listed["next"] is None
    assert requests.delete(f"{api}/{saved['id']}", headers=people["bob"], timeout=60).status_code == 403
    assert requests.delete(f"{api}/{saved['id']}", headers=people["ann"], timeout=60).status_code == 204
    assert requests.get(f"{lab.http_url}/{saved['ark']}", headers=people["ann"], timeout=60).status_code == 404


def test_a_file_that_changed_is_the_reason(lab, tmp_path):
    path = tmp_path / "place.nc"
    table(path, 4)
    lab.put("place", path, "--in-place")
    lab.run("query", "save", "x", "SELECT station, dose FROM place.t")
    assert lab.run("query", "run", "x").code == 0
    table(path, 5)
    refused = lab.run("query", "run", "x", code=None)
    assert refused.code == 5 and "cannot be answered again" in refused.err and "place.nc" in refused.err
