"""Tables that are made of queries: their rows against pandas and deltalake, and who may read them."""

import os
import signal
import sqlite3
import subprocess
import threading
import time
import uuid

import deltalake
import numpy as np
import pytest
import requests
from records import COMPLETE, write_record
from test_access import REFUSED, TIER, call, header, sql, stream, token
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
when { (resource == Dataset::"ornl.hers" || resource == Dataset::"ornl.made" || resource == Dataset::"ornl.again") && principal.groups.contains("readers") };
"""

@pytest.fixture
def lab(new_lab, tmp_path):
    """A lab with `open` and `closed`, and an empty dataset `made`."""
    lab = new_lab("ornl", settings=f'[stores.data]\nurl = "{tmp_path}"\n')
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


def own(lab, name, text, **changes):
    """Registers a dataset for everyone in the name of a person."""
    record = {**COMPLETE, "name": name, "files": [str(lab.script)], **changes}
    saved = requests.put(f"{lab.http_url}/api/v1/drafts/{name}", json=record, headers=header(text), timeout=60)
    assert saved.status_code == 200, saved.text
    done = call(lab, "POST", f"/api/v1/drafts/{name}/submit", text)
    assert done.status_code == 201, done.text


def files(lab):
    """Every file in the store that belongs to a dataset `made` or `hers`, also while folders are taken away (`glob` fails then)."""
    walks = (os.walk(lab.home / "store" / name) for name in ("made", "hers"))
    return sorted(os.path.join(folder, file) for walk in walks for folder, _, found in walk for file in found)


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
    assert "has a table or view means" in refused.err
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
        "DROP TABLE open.t": "was ingested",
        "DROP TABLE IF EXISTS made.t": "dataset.table",
        "DROP TABLE made.t": "no table",
        "DROP VIEW made.t": "no view",
        "INSERT INTO open.t VALUES (1, 2, 3)": "INSERT",
        "UPDATE open.t SET dose = 0": "UPDATE",
        "DELETE FROM open.t": "DELETE",
        "SET datafusion.execution.batch_size = 1": "SET",
        "COPY open.t TO '/tmp/x.csv'": "COPY",
    }.items():
        refused = lab.run("sql", query, code=None)
        assert refused.code in (1, 2, 4, 5) and why in refused.err, (query, refused.code, refused.err)
    assert lab.run("show", "made", "--json").json()["tables"] == []
    assert not list((lab.home / "store").glob("made/*/*.parquet"))


def test_who_may_not_read_every_input_may_not_read_what_was_made_of_them(lab, tmp_path):
    # All of them may read what is made, as far as its own policy goes.
    for name, group in (("ann", "south"), ("sue", "south"), ("all", "all"), ("bob", "readers"), ("root", "readers")):
        lab.run("user", "create", name, "--group", group, "--group", "readers", "--assurance", "low")
    people = {name: token(lab, name, "write") for name in ("ann", "sue", "all", "bob")}
    admin = token(lab, "root", "admin")
    lab.start()
    create = "CREATE TABLE hers.joined AS SELECT c.station, count(*) AS n, max(c.lat) AS lat FROM closed.t c GROUP BY c.station"
    own(lab, "hers", people["ann"], exposure="full")
    # Nobody makes a table of what they may not read, nor where they may not write, nor in what is another's.
    own(lab, "his", people["bob"], exposure="full")
    assert sql(lab, create.replace("hers", "his"), people["bob"]).status_code == 403
    assert sql(lab, create).status_code == 403
    assert sql(lab, create, token(lab, "reader", "read")).status_code == 403
    for name in ("all", "bob"):
        refused = sql(lab, create, people[name])
        assert refused.status_code == 403 and "registered by somebody else" in refused.json()["detail"], refused.text
        assert "closed" not in refused.json()["detail"]
    made = sql(lab, create, people["ann"])
    assert made.status_code == 200 and made.json()["made_from"] == ["ornl.closed@1.t"], made.text
    # It is made of what she saw.
    expected = lab.rows["closed"].query("lat < 0").groupby("station").size()
    query = "SELECT station, n FROM hers.joined ORDER BY station"
    for name in ("sue", "all"):
        answer = sql(lab, query, people[name])
        assert answer.status_code == 200, answer.text
        assert [(row["station"], row["n"]) for row in answer.json()["rows"]] == list(expected.items())
    # No scope and no record opens it to those who may not read the input, by any door.
    for text in (people["bob"], admin, None):
        answer = sql(lab, query, text)
        assert answer.status_code in (403, 404), answer.text
        assert "closed" not in answer.json()["detail"]
        rows = f"{lab.http_url}/api/v1/datasets/ornl/hers/tables/joined.csv"
        assert requests.get(rows, headers=header(text), timeout=60).status_code in (403, 404)
        if text:
            with pytest.raises(REFUSED, match="(?i)made"):
                stream(lab, "hers.joined", text)
    assert lab.run("show", "hers", "--json").json()["tier"] == "controlled"
    # What is made of it in turn is for the same people, whatever the record says.
    lab.run("register", write_record(tmp_path / "again.yaml", [lab.script], name="again", exposure="full"))
    lab.run("sql", "CREATE TABLE again.t AS SELECT n FROM hers.joined")
    lab.run("register", write_record(tmp_path / "again.yaml", [lab.script], name="again", exposure="full", title="The same under another title"))
    for name, status in {"sue": 200, "all": 200, "bob": 403}.items():
        answer = sql(lab, "SELECT sum(n) AS n FROM again.t", people[name])
        assert answer.status_code in (status, 404 if status == 403 else status), (name, answer.text)
    # Once the input is withdrawn, nothing that was made of it leaves.
    lab.run("retract", "closed", "--reason", "consent was withdrawn")
    for name in ("sue", "all"):
        for query in ("SELECT n FROM hers.joined", "SELECT n FROM again.t"):
            assert sql(lab, query, people[name]).status_code in (403, 404)
    assert lab.run("sql", "SELECT n FROM again.t", code=3).code == 3


def test_a_table_is_taken_away_by_its_maker_and_older_versions_keep_it(lab):
    for name, group in (("ann", "all"), ("bob", "readers")):
        lab.run("user", "create", name, "--group", group, "--group", "readers", "--assurance", "low")
    ann, bob = token(lab, "ann", "write"), token(lab, "bob", "write")
    lab.start()
    own(lab, "hers", ann, exposure="full")
    version = sql(lab, "CREATE TABLE hers.means AS SELECT station, count(*) AS n FROM closed.t GROUP BY station", ann).json()["version"]
    assert sql(lab, "SELECT count(*) FROM hers.means", bob).status_code == 403
    # Not by another, and not another table.
    refused = sql(lab, "DROP TABLE hers.means", bob)
    assert refused.status_code == 403 and "somebody else" in refused.json()["detail"], refused.text
    assert sql(lab, "DROP TABLE open.t", ann).status_code == 403
    assert sql(lab, "DROP TABLE hers.none", ann).status_code == 404
    dropped = sql(lab, "DROP TABLE hers.means", ann)
    assert dropped.status_code == 200 and dropped.json()["version"] == version + 1, dropped.text
    assert "two people" in dropped.json()["note"]
    assert sql(lab, "SELECT count(*) FROM hers.means", ann).status_code == 404
    # The version with it is what it was, for those for whom it was.
    rows = sql(lab, f'SELECT sum(n) AS n FROM "hers@{version}".means', ann).json()["rows"]
    assert rows == [{"n": len(lab.rows["closed"])}]
    assert sql(lab, f'SELECT sum(n) AS n FROM "hers@{version}".means', bob).status_code in (403, 404)
    shown = lab.run("show", "hers", "--json").json()
    assert shown["tables"] == [] and shown["tier"] == "controlled" and not shown["record"]["provenance"].get("derived_from")
    assert "drop-table" in lab.run("audit", "list", "--dataset", "hers", "--json").out and lab.run("audit", "verify").code == 0
    # The owner does it at the command line, in any dataset.
    lab.run("sql", "CREATE TABLE made.t AS SELECT 1 AS x FROM open.t LIMIT 1")
    assert "older versions keep it" in lab.run("sql", "DROP TABLE made.t").out


def test_what_closes_an_input_later_closes_what_was_made_of_it_at_every_door(lab):
    lab.run("user", "create", "ann", "--assurance", "low")
    ann = token(lab, "ann")
    lab.run("sql", "CREATE TABLE made.means AS SELECT station AS unmistakable, count(*) AS n FROM open.t GROUP BY station")

    def told(text):
        """Everything that doors say, but for times and identifiers that differ anyway."""
        said = []
        for path in ("search?q=unmistakable&facet=variable", "search?facet=variable&facet=keyword", "datasets/ornl/made", "datasets/ornl/made/versions", "datasets"):
            said.append(requests.get(f"{lab.http_url}/api/v1/{path}", headers=header(text), timeout=60).text)
        said.append(sql(lab, "SELECT * FROM information_schema.columns WHERE table_name = 'means'", text).text)
        said.append(requests.get(f"{lab.http_url}/oai?verb=ListRecords&metadataPrefix=oai_dc", timeout=60).text)
        return said

    lab.start()
    assert all("unmistakable" in told(text)[0] for text in (ann, None))
    lab.stop()
    (lab.home / "policies" / "later.cedar").write_text(
        '@id("later") forbid (principal, action == Action::"discover", resource == Dataset::"ornl.open") unless { principal.kind == "owner" };'
    )
    lab.start()
    for text in (ann, None):
        for answer in told(text):
            # Of the question itself answers may repeat the word.
            assert "means" not in answer.replace("means '", "").replace("They mean nothing", ""), answer
            assert "ornl.open" not in answer and '"n"' not in answer.replace('"name"', ""), answer
        search = requests.get(f"{lab.http_url}/api/v1/search?q=unmistakable", headers=header(text), timeout=60).json()
        assert search["total"] == 0 and search["hits"] == []


def slow(rows=400_000_000):
    """A query of some minutes that writes from its first second on."""
    return f"CREATE TABLE made.slow AS SELECT g.value AS x, random() AS y FROM generate_series(1, {rows}) g"


def begun(lab, folder="made"):
    """Waits until something is written."""
    ends = time.time() + 60
    while not list((lab.home / "store" / folder).glob("slow-*/*")):
        assert time.time() < ends, "nothing is written"
        time.sleep(0.05)


def gone(lab):
    """Waits until nothing is left."""
    ends = time.time() + 30
    while left := files(lab):
        assert time.time() < ends, left
        time.sleep(0.05)


def test_what_is_refused_cancelled_or_killed_leaves_no_file(lab, binary):
    for query in ("CREATE TABLE made.slow AS SELECT CAST(station AS INT) / (count(*) - count(*)) AS x FROM open.t GROUP BY station",):
        assert lab.run("sql", query, code=None).code != 0
        assert files(lab) == []
    admin = token(lab, "root", "admin")
    lab.start()
    # Cancelled by its id, and abandoned by whoever waited for it.
    name = str(uuid.uuid4())
    answers = []
    asked = threading.Thread(target=lambda: answers.append(call(lab, "POST", "/api/v1/sql", admin, query=slow(), id=name)))
    asked.start()
    begun(lab)
    assert requests.delete(f"{lab.http_url}/api/v1/sql/{name}", headers=header(admin), timeout=60).status_code == 200
    asked.join(60)
    assert answers[0].status_code == 499, answers[0].text
    gone(lab)
    with pytest.raises(requests.Timeout):
        requests.post(f"{lab.http_url}/api/v1/sql", json={"query": slow()}, headers=header(admin), timeout=3)
    gone(lab)
    # Ctrl-C at the command line.
    command = [str(binary), "--home", str(lab.home), "sql", slow()]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun(lab)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) != 0
    gone(lab)
    # Killed: what it left is there until nobody can be writing it any more, and then it is swept.
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun(lab)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert list((lab.home / "store" / "made").glob("slow-*"))
    create = "CREATE TABLE made.one AS SELECT 1 AS x FROM open.t LIMIT 1"
    assert sql(lab, create, admin).status_code == 200
    assert list((lab.home / "store" / "made").glob("slow-*"))
    with sqlite3.connect(lab.home / "catalog.sqlite", timeout=30) as base:
        base.execute("UPDATE table_folder SET alive_at = '2020-01-01T00:00:00.000000Z'")
    base.close()
    assert sql(lab, create.replace("one", "two"), admin).status_code == 200
    assert not list((lab.home / "store" / "made").glob("slow-*"))
    assert sql(lab, "SELECT one.x, two.x AS y FROM made.one, made.two", admin).json()["rows"] == [{"x": 1, "y": 1}]
