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
        path = write_record(self.folder / f"{name}.yaml", [self.files / file for file in files], name=name, title=f"Dataset {name} of two people", **changes)
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
