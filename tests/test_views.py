"""Views: with whose rights they read, who may make them, and what becomes of them."""

import time

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow.flight as flight
import pytest
import requests
from records import write_record
from test_access import AGREEMENT, REFUSED, TIER, header, sql, stream, token
from test_derived import own
from test_oai import RESTRICTED
from test_queries import table

POLICY = """
@id("south")
@obligation("rows: lat < 0")
permit (principal, action == Action::"read", resource == Dataset::"ornl.closed")
when { principal.groups.contains("south") };

@id("all")
permit (principal, action == Action::"read", resource == Dataset::"ornl.closed")
when { principal.groups.contains("all") };

@id("root")
permit (principal, action == Action::"write", resource == Dataset::"ornl.strict")
when { principal.id == "person:root" };

@id("tens")
@obligation("rows: station < 5")
permit (principal, action == Action::"read", resource == Dataset::"ornl.limited")
when { principal.kind != "owner" };
"""
INVOKER = "WITH (security_invoker = true)"
DEFINER = "WITH (security_invoker = false)"


@pytest.fixture
def lab(new_lab, tmp_path):
    """A lab with `open`, `closed` and `hidden`, and the empty datasets `shown` and `strict`."""
    lab = new_lab("ornl", settings=f'[stores.data]\nurl = "{tmp_path}"\n')
    lab.rows = {}
    more = {
        "open": {},
        "closed": {"tier": "controlled", "exposure": "full", **TIER},
        "hidden": {**RESTRICTED, "exposure": "none"},
    }
    for seed, (name, changes) in enumerate(more.items()):
        path = tmp_path / f"{name}.nc"
        lab.rows[name] = table(path, seed)
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, **changes))
        lab.run("ingest", path, "--dataset", name, "--table", "t")
    (lab.home / "policies").mkdir()
    (lab.home / "policies" / "x.cedar").write_text(POLICY)
    lab.script = tmp_path / "made.nc"
    table(lab.script, 9, 10)
    lab.run("register", write_record(tmp_path / "shown.yaml", [lab.script], name="shown", exposure="full"))
    # A file of its own: that of a dataset that is not for everyone would keep others back, too.
    strict = tmp_path / "strict.nc"
    table(strict, 8, 10)
    lab.run("register", write_record(tmp_path / "strict.yaml", [strict], name="strict", tier="controlled", exposure="full", **TIER))
    for name, group in (("ann", "south"), ("all", "all"), ("bob", "none")):
        lab.run("user", "create", name, "--group", group, "--assurance", "low")
    lab.people = {name: token(lab, name, "write") for name in ("ann", "all", "bob")}
    return lab


def count(lab, view, text):
    """The number of rows of a view; the status where it is refused."""
    answer = sql(lab, f"SELECT count(*) AS n FROM {view}", text)
    return answer.json()["rows"][0]["n"] if answer.status_code == 200 else answer.status_code


def test_a_view_says_with_whose_rights_it_reads(lab):
    for said in ("", "WITH (security_barrier = true)", "WITH (security_invoker = 1)"):
        refused = lab.run("sql", f"CREATE VIEW shown.v {said} AS SELECT * FROM open.t", code=2)
        assert "security_invoker = true" in refused.err and "security_invoker = false" in refused.err
    for query, why in {
        f"CREATE VIEW v {INVOKER} AS SELECT 1 AS x": "dataset.view",
        f"CREATE VIEW none.v {INVOKER} AS SELECT 1 AS x": "no dataset",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT * FROM t": "with its dataset",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT * FROM none.t": "no table",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT * FROM llnl.a.t": "another lab",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT * FROM read_netcdf('{lab.script}')": "read_netcdf",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT * FROM information_schema.tables": "information_schema",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT $1 AS x": "parameters",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT 1 AS x, 2 AS \"X\"": "called",
        f"CREATE VIEW shown.v {INVOKER} AS SELECT a.lat, b.lat FROM open.t a, open.t b": "called",
        f"CREATE OR REPLACE VIEW shown.v {INVOKER} AS SELECT 1 AS x": "",
        f"CREATE VIEW open.t {INVOKER} AS SELECT 1 AS x": "has a table or view t",
        "DROP VIEW shown.v": "no view",
        "DROP VIEW open.t": "no view",
    }.items():
        refused = lab.run("sql", query, code=None)
        assert refused.code in (1, 2, 4, 5) and why in refused.err, (query, refused.code, refused.err)
    assert "views" not in lab.run("show", "shown", "--json").json()


def test_an_invokers_view_is_read_with_the_rights_of_whoever_asks(lab):
    lab.start()
    closed, everyone = lab.rows["closed"], lab.people
    own(lab, "hers", everyone["all"], exposure="full")
    create = f"CREATE VIEW hers.v {INVOKER} AS WITH x AS (SELECT * FROM closed.t) SELECT station, lat, dose FROM x"
    # In one's own dataset, of what one may read.
    refused = sql(lab, create, everyone["ann"])
    assert refused.status_code == 403 and "somebody else" in refused.json()["detail"], refused.text
    made = sql(lab, create, everyone["all"])
    assert made.status_code == 200 and made.json()["view"] == "ornl.hers.v", made.text
    own(lab, "his", everyone["bob"], exposure="full")
    assert sql(lab, create.replace("hers", "his"), everyone["bob"]).status_code == 403
    # Each sees what they see of the input; the dataset itself stays open.
    south = int((closed["lat"] < 0).sum())
    assert {name: count(lab, "hers.v", text) for name, text in everyone.items()} == {"ann": south, "all": len(closed), "bob": 403}
    assert count(lab, "hers.v", None) == 403
    shown = requests.get(f"{lab.http_url}/api/v1/datasets/ornl/hers", headers=header(None), timeout=60).json()
    assert shown["tier"] == "public" and [view["name"] for view in shown["views"]] == ["v"]
    # Joined, in subqueries, and where it is joined with what it is a view of.
    query = "SELECT count(*) AS n FROM hers.v v JOIN (SELECT DISTINCT station FROM closed.t) t USING (station) WHERE v.lat < 0"
    assert sql(lab, query, everyone["ann"]).json()["rows"] == [{"n": south}]
    # One name is one thing in a dataset.
    refused = lab.run("ingest", lab.script, "--dataset", "hers", "--table", "v", code=None)
    assert refused.code != 0 and "has a view v" in refused.err
    assert sql(lab, "CREATE TABLE hers.v AS SELECT 1 AS x FROM open.t", everyone["all"]).status_code == 409
    # It is listed as a view, and its columns.
    rows = sql(lab, "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'hers'", everyone["ann"]).json()["rows"]
    assert rows == [{"table_name": "v", "table_type": "VIEW"}]
    rows = sql(lab, "SELECT column_name FROM information_schema.columns WHERE table_name = 'v' ORDER BY 1", everyone["ann"]).json()["rows"]
    assert [row["column_name"] for row in rows] == ["dose", "lat", "station"]
    assert "view with the rights of whoever asks" in lab.run("show", "hers").out
    with flight_sql.connect(lab.flight_url, db_kwargs={"adbc.flight.sql.authorization_header": f"Bearer {everyone['ann']}"}) as connection:
        assert {"TABLE", "VIEW"} <= set(connection.adbc_get_table_types())
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM hers.v")
            assert cursor.fetchall() == [(south,)]
    # It is no table to the other doors, and says so.
    with pytest.raises((*REFUSED, KeyError), match="(?i)view"):
        stream(lab, "hers.v", everyone["all"])
    # Another does not take it away; it can be made again under its name.
    assert sql(lab, "DROP VIEW hers.v", everyone["ann"]).status_code == 403
    assert sql(lab, "DROP VIEW hers.v", everyone["all"]).status_code == 200
    assert count(lab, "hers.v", everyone["all"]) == 404
    assert sql(lab, create, everyone["all"]).status_code == 200
    acts = lab.run("audit", "list", "--dataset", "hers", "--json").out
    assert "create-view" in acts and "drop-view" in acts and lab.run("audit", "verify").code == 0


def test_of_what_may_not_be_known_a_view_tells_nothing(lab):
    lab.run("sql", f"CREATE VIEW shown.secret {INVOKER} AS SELECT station AS unmistakable FROM hidden.t")
    lab.run("sql", f"CREATE VIEW shown.outer {INVOKER} AS SELECT unmistakable FROM shown.secret")
    lab.start()
    admin = token(lab, "root", "admin")
    for text in (lab.people["bob"], admin, None):
        for name in ("secret", "outer"):
            # The same as of a view that is not there.
            answer, none = sql(lab, f"SELECT * FROM shown.{name}", text), sql(lab, "SELECT * FROM shown.nobody", text)
            assert (answer.status_code, answer.json()["detail"].replace(name, "nobody")) == (404, none.json()["detail"])
        said = requests.get(f"{lab.http_url}/api/v1/datasets/ornl/shown", headers=header(text), timeout=60).text
        said += sql(lab, "SELECT * FROM information_schema.columns", text).text + sql(lab, "SELECT * FROM information_schema.views", text).text
        said += requests.get(f"{lab.http_url}/api/v1/search?q=unmistakable", headers=header(text), timeout=60).text.replace("q=unmistakable", "")
        for word in ("unmistakable", "hidden", "secret"):
            assert word not in said, (word, said)
    # A definer's view shows its columns to those who may see its dataset, and not what it is made of.
    lab.run("sql", f"CREATE VIEW shown.means {DEFINER} AS SELECT station, count(*) AS n FROM hidden.t GROUP BY station")
    for text in (lab.people["bob"], None):
        rows = sql(lab, "SELECT station, n FROM shown.means ORDER BY station", text).json()["rows"]
        expected = lab.rows["hidden"].groupby("station").size()
        assert [(row["station"], row["n"]) for row in rows] == list(expected.items())
        said = requests.get(f"{lab.http_url}/api/v1/datasets/ornl/shown", headers=header(text), timeout=60).text
        said += sql(lab, "SELECT * FROM information_schema.views", text).text
        said += sql(lab, "EXPLAIN SELECT * FROM shown.means WHERE n > 3", text).text
        assert "means" in said and "hidden" not in said, said
        # What was made of it would stay when its rights end.
    refused = sql(lab, "CREATE TABLE strict.t AS SELECT * FROM shown.means", admin)
    assert refused.status_code == 400 and "rights of whoever made it" in refused.json()["detail"], refused.text


def test_a_definers_view_is_an_administrators_and_ends_with_their_rights(lab):
    lab.run("user", "create", "root", "--group", "all", "--assurance", "low")
    admin = token(lab, "root", "admin")
    lab.start()
    own(lab, "hers", lab.people["all"], exposure="full")
    create = f"CREATE VIEW hers.v {DEFINER} AS SELECT station, lat FROM closed.t WHERE station < 3"
    refused = sql(lab, create, lab.people["all"])
    assert refused.status_code == 403 and "administrator" in refused.json()["detail"], refused.text
    # An administrator makes none in a laxer dataset; the owner of the node may.
    refused = sql(lab, create, admin)
    assert refused.status_code == 403 and "laxer" in refused.json()["detail"], refused.text
    lab.run("sql", create)
    expected = int((lab.rows["closed"]["station"] < 3).sum())
    assert count(lab, "hers.v", lab.people["bob"]) == expected and count(lab, "hers.v", None) == expected
    # Predicates of who asks do not reach what the view leaves out.
    for probe in ("1 / (station - 7) < 5", "CAST(station - 7 AS BIGINT) = 0", "1 / (station - 7) >= 0 OR lat = 0"):
        answer = sql(lab, f"SELECT count(*) AS n FROM hers.v WHERE {probe}", lab.people["bob"])
        assert answer.status_code == 200, answer.text
    assert sql(lab, create.replace("hers", "strict"), admin).status_code == 200
    grantee = 'permit (principal, action == Action::"read", resource == Dataset::"ornl.strict") when { principal.id == "person:bob" };'
    lab.stop()
    (lab.home / "policies" / "y.cedar").write_text(f'@id("bob") {grantee}')
    lab.start()
    assert count(lab, "strict.v", lab.people["bob"]) == expected
    assert count(lab, "strict.v", lab.people["ann"]) == 403
    # A ticket is decided anew when it is used, however soon the view's definer loses their rights.
    doors = {"adbc.flight.sql.authorization_header": f"Bearer {lab.people['bob']}"}
    door = flight_sql.connect(lab.flight_url, db_kwargs=doors)
    before, after = (door.cursor().adbc_execute_partitions("SELECT count(*) FROM strict.v")[0] for _ in range(2))
    with door.cursor() as cursor:
        cursor.adbc_read_partition(before[0])
        assert cursor.fetchall() == [(expected,)]
    # Reading through it is in the log, with who read.
    acts = lab.run("audit", "list", "--dataset", "closed", "--json").out
    assert "ornl.strict.v" in acts and "person:bob" in acts
    # The definer is an administrator no more: nothing leaves, for no one but through the owner's view.
    for line in lab.run("token", "list", "--json").json():
        if line["name"] == "root":
            lab.run("token", "revoke", line["id"])
    refused = sql(lab, "SELECT count(*) FROM strict.v", lab.people["bob"])
    assert refused.status_code == 403 and "whoever made it" in refused.json()["detail"] and "closed" not in refused.json()["detail"]
    time.sleep(1.1)
    with door.cursor() as cursor, pytest.raises(flight_sql.ProgrammingError, match="whoever made it"):
        cursor.adbc_read_partition(after[0])
    door.close()
    assert count(lab, "hers.v", lab.people["bob"]) == expected
    lab.run("retract", "closed", "--reason", "consent was withdrawn")
    assert count(lab, "hers.v", lab.people["bob"]) == 403


def test_views_of_views_saved_queries_tables_and_a_change_of_what_they_read(lab, tmp_path):
    for depth in range(4):
        below = "open.t" if depth == 0 else f"shown.v{depth - 1}"
        lab.run("sql", f"CREATE VIEW shown.v{depth} {INVOKER if depth else DEFINER} AS SELECT station, lat FROM {below}")
    lab.start()
    bob = lab.people["bob"]
    assert count(lab, "shown.v3", bob) == len(lab.rows["open"])
    refused = lab.run("sql", f"CREATE VIEW shown.v4 {INVOKER} AS SELECT station FROM shown.v3", code=None)
    assert refused.code != 0 and "views read views" in refused.err, refused.err
    # Whoever made an inner view would choose what is read with the rights of another.
    refused = lab.run("sql", f"CREATE VIEW shown.outer {DEFINER} AS SELECT station FROM shown.v1", code=2)
    assert "tables alone" in refused.err
    own(lab, "swapped", bob, exposure="full")
    assert sql(lab, "CREATE TABLE swapped.x AS SELECT station, lat FROM open.t", bob).status_code == 200
    lab.run("sql", f"CREATE VIEW shown.deputy {DEFINER} AS SELECT * FROM swapped.x")
    assert count(lab, "shown.deputy", bob) == len(lab.rows["open"])
    assert sql(lab, "DROP TABLE swapped.x", bob).status_code == 200
    made = sql(lab, f"CREATE VIEW swapped.x {INVOKER} AS SELECT station, lat FROM open.t", bob)
    assert made.status_code == 200, made.text
    assert count(lab, "shown.deputy", bob) == 403
    # They stand within one another, and so do their brackets.
    deep = "(" * 20 + "station" + ")" * 20
    refused = lab.run("sql", f"CREATE VIEW shown.deep {INVOKER} AS SELECT {deep} AS x FROM open.t", code=2)
    assert "an eighth" in refused.err
    chain = "(" + " AND ".join(["lat > 0"] * 450) + ")"
    long = f"SELECT station FROM {{}} WHERE {' OR '.join([chain] * 3)} LIMIT 1"
    assert lab.run("sql", long.format("open.t")).code == 0
    assert "half" in lab.run("sql", long.format("shown.v3"), code=2).err
    # What a saved query reads through an invoker's view is pinned, and the view itself.
    own(lab, "his", bob, exposure="full")
    create = f"CREATE VIEW his.v {INVOKER} AS SELECT station, count(*) AS n FROM open.t GROUP BY station"
    assert sql(lab, create, bob).status_code == 200
    saved = requests.post(f"{lab.http_url}/api/v1/queries", json={"name": "q", "query": "SELECT * FROM his.v ORDER BY station"}, headers=header(bob), timeout=60)
    assert saved.status_code in (200, 201), saved.text
    assert {one["table"] for one in saved.json()["tables"]} == {"v", "t"}
    again = f"{lab.http_url}/api/v1/queries/{saved.json()['id']}/run"
    assert requests.post(again, headers=header(bob), timeout=60).status_code == 200
    assert sql(lab, "DROP VIEW his.v", bob).status_code == 200
    assert sql(lab, create.replace("count(*)", "count(*) + 1"), bob).status_code == 200
    changed = requests.post(again, headers=header(bob), timeout=60)
    assert changed.status_code != 200 and "another view" in changed.json()["detail"], changed.text
    # A table that is made of a view is made of what the view reads.
    own(lab, "theirs", bob, exposure="full")
    made = sql(lab, "CREATE TABLE theirs.t AS SELECT * FROM his.v", bob)
    assert made.status_code == 200 and set(made.json()["made_from"]) == {"ornl.his@1.v", "ornl.open@1.t"}, made.text
    # What it reads is there no more, or has other columns.
    lab.run("sql", "CREATE TABLE strict.one AS SELECT station, lat FROM open.t")
    lab.run("sql", f"CREATE VIEW shown.of {DEFINER} AS SELECT * FROM strict.one")
    lab.run("sql", "DROP TABLE strict.one")
    answer = sql(lab, "SELECT * FROM shown.of", bob)
    assert answer.status_code == 403 and "strict" not in answer.json()["detail"], answer.text
    lab.run("sql", "CREATE TABLE strict.one AS SELECT station, CAST(lat AS TEXT) AS lat FROM open.t")
    answer = lab.run("sql", "SELECT * FROM shown.of", code=None)
    assert answer.code != 0 and "other columns or types" in answer.err, answer.err
    lab.run("sql", "DROP VIEW shown.of")
    # A backup takes views along.
    lab.run("backup", tmp_path / "x.tarn")


def test_obligations_of_the_dataset_and_aggregates_alone_hold_through_views(lab, tmp_path):
    path = tmp_path / "census.nc"
    rows = table(path, 5)
    disclosure = {"unit": "dose", "minimum_cell": 11, "group_by": ["lat"], "functions": ["count"]}
    lab.run("register", write_record(tmp_path / "census.yaml", [path], name="census", **{**TIER, "tier": "aggregates_only", "exposure": "full", "disclosure": disclosure}))
    lab.run("ingest", path, "--dataset", "census", "--table", "t")
    lab.run("register", write_record(tmp_path / "limited.yaml", [lab.script], name="limited", tier="controlled", exposure="full", **TIER))
    lab.run("sql", f"CREATE VIEW limited.v {DEFINER} AS SELECT station, lat FROM hidden.t")
    lab.run("sql", f"CREATE VIEW limited.w {INVOKER} AS SELECT station, lat FROM open.t")
    for whose, name in ((INVOKER, "i"), (DEFINER, "d")):
        lab.run("sql", f"CREATE VIEW shown.rows_{name} {whose} AS SELECT * FROM census.t")
    lab.start()
    bob = lab.people["bob"]
    # The policy of the dataset that holds the view limits its rows.
    for view, name in (("v", "hidden"), ("w", "open")):
        expected = int((lab.rows[name]["station"] < 5).sum())
        assert count(lab, f"limited.{view}", bob) == expected
    # Rows of what only aggregates may leave of do not leave by either kind, not even the owner's.
    for name in ("i", "d"):
        for query in (f"SELECT * FROM shown.rows_{name}", f"SELECT station FROM shown.rows_{name} LIMIT 1"):
            answer = sql(lab, query, bob)
            assert answer.status_code in (400, 403), (query, answer.text)
            assert name == "i" or "census" not in answer.json()["detail"], answer.text
    assert lab.run("sql", "SELECT * FROM shown.rows_d LIMIT 1", code=None).code != 0
    # Aggregates do: above an invoker's view for who may ask for them, within a definer's for everyone.
    expected = rows.groupby("lat").size()
    lab.run("sql", f"CREATE VIEW shown.counts {DEFINER} AS SELECT lat, count(*) AS n FROM census.t GROUP BY lat")
    answer = sql(lab, "SELECT lat, n FROM shown.counts ORDER BY lat", bob)
    assert [(row["lat"], row["n"]) for row in answer.json()["rows"]] == list(expected.items()), answer.text
    asked = lab.run(
        *("access", "request", "census", "--for", "bob", "--purpose", "research", "--justification", "rates"),
        *("--agreement", AGREEMENT),
    )
    lab.run("access", "approve", asked.out.strip())
    answer = sql(lab, "SELECT lat, count(*) AS n FROM shown.rows_i GROUP BY lat ORDER BY lat", bob)
    assert [(row["lat"], row["n"]) for row in answer.json()["rows"]] == list(expected.items()), answer.text
    assert sql(lab, "SELECT * FROM shown.rows_i LIMIT 1", bob).status_code == 403


def test_another_lab_reads_views_where_they_are(lab, new_lab):
    lab.run("sql", f"CREATE VIEW shown.means {DEFINER} AS SELECT station, count(*) AS n FROM hidden.t GROUP BY station")
    lab.run("sql", f"CREATE VIEW shown.mine {INVOKER} AS SELECT station, lat FROM open.t")
    lab.run("sql", f"CREATE VIEW shown.closed {INVOKER} AS SELECT station, lat FROM closed.t")
    lab.start()
    peer = new_lab("llnl", start=True)
    lab.invite(peer)
    expected = lab.rows["hidden"].groupby("station").size()
    answer = sql(peer, "SELECT station, n FROM ornl.shown.means WHERE n > 0 ORDER BY station", token(peer, "cat"))
    assert answer.status_code == 200, answer.text
    assert [(row["station"], row["n"]) for row in answer.json()["rows"]] == list(expected.items())
    answer = sql(peer, "SELECT count(*) AS n FROM ornl.shown.mine WHERE lat < 0", token(peer, "cat"))
    assert answer.status_code == 400 and "which other labs cannot" in answer.json()["detail"], answer.text
    refused = sql(peer, "SELECT count(*) AS n FROM ornl.shown.closed", token(peer, "cat"))
    assert refused.status_code in (400, 403, 404), refused.text
