"""What takes two people: whatever opens data further, or may. And what nobody can take from others."""

import datetime

import pytest
import requests
from fields import random_netcdf
from records import COMPLETE, write_record
from test_access import header, token
from test_oai import RESTRICTED

SOON = str(datetime.date.today() + datetime.timedelta(days=400))
CLOSED = {**RESTRICTED, "exposure": "redacted", "rights": "https://lab.example/rights"}
SCOPES = {"ann": "write", "bob": "write", "eve": "write", "gus": "read"}
EXPORT = {"regime": "EAR", "classification": "3A001", "us_persons": True, "countries": ["US"]}
CUI = {
    "banner": "CUI//EXPT//NOFORN",
    "categories": ["EXPT"],
    "dissemination": ["NOFORN"],
    "designation": "Department of Energy, Oak Ridge, Office of Classification, desk@ornl.gov",
}


class Desk:
    """A lab with a committee (gus), and three who write."""

    def __init__(self, new_lab, folder):
        self.files = folder / "files"
        self.files.mkdir()
        self.folder = folder
        self.lab = new_lab("ornl", settings=f'[stores.data]\nurl = "{self.files}"\n')
        self.lab.run("user", "create", "gus", "--group", "dac", "--assurance", "high")
        self.lab.start()
        self.api = f"{self.lab.http_url}/api/v1"
        self.people = {name: header(token(self.lab, name, scope)) for name, scope in SCOPES.items()}
        self.seed = 0

    def file(self, name):
        self.seed += 1
        return random_netcdf(self.files / name, self.seed, "NETCDF4", "noleap")

    def ask(self, who, method, path, body=None, **headers):
        known = self.people[who] if who else {}
        return requests.request(method, f"{self.api}{path}", json=body, headers={**known, **headers}, timeout=120)

    def put(self, who, name, *files, **changes):
        record = {**COMPLETE, "name": name, "title": f"Dataset {name} of two people", "files": [str(self.files / file) for file in files]}
        record = {key: value for key, value in {**record, **changes}.items() if value is not None}
        saved = self.ask(who, "PUT", f"/drafts/{name}", record)
        assert saved.status_code == 200, saved.text
        return saved.json()["revision"]

    def submit(self, who, name, *files, **changes):
        self.put(who, name, *files, **changes)
        return self.ask(who, "POST", f"/drafts/{name}/submit")

    def approve(self, who, name):
        revision = self.ask(who, "GET", f"/drafts/{name}").json()["revision"]
        return self.ask(who, "POST", f"/drafts/{name}/approve", {"revision": revision})

    def register(self, name, *files, **changes):
        path = write_record(self.folder / f"{name}.yaml", [self.files / file for file in files], **{"name": name, "title": f"Dataset {name} of two people", **changes})
        return self.lab.run("register", path)

    def reads(self, who, name, file):
        return self.ask(who, "GET", f"/datasets/ornl/{name}/files/0/{file}").status_code


@pytest.fixture
def desk(new_lab, tmp_path):
    return Desk(new_lab, tmp_path)


def test_no_limit_of_closed_data_falls_by_one_word(desk):
    for name in ("x.nc", "y.nc", "z.nc"):
        desk.file(name)
    marked = {**CLOSED, "markings": ["CUI"], "cui": CUI}
    assert desk.submit("ann", "u", "z.nc", **marked).status_code == 202
    assert desk.approve("gus", "u").status_code == 201
    for cui in ({**CUI, "banner": "CUI//EXPT", "dissemination": []}, {**CUI, "decontrol": "at once"}):
        waits = desk.submit("ann", "u", "z.nc", **{**marked, "cui": cui})
        assert waits.status_code == 202, waits.text
    closed = {**CLOSED, "markings": ["ECI"], "export_control": EXPORT}
    waits = desk.submit("ann", "c", "x.nc", **closed)
    assert waits.status_code == 202, waits.text
    approved = desk.approve("gus", "c")
    assert approved.status_code == 201, approved.text
    laxer = {
        "export control": {"export_control": {**EXPORT, "us_persons": False, "countries": ["US", "RU"]}},
        "countries": {"export_control": {**EXPORT, "countries": ["US", "CA"]}},
        "markings": {"markings": ["OUO"], "export_control": None},
        "agreement": {"agreement": {**CLOSED["agreement"], "sha256": "3" * 64}},
        "reviewed": {"reviewed": {**CLOSED["reviewed"], "by": "nobody at all"}},
        "rights": {"rights": "https://lab.example/laxer"},
    }
    for what, changes in laxer.items():
        waits = desk.submit("ann", "c", "x.nc", **{**closed, **changes})
        assert waits.status_code == 202, (what, waits.status_code, waits.text)
    # Other bytes are another thing, whatever else closes.
    waits = desk.submit("ann", "c", "y.nc", **{**closed, "exposure": "none"})
    assert waits.status_code == 202, waits.text
    # To close further takes nobody else, and opens nothing.
    done = desk.submit("ann", "c", "x.nc", **{**closed, "exposure": "none", "embargo": {"until": SOON, "reason": "a paper is being written"}})
    assert done.status_code == 201, done.text
    shown = desk.lab.run("show", "c", "--json").json()
    assert shown["version"] == 2 and shown["record"]["export_control"]["us_persons"]


def test_conditions_of_public_data_stay_without_a_second_person(desk):
    for name in ("x.nc", "y.nc"):
        desk.file(name)
    conditions = {"countries": ["US"], "training": ["radiation"]}
    desk.register("p", "x.nc", conditions=conditions)
    assert desk.reads(None, "p", "x.nc") == 403
    for files, changes in (
        (("x.nc",), {}),
        (("y.nc",), {"conditions": {"countries": ["US", "FR"], "training": ["radiation"]}}),
        (("x.nc",), {"conditions": {"countries": ["US"]}}),
    ):
        assert desk.submit("bob", "p", *files, **changes).status_code == 202, (files, changes)
        assert desk.ask("bob", "DELETE", "/drafts/p").status_code in (200, 204)
    assert desk.reads(None, "p", "x.nc") == 403
    # New data with conditions are not for everyone, so a second person looks.
    assert desk.submit("bob", "q", "y.nc", conditions=conditions).status_code == 202


def test_what_is_made_of_data_has_their_embargo_and_conditions(desk):
    for name in ("x.nc", "y.nc", "z.nc", "v.nc"):
        desk.file(name)
    desk.register("held", "x.nc", embargo={"until": SOON, "reason": "a paper is being written"})
    desk.register("limited", "y.nc", conditions={"assurance": "high", "countries": ["US"]})
    origin = {"derived_from": ["held"], "activity": "averaged over a day"}
    assert desk.submit("bob", "means", "z.nc", provenance=origin).status_code == 201
    assert desk.reads(None, "means", "z.nc") == 403
    said = desk.ask(None, "GET", "/datasets/ornl/means/files/0/z.nc").json()["detail"]
    assert SOON in said, said
    both = {**origin, "derived_from": ["limited", "means"]}
    assert desk.submit("bob", "both", "v.nc", provenance=both).status_code == 201
    taken = desk.lab.run("show", "both", "--json").json()["inherited"]
    assert (taken["embargo"], taken["assurance"], taken["countries"]) == (SOON, "high", ["US"])
    # Without its input it would be open.
    assert desk.submit("bob", "means", "z.nc", provenance={"activity": "averaged over a day"}).status_code == 202
    # An input that is closed later closes what was made of it.
    desk.register("limited", "y.nc", conditions={"assurance": "high", "countries": ["US"], "training": ["radiation"]})
    assert desk.lab.run("show", "both", "--json").json()["inherited"]["training"] == ["radiation"]


def test_nobody_holds_back_what_others_publish(desk):
    desk.file("x.nc")
    assert desk.submit("ann", "anns", "x.nc").status_code == 201
    # A dataset of somebody else with the same bytes that is withdrawn, and a draft that waits.
    assert desk.submit("eve", "eves", "x.nc").status_code == 201
    assert desk.ask("eve", "POST", "/datasets/ornl/eves/retract", {"reason": "it is wrong"}).status_code == 200
    assert desk.submit("eve", "waits", "x.nc", **CLOSED).status_code == 202
    better = desk.submit("ann", "anns", "x.nc", title="A better title of this dataset")
    assert better.status_code == 201, better.text
    # What nobody publishes is held back while a record waits, and not when it was given back.
    desk.file("y.nc")
    assert desk.submit("eve", "first", "y.nc", **CLOSED).status_code == 202
    assert desk.submit("bob", "open", "y.nc").status_code == 202
    assert desk.ask("gus", "POST", "/drafts/first/return", {"reason": "say more"}).status_code == 200
    assert desk.ask("bob", "POST", "/drafts/open/submit").status_code == 201
    # Of two that wait alike neither keeps the other from its reviewer.
    desk.file("z.nc")
    for who, name in (("eve", "one"), ("ann", "two")):
        assert desk.submit(who, name, "z.nc", **CLOSED).status_code == 202
    assert desk.approve("gus", "one").status_code == 201


def test_what_is_approved_is_what_was_submitted(desk):
    desk.file("x.nc")
    assert desk.submit("ann", "c", "x.nc", **CLOSED).status_code == 202
    # Whoever looks at it hears what its author hears.
    checked = desk.ask("gus", "POST", "/drafts/c/check")
    assert checked.status_code == 200 and checked.json()["violations"] == [], checked.text
    assert desk.ask("bob", "POST", "/drafts/c/check").status_code == 404
    desk.file("x.nc")
    refused = desk.approve("gus", "c")
    assert refused.status_code == 409 and "submitted" in refused.json()["detail"], refused.text
    assert desk.ask("ann", "POST", "/drafts/c/submit").status_code == 202
    assert desk.approve("gus", "c").status_code == 201


def test_an_agreement_that_changed_is_asked_for_anew(desk):
    desk.file("x.nc")
    desk.register("c", "x.nc", **CLOSED)

    def want(agreement):
        ask = {"purpose": "research", "justification": "to compare two models with it", "agreement": agreement}
        return desk.ask("eve", "POST", "/access/requests", {"dataset": "c", "ask": ask})

    old = want(CLOSED["agreement"]["sha256"])
    assert old.status_code == 201, old.text
    assert want(CLOSED["agreement"]["sha256"]).status_code == 409
    desk.register("c", "x.nc", **{**CLOSED, "agreement": {**CLOSED["agreement"], "sha256": "3" * 64}})
    assert desk.ask("gus", "POST", f"/access/requests/{old.json()['id']}/approve", {}).status_code == 409
    new = want("3" * 64)
    assert new.status_code == 201, new.text
    acts = [one["act"] for one in desk.lab.run("audit", "list", "--json").json() if one["act"].endswith("-access")]
    assert acts == ["request-access", "deny-access", "request-access"]
    states = {one["id"]: one["state"] for one in desk.ask("eve", "GET", "/access/requests").json()}
    assert states == {old.json()["id"]: "denied", new.json()["id"]: "open"}
    assert desk.ask("gus", "POST", f"/access/requests/{new.json()['id']}/approve", {}).status_code == 200


def test_a_name_that_a_program_has_is_no_persons(desk):
    for name in ("root", "chief"):
        desk.people[name] = header(token(desk.lab, name, "admin"))
    made = desk.ask("root", "POST", "/tokens", {"name": "jdoe", "scope": "write"})
    assert made.status_code == 201
    desk.people["jdoe"] = header(made.json()["token"])
    # John Doe begins to work here: nothing that is said of him may reach the token that another made.
    for command in (("user", "create", "jdoe", "--group", "dac", "--clearance", "CUI"), ("token", "create", "--name", "jdoe")):
        assert "tarn token revoke jdoe" in desk.lab.run(*command, code=None).err, command
    assert desk.ask("chief", "PUT", "/people/jdoe", {"groups": ["dac"]}).status_code == 403
    desk.file("x.nc")
    desk.register("c", "x.nc", **CLOSED)
    assert desk.ask("jdoe", "POST", "/access/requests", {"dataset": "c", "ask": {"purpose": "research", "justification": "to compare two models", "agreement": CLOSED["agreement"]["sha256"]}}).status_code == 403
    assert desk.submit("jdoe", "made", "x.nc").status_code in (201, 202)
    desk.lab.run("token", "revoke", "jdoe")
    desk.lab.run("user", "create", "jdoe", "--group", "dac", "--clearance", "CUI")
    desk.lab.run("token", "create", "--name", "jdoe")
    assert desk.ask("jdoe", "GET", "/me").status_code == 401


def test_nobody_appoints_who_opens_what_others_closed(desk):
    """A committee that one writer names has no say, as long as nobody else agreed."""
    for name in ("x.nc", "y.nc", "z.nc"):
        desk.file(name)
    for name in ("eve", "zoe"):
        desk.lab.run("user", "create", name, "--group", "eves")
    desk.people["zoe"] = header(token(desk.lab, "zoe", "read"))
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    theirs = {**CLOSED["agreement"], "committee": "eves"}
    limits = {
        "x": {"tier": "registered", "terms": {"id": "https://lab.example/terms", "sha256": "0" * 64}, "conditions": {"assurance": "high", "countries": ["US"]}},
        "y": {"embargo": {"until": SOON, "reason": "a paper is being written"}},
    }
    for name, limit in limits.items():
        desk.register(name, f"{name}.nc", **limit)
        waits = desk.submit("eve", name, f"{name}.nc", **limit, agreement=theirs)
        assert waits.status_code == 202, (name, waits.text)
        assert desk.submit("eve", name, f"{name}.nc").status_code == 202
        assert desk.ask("zoe", "GET", f"/drafts/{name}").status_code == 404
        assert desk.reads(None, name, f"{name}.nc") in (401, 403)
    # What closes does so at once, whoever it names; that waits for somebody who decided before.
    assert desk.submit("bob", "z", "z.nc").status_code == 201
    closed = {**CLOSED, "agreement": theirs}
    done = desk.submit("eve", "z", "z.nc", **closed)
    assert done.status_code == 201 and "second person" in done.json()["notices"][0], done.text
    assert desk.reads("bob", "z", "z.nc") == 200 and desk.reads(None, "z", "z.nc") == 403
    assert desk.submit("bob", "z", "z.nc", **{**closed, "title": "Another title of this dataset"}).status_code == 202
    assert desk.ask("zoe", "GET", "/drafts/z").status_code == 404
    assert desk.ask("root", "GET", "/drafts/z").status_code == 200
    assert desk.approve("root", "z").status_code == 201
    assert desk.submit("bob", "z", "z.nc", **{**closed, "title": "A third title of this dataset"}).status_code == 202
    assert desk.ask("root", "GET", "/drafts/z").status_code == 404
    assert desk.approve("zoe", "z").status_code == 201


def test_an_administrator_is_the_second_person_where_there_is_no_committee(desk):
    for name in ("m.nc", "n.nc"):
        desk.file(name)
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    embargo = {"until": SOON, "reason": "a paper is being written"}
    desk.register("m", "m.nc", embargo=embargo)
    assert desk.submit("bob", "m", "m.nc", embargo=embargo, keywords=["random", "test", "more"]).status_code == 202
    assert [draft["record"]["name"] for draft in desk.ask("root", "GET", "/drafts").json()["drafts"]] == ["m"]
    assert desk.ask("eve", "GET", "/drafts/m").status_code == 404
    assert desk.approve("root", "m").status_code == 201
    # Not of their own, and not where a committee decides.
    assert desk.submit("root", "m", "m.nc", embargo=embargo, keywords=["random"]).status_code == 202
    assert desk.approve("root", "m").status_code == 403
    desk.register("n", "n.nc", **CLOSED)
    assert desk.submit("bob", "k", "n.nc").status_code == 202
    assert desk.approve("root", "k").status_code == 403


def test_closing_further_takes_nobody_else(desk):
    for name in ("a.nc", "h.nc", "n.nc"):
        desk.file(name)
    terms = {"id": "https://lab.example/terms", "sha256": "0" * 64}
    assert desk.submit("bob", "a", "a.nc").status_code == 201
    desk.register("a", "a.nc", conditions={"countries": ["US", "CA"]})
    steps = (
        {"conditions": {"countries": ["US", "CA"], "training": ["radiation"]}},
        {"conditions": {"countries": ["US"], "training": ["radiation"]}},
        {"conditions": {"countries": ["US"], "training": ["radiation"], "assurance": "low"}, "tier": "registered", "terms": terms},
    )
    for changes in steps:
        done = desk.submit("bob", "a", "a.nc", **changes)
        assert done.status_code == 201, (changes, done.text)
    assert desk.submit("bob", "a", "a.nc", **{**steps[2], "conditions": {"countries": ["US"], "assurance": "low"}}).status_code == 202
    # Data about people that were published, and a word of why.
    assert desk.submit("bob", "h", "h.nc").status_code == 201
    people = {**CLOSED, "tier": "controlled", "human_data": True, "data_use": {"permission": "GRU", "modifiers": [{"code": "NCU"}]}}
    done = desk.submit("bob", "h", "h.nc", **people, version_notes="there are people in it")
    assert done.status_code == 201, done.text
    assert desk.reads(None, "h", "h.nc") == 403
    assert desk.submit("bob", "n", "n.nc").status_code == 201
    assert desk.submit("bob", "n", "n.nc", tier="registered", terms=terms, version_notes="the lab wants to know who reads it").status_code == 201


def test_bytes_that_wait_are_opened_by_no_laxer_record(desk):
    embargo = {"until": SOON, "reason": "a paper is being written"}
    path = desk.file("x.nc")
    (desk.files / "copy.nc").write_bytes(path.read_bytes())
    assert desk.submit("ann", "a", "x.nc", embargo=embargo, conditions={"countries": ["US"]}).status_code == 202
    assert desk.submit("bob", "b", "copy.nc").status_code == 202
    assert desk.approve("eve", "b").status_code == 403
    assert desk.reads(None, "b", "copy.nc") == 404
    # As closed as what waits, it may be decided about.
    assert desk.submit("bob", "b", "copy.nc", embargo=embargo, conditions={"countries": ["US"], "training": ["radiation"]}).status_code == 202
    assert desk.approve("eve", "b").status_code == 201
    # At one tier by markings and conditions, and by who decides afterwards.
    path = desk.file("r.nc")
    (desk.files / "twin.nc").write_bytes(path.read_bytes())
    marked = {**CLOSED, "markings": ["OUO"], "conditions": {"assurance": "high", "countries": ["US"]}}
    assert desk.submit("ann", "r1", "r.nc", **marked).status_code == 202
    desk.lab.run("user", "create", "eve", "--group", "dac", "--group", "bobs")
    assert desk.submit("bob", "r2", "twin.nc", **CLOSED).status_code == 202
    assert desk.approve("eve", "r2").status_code == 403
    assert desk.submit("bob", "r2", "twin.nc", **{**marked, "agreement": {**CLOSED["agreement"], "committee": "bobs"}}).status_code == 202
    assert desk.approve("eve", "r2").status_code == 403
    assert desk.submit("bob", "r2", "twin.nc", **marked).status_code == 202
    assert desk.approve("eve", "r2").status_code == 201


def test_authors_hear_of_datasets_of_their_own(desk):
    for name in ("y.nc", "d.nc", "m.nc"):
        desk.file(name)
    desk.register("limited", "y.nc", conditions={"assurance": "high", "countries": ["US"]})
    origin = {"derived_from": ["limited"], "activity": "averaged over a day"}
    assert desk.submit("bob", "d", "d.nc", provenance=origin).status_code == 201
    desk.put("bob", "d", "d.nc", provenance=origin, title="A better title of this dataset")
    checked = desk.ask("bob", "POST", "/drafts/d/check")
    assert checked.status_code == 200 and checked.json()["violations"] == [], checked.text
    wrong = desk.submit("bob", "d", "d.nc", provenance=origin, title="x")
    assert wrong.status_code == 422, wrong.text
    marked = {**CLOSED, "markings": ["OUO"]}
    assert desk.submit("ann", "m", "m.nc", **marked).status_code == 202
    assert desk.approve("gus", "m").status_code == 201
    assert desk.submit("ann", "m", "m.nc", **{**marked, "title": "x"}).status_code == 422
    assert desk.submit("ann", "m", "m.nc", **{**marked, "title": "A better title of this one"}).status_code == 202
    assert desk.ask("gus", "POST", "/drafts/m/check").status_code == 200
    assert not [one for one in desk.lab.run("audit", "list", "--json").json() if one["act"] == "submit" and one["outcome"] == "refused"]
    # A program is not named as visitors are written.
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    assert desk.ask("root", "POST", "/tokens", {"name": "gus@anl", "scope": "read"}).status_code == 403
    assert desk.ask("root", "POST", "/tokens", {"name": "gus@anl.gov", "scope": "read"}).status_code == 201
    # Who may write here, and not this, does not hear that they may not write.
    refused = desk.ask("bob", "PUT", "/drafts/m", {"name": "m"})
    assert refused.status_code == 403 and "token" not in refused.json()["detail"], refused.text


def test_two_names_of_one_human_are_one_person(desk):
    for name in ("h.nc", "i.nc", "j.nc"):
        desk.file(name)
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    desk.people["boss"] = header(token(desk.lab, "boss", "admin"))
    desk.people["mail"] = header(token(desk.lab, "Ann@lab.gov", "admin"))
    assert desk.submit("ann", "h", "h.nc", **CLOSED).status_code == 202
    # Somebody else says that root is ann, under whichever of the names.
    said = desk.ask("boss", "PUT", "/people/root", {"identities": ["https://orcid.org/0000-0002-1694-233x"]})
    assert said.status_code == 200, said.text
    assert desk.ask("boss", "GET", "/people/root").json()["attributes"]["identities"] == ["orcid:0000-0002-1694-233X"]
    assert desk.ask("boss", "PUT", "/people/ann", {"identities": ["orcid:0000-0002-1694-233X", "mailto:ann@lab.gov"]}).status_code == 200
    for who in ("root", "mail"):
        refused = desk.approve(who, "h")
        assert refused.status_code == 403 and "second person" in refused.json()["detail"], refused.text
        # Nor do they say of themselves that they are somebody else.
        assert desk.ask(who, "PUT", "/people/ann", {}).status_code == 403
        assert desk.ask(who, "DELETE", "/people/ann").status_code == 403
        assert desk.ask(who, "PUT", "/people/root", {}).status_code == 403
    assert desk.approve("boss", "h").status_code == 201
    # By a name that an administrator gives, and over others.
    assert desk.ask("boss", "PUT", "/people/eve", {"identities": ["person:bob"]}).status_code == 200
    assert desk.submit("bob", "i", "i.nc", **CLOSED, version_notes="the first").status_code == 202
    desk.lab.run("user", "create", "eve", "--group", "dac", "--assurance", "high", "--same-as", "person:bob")
    assert desk.approve("eve", "i").status_code == 403
    assert desk.approve("gus", "i").status_code == 201
    # And nobody decides about access for themselves.
    ask = {"dataset": "i", "ask": {"purpose": "research", "justification": "rates", "agreement": "1" * 64}}
    desk.lab.run("user", "create", "bob", "--assurance", "high")
    asked = desk.ask("bob", "POST", "/access/requests", ask)
    assert asked.status_code == 201, asked.text
    assert desk.ask("eve", "POST", f"/access/requests/{asked.json()['id']}/approve", {}).status_code == 403
    assert desk.ask("gus", "POST", f"/access/requests/{asked.json()['id']}/approve", {}).status_code in (200, 201)
    for wrong in ("bob", "mailto:x", "orcid:1", ""):
        assert desk.ask("boss", "PUT", "/people/zoe", {"identities": [wrong]}).status_code == 400, wrong


def test_administrators_settle_what_waits_for_the_same_bytes(desk):
    path = desk.file("w.nc")
    (desk.files / "copy.nc").write_bytes(path.read_bytes())
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    embargo = {"until": SOON, "reason": "a paper is being written"}
    assert desk.submit("ann", "w1", "w.nc", embargo=embargo).status_code == 202
    assert desk.submit("bob", "w2", "copy.nc").status_code == 202
    assert desk.approve("eve", "w2").status_code == 403
    assert desk.approve("bob", "w2").status_code == 403
    # Both are seen by who settles it.
    waiting = {one["record"]["name"] for one in desk.ask("root", "GET", "/drafts").json()["drafts"]}
    assert {"w1", "w2"} <= waiting
    # Never alone: an administrator's own is another's to approve.
    assert desk.submit("root", "w3", "copy.nc").status_code == 202
    assert desk.approve("root", "w3").status_code == 403
    assert desk.approve("eve", "w3").status_code == 403
    assert desk.approve("root", "w2").status_code == 201
    assert desk.reads(None, "w2", "copy.nc") == 200
