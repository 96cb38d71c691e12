"""What closes data further takes effect at once, whatever stands beside it; and what nobody could write."""

import datetime

import pytest
from test_access import header, token
from test_limits_handed_on import EMBARGO, of, shown
from test_two_people import CLOSED, CUI, EXPORT, Desk

TERMS = {"id": "https://lab.example/terms", "sha256": "0" * 64}
LATER = str(datetime.date.today() + datetime.timedelta(days=300))
PEOPLE = {**CLOSED, "tier": "controlled", "exposure": "full", "human_data": True}


@pytest.fixture
def desk(new_lab, tmp_path):
    desk = Desk(new_lab, tmp_path)
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    return desk


def registered(desk, name, file, **changes):
    """A dataset of bob's, which the owner looked at where a second person has to."""
    done = desk.submit("bob", name, file, **changes)
    if done.status_code == 202:
        desk.lab.run("draft", "approve", name, "--revision", str(done.json()["revision"]))
    else:
        assert done.status_code == 201, done.text


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {**CLOSED, "markings": ["PROT"], "marking_details": {"release_date": LATER}}),
        ({}, {**CLOSED, "markings": ["SBIR"], "marking_details": {"release_date": LATER}}),
        ({}, {**CLOSED, "markings": ["PDOUO"], "marking_details": {"exemption": 4}}),
        ({}, {**CLOSED, "markings": ["OTHR"], "marking_details": {"other": "for the board alone"}}),
        ({}, {"embargo": EMBARGO, "title": "A better title of this dataset"}),
        ({}, {**CLOSED, "contact": {"name": "Desk", "email": "desk@tarn.example"}}),
        ({"tier": "registered", "terms": TERMS}, {**CLOSED, "tier": "controlled", "terms": {**TERMS, "sha256": "5" * 64}}),
        ({"export_control": {**EXPORT, "countries": ["US", "CA"]}, **CLOSED}, {"export_control": EXPORT, **CLOSED}),
        (
            {**CLOSED, "markings": ["CUI"], "cui": {**CUI, "banner": "CUI//EXPT", "dissemination": []}},
            {**CLOSED, "markings": ["CUI"], "cui": CUI},
        ),
        (
            {**CLOSED, "markings": ["PROT"], "marking_details": {"release_date": str(datetime.date.today() + datetime.timedelta(days=100))}},
            {**CLOSED, "markings": ["PROT"], "marking_details": {"release_date": LATER}},
        ),
    ],
)
def test_what_only_closes_does_not_wait(desk, before, now):
    desk.file("x.nc")
    registered(desk, "x", "x.nc", **before)
    done = desk.submit("bob", "x", "x.nc", **now)
    assert done.status_code == 201, done.text
    assert shown(desk, "x")["version"] == 2
    assert desk.reads(None, "x", "x.nc") == 403
    # And back it waits.
    assert desk.submit("bob", "x", "x.nc", **before).status_code == 202


def test_an_input_that_closes_is_added_at_once(desk):
    for name in ("held.nc", "d.nc"):
        desk.file(name)
    desk.register("held", "held.nc", embargo=EMBARGO)
    registered(desk, "d", "d.nc", tier="registered", terms=TERMS)
    assert desk.submit("bob", "d", "d.nc", tier="registered", terms=TERMS, provenance=of("held")).status_code == 201
    assert desk.reads("eve", "d", "d.nc") == 403


def test_what_is_made_of_cui_and_other_marked_data_can_be_written(desk):
    for name in ("a.nc", "b.nc", "c.nc"):
        desk.file(name)
    desk.register("a", "a.nc")
    desk.register("b", "b.nc")
    assert desk.submit("bob", "c", "c.nc", provenance=of("a", "b")).status_code == 201
    desk.register("a", "a.nc", **{**CLOSED, "markings": ["OUO"]})
    desk.register("b", "b.nc", **{**CLOSED, "markings": ["CUI"], "cui": CUI})
    closed = {**CLOSED, "markings": ["CUI"], "cui": CUI, "provenance": of("a", "b")}
    done = desk.submit("bob", "c", "c.nc", **closed)
    assert done.status_code in (201, 202), done.text
    desk.register("c", "c.nc", **closed)
    assert {"CUI", "OUO"} <= set(shown(desk, "c")["inherited"]["markings"])


def test_data_about_people_are_used_for_no_more_than_their_inputs(desk):
    for name in ("i.nc", "o.nc"):
        desk.file(name)
    limits = [{"code": "GS", "place": "US"}, {"code": "TS", "months": 12}]
    use = {"permission": "DS", "disease": "MONDO:0005148", "modifiers": limits}
    desk.register("i", "i.nc", **PEOPLE, data_use=use)
    for wider in (
        {"permission": "GRU", "modifiers": limits},
        {**use, "disease": "MONDO:0004992"},
        {**use, "modifiers": [{"code": "GS", "place": "RU"}, limits[1]]},
        {**use, "modifiers": [limits[0], {"code": "TS", "months": 600}]},
        {**use, "modifiers": limits[:1]},
    ):
        refused = desk.submit("bob", "o", "o.nc", **PEOPLE, data_use=wider, provenance=of("i"))
        assert refused.status_code == 422 and "provenance.data_use" in refused.text, (wider, refused.text)
    narrower = {**use, "modifiers": [limits[0], {"code": "TS", "months": 6}]}
    assert desk.submit("bob", "o", "o.nc", **PEOPLE, data_use=narrower, provenance=of("i")).status_code == 202
    assert desk.approve("gus", "o").status_code == 201
    # What the input is limited to later counts for requests, too.
    desk.register("i", "i.nc", **PEOPLE, data_use={**use, "modifiers": [*limits, {"code": "NPUNCU"}]})
    agreement = CLOSED["agreement"]["sha256"]
    ask = {"purpose": "research", "justification": "to compare two models with it", "agreement": agreement, "data_use": "DS", "disease": "MONDO:0005148", "place": "US"}
    for dataset in ("i", "o"):
        for asked, code in (({**ask, "data_use": "GRU"}, 400), ({**ask, "commercial": True}, 400), (ask, 201)):
            answer = desk.ask("eve", "POST", "/access/requests", {"dataset": dataset, "ask": asked})
            assert answer.status_code == code, (dataset, asked, answer.text)


def test_two_people_release_what_was_made_of_closed_data(desk):
    for name in ("r.nc", "means.nc", "next.nc"):
        desk.file(name)
    desk.register("r", "r.nc", **CLOSED)
    reason = "means of at least a hundred persons each"
    origin = {**of("r"), "released": [{"input": "r", "reason": reason}]}
    refused = desk.submit("bob", "means", "means.nc", provenance={**origin, "released": [{"input": "q", "reason": reason}]})
    assert refused.status_code == 422 and "provenance.released" in refused.text
    waits = desk.submit("bob", "means", "means.nc", provenance=origin)
    assert waits.status_code == 202, waits.text
    assert desk.reads(None, "means", "means.nc") == 404
    # Not by somebody who does not decide about the input.
    assert desk.approve("eve", "means").status_code in (403, 404)
    assert desk.approve("root", "means").status_code == 403
    revision = desk.ask("bob", "GET", "/drafts/means").json()["revision"]
    desk.lab.run("draft", "approve", "means", "--revision", str(revision))
    assert desk.reads(None, "means", "means.nc") == 200
    log = desk.lab.run("audit", "list", "--json").json()
    assert any(reason in str(entry) and "reviewer" in str(entry) for entry in log)
    # For that version alone, and the lineage stays.
    assert desk.submit("bob", "means", "next.nc", provenance=origin).status_code == 202
    desk.register("r", "r.nc", **{**CLOSED, "exposure": "none"})
    assert desk.reads(None, "means", "means.nc") == 200
    told = desk.lab.run("retract", "r", "--reason", "it is all wrong")
    assert "means" in told.out + told.err
