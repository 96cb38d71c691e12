"""What is closed further at once although its record says more than it did: releases, CUI, disclosure, days that passed."""

import datetime
import sqlite3

from test_limits_handed_on import EMBARGO, of, shown
from test_tightening import PEOPLE, TERMS, registered
from test_two_people import CLOSED, CUI, desk  # noqa: F401

TODAY = datetime.date.today()
REASON = "means of at least a hundred persons each"


def test_what_was_released_can_be_closed_again(desk):
    for name in ("r.nc", "m.nc", "other.nc"):
        desk.file(name)
    desk.register("r", "r.nc", **CLOSED)
    origin = {**of("r"), "released": [{"input": "r", "reason": REASON}]}
    assert desk.submit("bob", "m", "m.nc", provenance=origin).status_code == 202
    revision = desk.ask("bob", "GET", "/drafts/m").json()["revision"]
    desk.lab.run("draft", "approve", "m", "--revision", str(revision))
    assert desk.reads(None, "m", "m.nc") == 200
    # Other words, bytes or reasons are looked at; the same release with less is not.
    assert desk.submit("bob", "m", "other.nc", provenance=origin).status_code == 202
    more = {**of("r"), "released": [{"input": "r", "reason": REASON + " or more"}]}
    assert desk.submit("bob", "m", "m.nc", provenance=more).status_code == 202
    held = desk.submit("bob", "m", "m.nc", provenance=origin, embargo=EMBARGO)
    assert held.status_code == 201, held.text
    assert desk.reads(None, "m", "m.nc") == 403
    closed = desk.submit("bob", "m", "m.nc", provenance=origin, embargo=EMBARGO, **CLOSED)
    assert closed.status_code == 201, closed.text
    # And open again takes two, with and without the release.
    assert desk.submit("bob", "m", "m.nc", provenance=origin).status_code == 202
    assert desk.reads(None, "m", "m.nc") == 403


def test_the_owner_closes_what_was_released(desk):
    for name in ("r.nc", "m.nc"):
        desk.file(name)
    desk.register("r", "r.nc", **CLOSED)
    origin = {**of("r"), "released": [{"input": "r", "reason": REASON}]}
    desk.submit("bob", "m", "m.nc", provenance=origin)
    desk.lab.run("draft", "approve", "m", "--revision", str(desk.ask("bob", "GET", "/drafts/m").json()["revision"]))
    desk.register("m", "m.nc", provenance=origin, embargo=EMBARGO)
    assert desk.reads(None, "m", "m.nc") == 403


def test_what_is_made_of_data_for_two_diseases_or_places_can_be_written(desk):
    for name in ("i.nc", "j.nc", "k.nc", "o.nc"):
        desk.file(name)
    uses = {
        "i": {"permission": "DS", "disease": "MONDO:0005148", "modifiers": []},
        "j": {"permission": "DS", "disease": "MONDO:0005015", "modifiers": []},
        "k": {"permission": "GRU", "modifiers": [{"code": "TS", "months": 12}]},
    }
    for name, use in uses.items():
        desk.register(name, f"{name}.nc", **PEOPLE, data_use=use)
    for wider in ({"permission": "GRU", "modifiers": []}, {"permission": "DS", "disease": "MONDO:1", "modifiers": [{"code": "TS", "months": 12}]}, uses["i"]):
        refused = desk.submit("bob", "o", "o.nc", **PEOPLE, data_use=wider, provenance=of("i", "j", "k"))
        assert refused.status_code == 422 and "provenance.data_use" in refused.text, (wider, refused.text)
    one = {**uses["i"], "modifiers": [{"code": "TS", "months": 12}]}
    assert desk.submit("bob", "o", "o.nc", **PEOPLE, data_use=one, provenance=of("i", "j", "k")).status_code == 202
    assert desk.approve("gus", "o").status_code == 201
    # Nobody's use lies within both, whatever the record says.
    agreement = CLOSED["agreement"]["sha256"]
    ask = {"purpose": "research", "justification": "to compare two models with it", "agreement": agreement, "data_use": "DS"}
    for disease in ("MONDO:0005148", "MONDO:0005015"):
        answer = desk.ask("eve", "POST", "/access/requests", {"dataset": "o", "ask": {**ask, "disease": disease}})
        assert answer.status_code == 400, answer.text


def test_marked_data_become_cui_at_once_and_keep_who_was_cleared(desk):
    desk.file("u.nc")
    marked = {**CLOSED, "markings": ["OUO"]}
    registered(desk, "u", "u.nc", **marked)
    now = {**CLOSED, "markings": ["CUI"], "cui": CUI}
    done = desk.submit("bob", "u", "u.nc", **now)
    assert done.status_code == 201, done.text
    assert {"OUO"} <= set(shown(desk, "u")["inherited"]["markings"])
    # A second person says that CUI alone is meant, and is told what that ends.
    assert desk.submit("bob", "u", "u.nc", **now, title="A better title of this dataset").status_code == 202
    checked = desk.ask("gus", "POST", "/drafts/u/check").json()
    assert any("cleared for OUO" in notice for notice in checked["notices"]), checked["notices"]
    desk.register("u", "u.nc", **now)
    assert "OUO" not in str(shown(desk, "u").get("inherited"))
    assert desk.submit("bob", "u", "u.nc", **marked).status_code == 202


def test_fewer_and_larger_groups_need_nobody_else(desk):
    desk.file("a.nc")
    told = {"unit": "time", "minimum_cell": 11, "functions": ["count", "mean"], "group_by": ["lat"]}
    shut = {**CLOSED, "tier": "aggregates_only"}
    registered(desk, "a", "a.nc", **shut, disclosure=told)
    for stricter in ({"minimum_cell": 100}, {"functions": ["count"]}, {"dominance_percent": 75.0}, {"dominance_percent": 50.0}):
        told = {**told, **stricter}
        done = desk.submit("bob", "a", "a.nc", **shut, disclosure=told)
        assert done.status_code == 201, (stricter, done.text)
    for laxer in ({"minimum_cell": 99}, {"functions": ["count", "sum"]}, {"dominance_percent": 51.0}, {"dominance_percent": None}, {"unit": "lat", "group_by": []}, {"group_by": ["lat", "lon"]}, {"group_by": []}):
        given = {key: value for key, value in {**told, **laxer}.items() if value is not None}
        assert desk.submit("bob", "a", "a.nc", **shut, disclosure=given).status_code == 202, laxer


def test_a_share_that_was_not_said_is_that_of_everybody(desk):
    desk.file("a.nc")
    told = {"unit": "time", "minimum_cell": 11, "functions": ["count"], "group_by": ["lat"]}
    shut = {**CLOSED, "tier": "aggregates_only"}
    registered(desk, "a", "a.nc", **shut, disclosure=told)
    assert desk.submit("bob", "a", "a.nc", **shut, disclosure={**told, "dominance_percent": 76.0}).status_code == 202
    assert desk.submit("bob", "a", "a.nc", **shut, disclosure={**told, "dominance_percent": 74.0}).status_code == 201


def test_other_terms_do_not_pass_behind_an_embargo(desk):
    desk.file("t.nc")
    registered(desk, "t", "t.nc", tier="registered", terms=TERMS)
    other = {**TERMS, "sha256": "5" * 64}
    tomorrow = {"until": str(TODAY + datetime.timedelta(days=1)), "reason": "a paper is being written"}
    assert desk.submit("bob", "t", "t.nc", tier="registered", terms=other, embargo=tomorrow).status_code == 202
    anything = {"permission": "NRES", "modifiers": []}
    assert desk.submit("bob", "t", "t.nc", tier="registered", terms=other, human_data=True, data_use=anything).status_code != 201
    # What shuts nobody out who accepted the other terms.
    for beside in (
        {"human_data": True, "data_use": {"permission": "GRU", "modifiers": []}},
        {"conditions": {"assurance": "medium"}},
        {"markings": ["OUO"]},
    ):
        assert desk.submit("bob", "t", "t.nc", tier="registered", terms=other, **beside).status_code != 201, beside
    assert desk.submit("bob", "t", "t.nc", tier="registered", terms=TERMS, embargo=tomorrow).status_code == 201


def test_an_embargo_that_has_ended_is_in_nobodys_way(desk):
    desk.file("e.nc")
    day, passed = str(TODAY + datetime.timedelta(days=3)), str(TODAY - datetime.timedelta(days=1))
    registered(desk, "e", "e.nc", embargo={"until": day, "reason": "a paper is being written"})
    desk.lab.stop()
    # The clock cannot be turned here, so the day is.
    with sqlite3.connect(desk.lab.home / "catalog.sqlite") as database:
        assert database.execute("UPDATE version SET record = replace(record, ?, ?)", (day, passed)).rowcount == 1
    desk.lab.start()
    desk.api = f"{desk.lab.http_url}/api/v1"
    ended = {"until": passed, "reason": "a paper is being written"}
    done = desk.submit("bob", "e", "e.nc", embargo=ended, title="A better title of this dataset")
    assert done.status_code == 201, done.text
    desk.file("f.nc")
    assert desk.submit("bob", "f", "f.nc", embargo=ended).status_code == 422


def test_one_human_stays_one_whatever_else_is_said(desk):
    desk.file("s.nc")
    desk.lab.run("user", "create", "gus", "--group", "dac", "--assurance", "high", "--same-as", "person:bob")
    assert desk.submit("bob", "s", "s.nc", **CLOSED).status_code == 202
    assert desk.approve("gus", "s").status_code == 403
    said = desk.lab.run("user", "create", "gus", "--group", "dac", "--assurance", "high", "--json").json()
    assert said["attributes"]["identities"] == ["person:bob"]
    assert desk.approve("gus", "s").status_code == 403
    desk.lab.run("user", "revoke", "gus")
    desk.lab.run("user", "create", "gus", "--group", "dac", "--assurance", "high")
    assert desk.approve("gus", "s").status_code == 201


def test_a_revision_that_was_meant_is_the_one_that_goes(desk):
    desk.file("d.nc")
    first, second = (f'"{desk.put("bob", "d", "d.nc", title=f"Title {turn} of a dataset")}"' for turn in (1, 2))
    for method, path in (("DELETE", "/drafts/d"), ("POST", "/drafts/d/submit")):
        assert desk.ask("bob", method, path, **{"If-Match": first}).status_code == 409
        assert desk.ask("bob", method, path, **{"If-Match": '"v1"'}).status_code == 400
    assert desk.ask("bob", "POST", "/drafts/d/submit", **{"If-Match": second}).status_code == 201


def test_who_looks_at_what_waits_is_in_the_log(desk):
    desk.file("w.nc")
    desk.file("p.nc")
    assert desk.submit("bob", "w", "w.nc", **{**CLOSED, "exposure": "none"}).status_code == 202
    desk.put("bob", "p", "p.nc")

    def entries():
        return [entry for entry in desk.lab.run("audit", "list", "--dataset", "w", "--json").json() if "draft" in str(entry.get("said", entry)) and "gus" in str(entry)]

    for turn, path in enumerate(("/drafts/w", "/drafts"), 1):
        assert desk.ask("gus", "GET", path).status_code == 200
        assert len(entries()) == turn, path
    assert desk.ask("bob", "GET", "/drafts/w").status_code == 200
    assert len(entries()) == 2


def test_saying_what_aggregates_may_tell_opens_what_told_nothing(desk):
    """An input gives aggregates alone: what was made from it gives nothing until a second person says what."""
    desk.file("r.nc")
    desk.file("m.nc")
    restricted = {**CLOSED, "tier": "restricted"}
    registered(desk, "r", "r.nc", **restricted)
    made = of("r")
    registered(desk, "m", "m.nc", **restricted, provenance=made)
    told = {"unit": "time", "minimum_cell": 11, "functions": ["count", "sum"], "group_by": ["lat"]}
    shut = {**CLOSED, "tier": "aggregates_only"}
    assert desk.submit("bob", "r", "r.nc", **shut, disclosure=told).status_code == 201
    laxer = {**told, "dominance_percent": 100.0}
    assert desk.submit("bob", "m", "m.nc", **shut, disclosure=laxer, provenance=made).status_code == 202
    assert desk.submit("bob", "m", "m.nc", **shut, disclosure=told, provenance=made).status_code == 202


def test_what_is_marked_gets_no_end_from_one_person(desk):
    """Neither beside a marking that needs a day, nor where the marking is that of an input."""
    desk.file("o.nc")
    desk.file("i.nc")
    tomorrow = str(TODAY + datetime.timedelta(days=1))
    registered(desk, "o", "o.nc", **CLOSED, markings=["OUO"])
    ends = {"release_date": tomorrow}
    assert desk.submit("bob", "o", "o.nc", **CLOSED, markings=["OUO", "PROT"], marking_details=ends).status_code == 202
    assert desk.submit("bob", "o", "o.nc", **CLOSED, markings=["OUO", "SSI"]).status_code == 201
    made = of("o")
    registered(desk, "i", "i.nc", **CLOSED, markings=["OUO", "SSI"], provenance=made)
    with_end = {"markings": ["OUO", "SSI", "PROT"], "marking_details": ends, "provenance": made}
    assert desk.submit("bob", "i", "i.nc", **CLOSED, **with_end).status_code == 202


def test_who_looks_at_a_record_is_told_which_markings_end_with_their_word(desk):
    desk.file("c.nc")
    registered(desk, "c", "c.nc", **CLOSED, markings=["OUO"])
    marked = {**CLOSED, "markings": ["CUI"], "cui": CUI}
    assert desk.submit("bob", "c", "c.nc", **marked).status_code == 201
    assert desk.submit("bob", "c", "c.nc", **marked, version_notes="Nothing of it is for official use only any more").status_code == 202
    waits = desk.ask("gus", "GET", "/drafts/c").json()
    assert any("OUO" in notice for notice in waits["notices"]), waits
    assert "OUO" in desk.lab.run("draft", "show", "c").err
