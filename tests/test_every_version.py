"""What one version closes stays closed, whatever the others say: bytes, tables, inherited limits and lineage."""

import pytest
from test_access import header, token
from test_limits_handed_on import EMBARGO, US, of, shown
from test_two_people import CLOSED, CUI, Desk


@pytest.fixture
def desk(new_lab, tmp_path):
    desk = Desk(new_lab, tmp_path)
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    return desk


def older(desk, who, name, version, file):
    return desk.ask(who, "GET", f"/datasets/ornl/{name}@{version}/files/0/{file}").status_code


def test_bytes_that_an_older_version_closes_are_published_by_nobody_alone(desk):
    for name in ("raw.nc", "clean.nc", "marked.nc", "plain.nc", "late.nc", "soon.nc", "free.nc"):
        desk.file(name)
    assert desk.submit("bob", "study", "raw.nc", **CLOSED).status_code == 202
    assert desk.approve("gus", "study").status_code == 201
    assert desk.submit("bob", "study", "clean.nc").status_code == 202
    assert desk.approve("gus", "study").status_code == 201
    assert (older(desk, None, "study", 1, "raw.nc"), desk.reads(None, "study", "clean.nc")) == (403, 200)
    desk.register("marked", "marked.nc", **{**CLOSED, "exposure": "none", "markings": ["OUO"]})
    desk.register("marked", "plain.nc")
    desk.register("late", "late.nc", embargo=EMBARGO)
    desk.register("late", "soon.nc")
    for file in ("raw", "marked", "late"):
        waits = desk.submit("eve", f"copy_{file}", f"{file}.nc")
        assert waits.status_code == 202, (file, waits.text)
        assert desk.reads(None, f"copy_{file}", f"{file}.nc") == 404
        # Nor is anything told of what is in them.
        assert desk.ask("eve", "POST", f"/drafts/copy_{file}/check").status_code == 400
    # Under the name of the dataset itself, too.
    assert desk.submit("eve", "study", "raw.nc").status_code == 202
    # What the newest version gives to everyone is nobody's secret.
    desk.register("both", "free.nc", embargo=EMBARGO)
    desk.register("both", "free.nc")
    assert desk.submit("eve", "free", "free.nc").status_code == 201


def test_bytes_that_wait_in_another_persons_draft_are_held_under_any_name(desk):
    for name in ("m.nc", "y.nc", "f.nc", "z.nc"):
        desk.file(name)
    assert desk.submit("bob", "m", "m.nc").status_code == 201
    assert desk.submit("ann", "m", "y.nc", embargo=EMBARGO).status_code == 202
    for name in ("m", "other"):
        assert desk.submit("eve", name, "y.nc").status_code == 202, name
    assert shown(desk, "m")["version"] == 1 and desk.reads(None, "other", "y.nc") == 404
    # A check tells nothing of them under the same name.
    assert desk.submit("bob", "f", "f.nc").status_code == 201
    assert desk.submit("ann", "f", "z.nc", **CLOSED).status_code == 202
    desk.put("eve", "f", "z.nc")
    checked = desk.ask("eve", "POST", "/drafts/f/check")
    assert checked.status_code == 400 and "extent" not in checked.text
    # One's own draft is in nobody's way.
    assert desk.submit("ann", "m", "y.nc").status_code in (201, 202)


def rows(desk, table):
    return desk.ask(None, "POST", "/sql", {"query": f"SELECT count(*) AS n FROM {table}"}).status_code


def test_what_a_version_takes_over_stays_with_that_version(desk):
    for name in ("held.nc", "d1.nc", "d2.nc", "x.nc", "p.nc", "e1.nc", "e2.nc", "y.nc"):
        desk.file(name)
    desk.register("held", "held.nc", embargo=EMBARGO, conditions=US)
    assert desk.submit("bob", "d", "d1.nc", provenance=of("held")).status_code == 201
    assert desk.submit("bob", "d", "d2.nc").status_code == 202
    assert desk.approve("root", "d").status_code == 201
    assert (older(desk, None, "d", 1, "d1.nc"), desk.reads(None, "d", "d2.nc")) == (403, 200)
    # What is made of that version is limited, too.
    assert desk.submit("eve", "x", "x.nc", provenance=of("d@1")).status_code == 201
    assert shown(desk, "x")["inherited"]["countries"] == ["US"] and desk.reads(None, "x", "x.nc") == 403
    # An input that is closed later closes every version that was made of it, and what was made of these.
    desk.register("p", "p.nc")
    assert desk.submit("bob", "e", "e1.nc", provenance=of("p")).status_code == 201
    assert desk.submit("bob", "e", "e2.nc").status_code == 201
    assert desk.submit("eve", "y", "y.nc", provenance=of("e@1")).status_code == 201
    assert (older(desk, None, "e", 1, "e1.nc"), desk.reads(None, "y", "y.nc")) == (200, 200)
    desk.register("p", "p.nc", **{**CLOSED, "exposure": "none", "markings": ["CUI"], "cui": CUI})
    assert older(desk, None, "e", 1, "e1.nc") in (403, 404) and desk.reads(None, "y", "y.nc") in (403, 404)
    assert desk.ask(None, "GET", "/datasets/ornl/e@1").status_code == 404
    assert desk.reads(None, "e", "e2.nc") == 200
    # What is wrong with data is wrong with all that any version was made of.
    made = desk.lab.run("retract", "p", "--reason", "it is all wrong").out.split()
    assert {"ornl.e", "ornl.y"} <= set(made), made


def test_a_table_keeps_the_limits_of_the_files_that_it_came_from(desk):
    for name in ("held.nc", "m1.nc", "m2.nc", "raw.nc", "clean.nc"):
        desk.file(name)
    desk.register("held", "held.nc", embargo=EMBARGO, conditions=US)
    assert desk.submit("bob", "m", "m1.nc", provenance=of("held")).status_code == 201
    desk.lab.run("ingest", desk.files / "m1.nc", "--dataset", "m", "--table", "t", "--grid", "time_lat_lon")
    desk.register("own", "raw.nc", embargo=EMBARGO)
    desk.lab.run("ingest", desk.files / "raw.nc", "--dataset", "own", "--table", "t", "--grid", "time_lat_lon")
    assert (rows(desk, "m.t"), rows(desk, "own.t")) == (403, 403)
    # This opens nothing, because the table keeps what it took over.
    assert desk.submit("bob", "m", "m2.nc").status_code in (201, 202)
    desk.register("m", "m2.nc")
    told = desk.register("own", "clean.nc")
    assert "rows of files of an earlier version" in told.out + told.err, told.out + told.err
    assert [table["name"] for table in shown(desk, "m")["tables"]] == ["t"]
    for table in ("m.t", '"m@1".t', "own.t", '"own@1".t'):
        assert rows(desk, table) == 403, table
    # Neither does registering again open it; a record that has those files again is what two people opened.
    desk.register("own", "clean.nc", title="A better title of this dataset")
    assert rows(desk, "own.t") == 403
    desk.register("own", "raw.nc", "clean.nc")
    assert rows(desk, "own.t") == 200 and rows(desk, '"own@1".t') == 403
    # From then on it stays open, whichever files the record has.
    desk.register("own", "clean.nc")
    assert rows(desk, "own.t") == 200


def test_the_log_tells_the_tier_that_counts(desk):
    for name in ("r.nc", "h.nc"):
        desk.file(name)
    desk.register("r", "r.nc")
    assert desk.submit("bob", "h", "h.nc", provenance=of("r")).status_code == 201
    desk.register("r", "r.nc", **{**CLOSED, "exposure": "none"})
    # Bob does not know of the input any more, and his record says public.
    done = desk.submit("bob", "h", "h.nc", provenance=of("r"), title="A better title of this dataset")
    assert done.status_code == 202, done.text
    told = desk.lab.run("draft", "approve", "h", "--revision", str(done.json()["revision"]))
    assert "more people may read" not in told.out + told.err
    log = desk.lab.run("audit", "list", "--json").json()
    tiers = [one["details"]["tier"] for one in log if one["act"] == "register" and one["dataset"].startswith("ornl.h@")]
    assert tiers == ["public", "restricted"]
    assert desk.reads(None, "h", "h.nc") == 404
