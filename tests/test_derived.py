"""Tables that are made of queries: their rows against pandas and deltalake, and who may read them."""

import deltalake
import numpy as np
import pytest
import requests
from records import write_record
from test_access import REFUSED, TIER, header, sql, stream, token
from test_queries import table

POLICY = """
@id("south")
@obligation("rows: lat < 0")
permit (principal, action == Action::"read", resource == Dataset::"ornl.closed")
when { principal.groups.contains("south") };

@id("all")
permit (principal, action == Action::"read", resource == Dataset::"ornl.closed")
when { principal.groups.contains("all") };

@id("readers")
permit (principal, action == Action::"read", resource)
when { (resource == Dataset::"ornl.made" || resource == Dataset::"ornl.again") && principal.groups.contains("readers") };
"""

@pytest.fixture
def lab(new_lab, tmp_path):
    """A lab with `open` and `closed`, and an empty dataset `made`."""
    lab = new_lab("ornl")
    lab.rows = {}
    for seed, (name, more) in enumerate({"open": {}, "closed": {"tier": "controlled", "exposure": "full", **TIER}}.items()):
        path = tmp_path / f"{name}.nc"
        lab.rows[name] = table(path, seed)
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, **more))
        lab.run("ingest", path, "--dataset", name, "--table", "t")
    (lab.home / "policies").mkdir()
    (lab.home / "policies" / "x.cedar").write_text(POLICY)
    # A record has a file.
    lab.script = tmp_path / "made.nc"
    table(lab.script, 9, 10)
    lab.run("register", write_record(tmp_path / "made.yaml", [lab.script], name="made", exposure="full"))
    return lab


def test_the_table_holds_the_answer_and_the_record_says_of_what(lab, tmp_path):
    made = lab.run("sql", "CREATE TABLE made.means AS SELECT station, avg(dose) AS dose, count(*) AS n FROM open.t GROUP BY station", "--json").json()
    assert made == {"table": "ornl.made.means", "version": 2, "rows": 9, "made_from": ["ornl.open@1.t"]}
    expected = lab.rows["open"].groupby("station")["dose"].agg(["mean", "count"]).reset_index()
    found = lab.run("sql", "SELECT * FROM made.means ORDER BY station", "--json").json()["rows"]
    assert [(row["station"], row["n"]) for row in found] == list(expected[["station", "count"]].itertuples(index=False, name=None))
    assert np.allclose([row["dose"] for row in found], expected["mean"], rtol=1e-12)
    # Another program reads the same.
    (folder,) = (lab.home / "store" / "made").glob("means-*")
    rows = deltalake.DeltaTable(str(folder)).to_pandas().sort_values("station")
    assert rows["n"].tolist() == expected["count"].tolist()
    shown = lab.run("show", "made", "--json").json()
    assert shown["record"]["provenance"]["derived_from"] == ["ornl.open@1"]
    assert "made_from" in lab.run("audit", "list", "--dataset", "made", "--json").out and lab.run("audit", "verify").code == 0
    # It stays what it is, and one of no rows is one too.
    refused = lab.run("sql", "CREATE TABLE made.means AS SELECT 1 AS x", code=1)
    assert "has a table means" in refused.err
    refused = lab.run("ingest", lab.script, "--dataset", "made", "--table", "means", code=1)
    assert "made by a query" in refused.err
    lab.run("sql", "CREATE TABLE ornl.made.nothing AS SELECT * FROM open.t WHERE dose < -1e9")
    # Not in the dataset that it is made of, and not by a detour.
    refused = lab.run("sql", "CREATE TABLE made.again AS SELECT * FROM made.means", code=3)
    assert "another dataset" in refused.err
    refused = lab.run("sql", "CREATE TABLE open.back AS SELECT * FROM made.means", code=3)
    assert "another dataset" in refused.err
    assert lab.run("sql", "SELECT count(*) AS n FROM made.nothing", "--json").json()["rows"] == [{"n": 0}]
    # A backup takes it along.
    lab.run("backup", tmp_path / "x.tarn")


def test_what_cannot_be_made_is_refused_and_leaves_nothing(lab, tmp_path):
    for query, why in {
        "CREATE TABLE t AS SELECT 1 AS x": "dataset.table",
        "CREATE TABLE none.t AS SELECT 1 AS x": "no dataset",
        "CREATE TABLE llnl.made.t AS SELECT 1 AS x": "dataset.table",
        "CREATE OR REPLACE TABLE made.t AS SELECT 1 AS x": "CREATE OR",
        "CREATE TABLE IF NOT EXISTS made.t AS SELECT 1 AS x": "dataset.table",
        "CREATE TABLE made.t (x INT)": "dataset.table",
        f"CREATE TABLE made.t AS SELECT * FROM read_netcdf('{tmp_path}/open.nc')": "read_netcdf",
        "CREATE TABLE made.t AS SELECT * FROM information_schema.tables": "information_schema",
        "CREATE TABLE made.t AS SELECT * FROM llnl.a.t": "another lab",
        "CREATE TABLE made.t AS SELECT * FROM none.t": "no table",
        "CREATE TABLE made.t AS SELECT 1/0 AS x FROM open.t": "zero",
        "CREATE TABLE made.t AS SELECT 1 AS x, 2 AS \"X\"": "X",
        "CREATE TABLE made.t AS EXPLAIN SELECT 1": "",
        "CREATE VIEW made.v AS SELECT 1 AS x": "CREATE VIEW",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'": "CREATE EXTERNAL TABLE",
        "DROP TABLE open.t": "DROP TABLE",
        "INSERT INTO open.t VALUES (1, 2, 3)": "INSERT",
        "UPDATE open.t SET dose = 0": "UPDATE",
        "DELETE FROM open.t": "DELETE",
        "SET datafusion.execution.batch_size = 1": "SET",
        "COPY open.t TO '/tmp/x.csv'": "COPY",
    }.items():
        refused = lab.run("sql", query, code=None)
        assert refused.code in (2, 4, 5) and why in refused.err, (query, refused.code, refused.err)
    assert lab.run("show", "made", "--json").json()["tables"] == []
    assert not list((lab.home / "store").glob("made/*/*.parquet"))


def test_who_may_not_read_every_input_may_not_read_what_was_made_of_them(lab, tmp_path):
    # All of them may read what is made, as far as its own policy goes.
    for name, group in (("ann", "south"), ("sue", "south"), ("all", "all"), ("bob", "readers"), ("root", "readers")):
        lab.run("user", "create", name, "--group", group, "--group", "readers", "--assurance", "low")
    people = {name: token(lab, name, "write") for name in ("ann", "sue", "all", "bob")}
    admin = token(lab, "root", "admin")
    lab.start()
    create = "CREATE TABLE made.joined AS SELECT c.station, count(*) AS n, max(c.lat) AS lat FROM closed.t c GROUP BY c.station"
    # Nobody makes a table of what they may not read, nor where they may not write.
    assert sql(lab, create, people["bob"]).status_code == 403
    assert sql(lab, create).status_code == 403
    assert sql(lab, create, token(lab, "reader", "read")).status_code == 403
    made = sql(lab, create, people["ann"])
    assert made.status_code == 200 and made.json()["made_from"] == ["ornl.closed@1.t"], made.text
    # It is made of what she saw.
    expected = lab.rows["closed"].query("lat < 0").groupby("station").size()
    query = "SELECT station, n FROM made.joined ORDER BY station"
    for name in ("sue", "all"):
        answer = sql(lab, query, people[name])
        assert answer.status_code == 200, answer.text
        assert [(row["station"], row["n"]) for row in answer.json()["rows"]] == list(expected.items())
    # No scope and no record opens it to those who may not read the input, by any door.
    for text in (people["bob"], admin, None):
        answer = sql(lab, query, text)
        assert answer.status_code in (403, 404), answer.text
        assert "closed" not in answer.json()["detail"]
        rows = f"{lab.http_url}/api/v1/datasets/ornl/made/tables/joined.csv"
        assert requests.get(rows, headers=header(text), timeout=60).status_code in (403, 404)
        if text:
            with pytest.raises(REFUSED, match="(?i)made"):
                stream(lab, "made.joined", text)
    assert lab.run("show", "made", "--json").json()["tier"] == "controlled"
    # What is made of it in turn is for the same people, whatever the record says.
    lab.run("register", write_record(tmp_path / "again.yaml", [lab.script], name="again", exposure="full"))
    lab.run("sql", "CREATE TABLE again.t AS SELECT n FROM made.joined")
    lab.run("register", write_record(tmp_path / "again.yaml", [lab.script], name="again", exposure="full", title="The same under another title"))
    for name, status in {"sue": 200, "all": 200, "bob": 403}.items():
        answer = sql(lab, "SELECT sum(n) AS n FROM again.t", people[name])
        assert answer.status_code in (status, 404 if status == 403 else status), (name, answer.text)
    # Once the input is withdrawn, nothing that was made of it leaves.
    lab.run("retract", "closed", "--reason", "consent was withdrawn")
    for name in ("sue", "all"):
        for query in ("SELECT n FROM made.joined", "SELECT n FROM again.t"):
            assert sql(lab, query, people[name]).status_code in (403, 404)
    assert lab.run("sql", "SELECT n FROM again.t", code=3).code == 3
