"""A dataset whose raw file is gone: its record can still be corrected, and closed."""

import datetime
import sqlite3

from test_two_people import CLOSED, desk  # noqa: F401

TODAY = datetime.date.today()


def test_data_are_closed_though_the_file_is_gone(desk):
    file = desk.file("x.nc")
    other = desk.file("other.nc")
    assert desk.submit("bob", "x", "x.nc").status_code == 201
    desk.lab.run("ingest", str(file), "--dataset", "x")
    sums = {entry["sha256"] for entry in desk.ask("bob", "GET", "/datasets/ornl/x").json()["files"]}
    file.unlink()
    # A better text takes no file, and another dataset takes none that is not there.
    better = desk.submit("bob", "x", "x.nc", title="A better title of what is here")
    assert better.status_code == 201 and any("not there any more" in notice for notice in better.json()["notices"]), better.text
    assert desk.submit("bob", "y", "x.nc").status_code == 202
    # Nor does a version that never knew the file.
    assert desk.submit("bob", "x", "x.nc", "missing.nc").status_code == 202
    done = desk.submit("bob", "x", "x.nc", title="A better title of what is here", **CLOSED)
    assert done.status_code == 201, done.text
    assert desk.ask(None, "POST", "/sql", {"query": "SELECT count(*) FROM ornl.x.x"}).status_code in (403, 404)
    shown = desk.lab.run("show", "x", "--json").json()
    assert shown["tier"] == CLOSED["tier"] and {entry["sha256"] for entry in shown["files"]} == sums
    # Opening it again takes a second person, who can say so without the file.
    back = desk.submit("bob", "x", "x.nc", title="A better title of what is here")
    assert back.status_code == 202
    desk.lab.run("draft", "approve", "x", "--revision", str(back.json()["revision"]))
    assert desk.ask("bob", "GET", "/datasets/ornl/x").json()["tier"] == "public"
    assert other.exists()


def test_the_owner_closes_without_the_file_and_keeps_the_tables(desk):
    file = desk.file("x.nc")
    desk.register("x", "x.nc", tables={"t": {}})
    before = desk.lab.run("sql", "SELECT count(*) AS n FROM ornl.x.t", "--json").json()["rows"]
    away = file.rename(file.with_name("away"))
    done = desk.register("x", "x.nc", tables={"t": {}}, **CLOSED)
    assert "not there any more" in done.err
    assert desk.lab.run("show", "x", "--json").json()["tier"] == CLOSED["tier"]
    away.rename(file)
    assert desk.lab.run("sql", "SELECT count(*) AS n FROM ornl.x.t", "--json").json()["rows"] == before


def test_a_day_of_release_that_has_passed_is_in_nobodys_way(desk):
    desk.file("p.nc")
    marked = {**CLOSED, "tier": "controlled", "markings": ["PROT"]}
    day, passed = (str(TODAY + datetime.timedelta(days=days)) for days in (3, -1))
    assert desk.submit("ann", "p", "p.nc", **marked, marking_details={"release_date": day}).status_code == 202
    assert desk.approve("gus", "p").status_code == 201
    desk.lab.stop()
    # The clock cannot be turned here, so the day is.
    with sqlite3.connect(desk.lab.home / "catalog.sqlite") as database:
        assert database.execute("UPDATE version SET record = replace(record, ?, ?)", (day, passed)).rowcount == 1
    desk.lab.start()
    desk.api = f"{desk.lab.http_url}/api/v1"
    closed = {**marked, "tier": "restricted", "marking_details": {"release_date": passed}}
    done = desk.submit("ann", "p", "p.nc", **closed)
    assert done.status_code == 201 and desk.lab.run("show", "p", "--json").json()["tier"] == "restricted", done.text
    # A day that has passed is no day for a marking that is new.
    desk.file("q.nc")
    other = desk.submit("ann", "q", "q.nc", **marked, marking_details={"release_date": passed})
    assert other.status_code == 422 and "markings.release_date" in other.text


def test_every_violation_is_told_beside_a_wrong_shape(desk):
    desk.file("s.nc")
    record = {"name": "s", "title": "short", "tier": "public", "license": "No-Such", "files": [str(desk.files / "s.nc")], "keywords": "one text"}
    told = desk.ask("bob", "PUT", "/drafts/s", record)
    rules = {entry["pointer"] for entry in told.json()["violations"]}
    assert told.status_code == 422 and {"/keywords", "/license", "/description"} <= rules, told.text
    # A file that is not there, or another's, changes nothing of what is told.
    gone = desk.ask("bob", "PUT", "/drafts/s", {**record, "files": [str(desk.files / "gone.nc")]})
    assert {entry["pointer"] for entry in gone.json()["violations"]} == {"/keywords"}


def test_a_draft_that_has_to_be_there(desk):
    desk.file("d.nc")
    anything = {"If-Match": "*"}
    assert desk.ask("bob", "PUT", "/drafts/d", {"name": "d"}, **anything).status_code == 412
    assert desk.ask("bob", "GET", "/drafts/d").status_code == 404
    desk.put("bob", "d", "d.nc")
    assert desk.ask("bob", "PUT", "/drafts/d", {"name": "d"}, **anything).status_code == 200
    for limit in ("0", "1001", "100000", "x"):
        assert desk.ask(None, "GET", f"/search?limit={limit}").status_code == 400, limit
    assert desk.ask(None, "GET", "/search?limit=1000").status_code == 200
