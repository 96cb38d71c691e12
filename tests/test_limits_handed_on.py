"""What is made of data is limited as they are: whichever version, address or query names them, and whenever."""

import datetime
import re
import sqlite3

import pytest
import requests
from records import write_record
from test_two_people import CLOSED, CUI, EXPORT, SOON, Desk

EMBARGO = {"until": SOON, "reason": "a paper is being written"}
US = {"assurance": "high", "countries": ["US"]}


@pytest.fixture
def desk(new_lab, tmp_path):
    return Desk(new_lab, tmp_path)


def of(*inputs):
    return {"derived_from": list(inputs), "activity": "averaged over a day"}


def shown(desk, name):
    return desk.lab.run("show", name, "--json").json()


def test_an_older_version_hands_on_what_limits_the_newest(desk):
    for name in ("q.nc", "z.nc", "m.nc", "md.nc"):
        desk.file(name)
    desk.register("q", "q.nc")
    desk.register("q", "q.nc", conditions=US, embargo=EMBARGO)
    assert desk.submit("bob", "made", "z.nc", provenance=of("q@1")).status_code == 201
    taken = shown(desk, "made")["inherited"]
    assert (taken["countries"], taken["assurance"], taken["embargo"]) == (["US"], "high", SOON)
    assert desk.reads(None, "made", "z.nc") == 403
    # Markings, CUI and export control of the newest, too.
    marked = {**CLOSED, "markings": ["CUI"], "cui": CUI, "export_control": EXPORT}
    desk.register("m", "m.nc")
    desk.register("m", "m.nc", **marked)
    data = {**CLOSED, "provenance": of("m@1")}
    refused = desk.lab.run("register", write_record(desk.folder / "md.yaml", [desk.files / "md.nc"], name="md", **data), code=None)
    assert refused.code == 5 and "provenance.markings" in refused.err + refused.out
    desk.register("md", "md.nc", **{**data, "markings": ["CUI"], "cui": {**CUI, "banner": "CUI", "categories": [], "dissemination": []}})
    taken = shown(desk, "md")["inherited"]
    assert taken["us_persons"] and taken["countries"] == ["US"] and "CUI//NOFORN" in taken["markings"]


def test_a_saved_query_hands_on_what_it_reads(desk):
    for name in ("lim.nc", "a.nc", "b.nc", "c.nc"):
        desk.file(name)
    desk.register("lim", "lim.nc", conditions=US, embargo=EMBARGO)
    desk.lab.run("ingest", desk.files / "lim.nc", "--dataset", "lim", "--table", "t", "--grid", "time_lat_lon")
    saved = desk.lab.run("query", "save", "q1", "SELECT count(*) AS n FROM lim.t")
    ark = re.findall(r"ark:/?[0-9]+/[0-9a-z]+", saved.out)[0]
    naan, name = ark.removeprefix("ark:").strip("/").split("/")
    base = desk.lab.http_url
    for place, source in enumerate([ark, f"{base}/{ark}", f"{base}/ark%3A/{naan}/{name}", f"{base}/api/v1/queries/{name}", f"{base}/%64atasets/ornl/lim"]):
        made = f"made{place}"
        desk.file(f"{made}.nc")
        desk.register(made, f"{made}.nc", provenance=of(source))
        taken = shown(desk, made)["inherited"]
        assert (taken["countries"], taken["embargo"]) == (["US"], SOON), source
        assert desk.reads(None, made, f"{made}.nc") == 403, source
    # One of the lab's own number that stands for nothing here is refused, in the same words as one that bob does
    # not know of.
    said = []
    for source in (ark, with_check(naan, name[:-2] + ("b" if name[-2] != "b" else "c"))):
        refused = desk.submit("bob", "lost", "a.nc", provenance=of(source))
        assert refused.status_code == 422, (source, refused.text)
        violation = refused.json()["violations"][0]
        assert violation["rule"] == "provenance.inputs"
        said.append(violation["fix"])
    assert said[0] == said[1]
    # ARKs of others are theirs.
    assert desk.submit("bob", "lost", "a.nc", provenance=of("ark:/13030/xf93gt2q")).status_code == 201


def with_check(naan, name):
    """An ARK with the check character of NOID (its manual: the sum of place times value, modulo 29)."""
    alphabet = "0123456789bcdfghjkmnpqrstvwxz"
    body = f"{naan}/{name}"
    total = sum(place * (alphabet.index(letter) if letter in alphabet else 0) for place, letter in enumerate(body, 1))
    return f"ark:/{body}{alphabet[total % 29]}"


def test_what_is_loosened_at_the_source_is_loosened_by_registering_anew(desk):
    for name in ("held.nc", "means.nc"):
        desk.file(name)
    desk.register("held", "held.nc", embargo=EMBARGO)
    assert desk.submit("ann", "means", "means.nc", provenance=of("held")).status_code == 201
    desk.register("held", "held.nc")
    assert desk.reads(None, "held", "held.nc") == 200 and desk.reads(None, "means", "means.nc") == 403
    # Her word alone opens nothing; the owner's does, of the same record.
    waits = desk.submit("ann", "means", "means.nc", provenance=of("held"))
    assert waits.status_code == 202, waits.text
    assert desk.reads(None, "means", "means.nc") == 403
    revision = str(waits.json()["revision"])
    assert desk.lab.run("draft", "approve", "means", "--revision", revision, "--json").json()["version"] == 2
    assert "inherited" not in shown(desk, "means") and desk.reads(None, "means", "means.nc") == 200
    # Nothing is left to do then.
    again = desk.submit("ann", "means", "means.nc", provenance=of("held"))
    assert again.status_code == 201 and again.json()["version"] == 2 and not again.json()["created"]
    # So does a registration at the command line.
    desk.register("held", "held.nc", embargo=EMBARGO)
    assert desk.reads(None, "means", "means.nc") == 403
    desk.register("held", "held.nc")
    desk.register("means", "means.nc", provenance=of("held"))
    assert desk.reads(None, "means", "means.nc") == 200


def test_nothing_is_made_of_what_is_made_of_it(desk):
    for name in ("a.nc", "b.nc", "c.nc"):
        desk.file(name)
    assert desk.submit("ann", "a", "a.nc").status_code == 201
    assert desk.submit("ann", "b", "b.nc", provenance=of("a")).status_code == 201
    assert desk.submit("ann", "c", "c.nc", provenance=of("b")).status_code == 201
    for source in ("b", "c", "ornl.c@1"):
        refused = desk.submit("ann", "a", "a.nc", provenance=of(source))
        assert refused.status_code == 422, (source, refused.text)
        assert [one["rule"] for one in refused.json()["violations"]] == ["provenance.circle"]
    # Its own older version is no circle, and hands on what that version says.
    desk.register("a", "a.nc", provenance=of("a@1"), embargo=EMBARGO)
    assert desk.reads(None, "c", "c.nc") == 403
    desk.register("a", "a.nc", provenance=of("a@1"))
    assert desk.reads(None, "a", "a.nc") == 200


def test_data_are_shown_as_their_input_is(desk):
    for name in ("p.nc", "d.nc", "dd.nc"):
        desk.file(name)
    desk.register("p", "p.nc")
    assert desk.submit("bob", "d", "d.nc", provenance=of("p")).status_code == 201
    assert desk.submit("bob", "dd", "dd.nc", provenance=of("d")).status_code == 201
    ark = shown(desk, "d")["ark"]
    desk.register("p", "p.nc", **{**CLOSED, "tier": "controlled", "exposure": "full"})
    for name in ("p", "d", "dd"):
        assert desk.ask(None, "GET", f"/datasets/ornl/{name}").status_code == 200, name
    assert shown(desk, "dd")["inherited"]["exposure"] == "full" and shown(desk, "dd")["tier"] == "controlled"
    assert desk.reads(None, "dd", "dd.nc") == 403
    assert requests.get(f"{desk.lab.http_url}/{ark}", timeout=30).status_code == 200
    # An input that is shown to nobody else hides what was made of it.
    desk.register("p", "p.nc", **{**CLOSED, "exposure": "none"})
    for name in ("p", "d", "dd"):
        assert desk.ask(None, "GET", f"/datasets/ornl/{name}").status_code == 404, name


def test_limits_are_computed_anew_where_an_older_program_did_not(desk):
    for name in ("x.nc", "y.nc", "z.nc"):
        desk.file(name)
    desk.register("held", "x.nc", conditions=US, embargo=EMBARGO)
    desk.register("means", "y.nc", provenance=of("held"))
    desk.register("more", "z.nc", provenance=of("means"))
    desk.lab.stop()
    # As it was left by a program that handed on nothing but tiers.
    with sqlite3.connect(desk.lab.home / "catalog.sqlite") as database:
        database.execute("UPDATE version SET inherited = NULL")
        database.execute("UPDATE lab SET limits_by = 0")
    desk.lab.start()
    desk.api = f"{desk.lab.http_url}/api/v1"
    for name, file in (("means", "y.nc"), ("more", "z.nc")):
        taken = shown(desk, name)["inherited"]
        assert (taken["countries"], taken["assurance"], taken["embargo"]) == (["US"], "high", SOON)
        assert desk.reads(None, name, file) == 403
    with sqlite3.connect(desk.lab.home / "catalog.sqlite") as database:
        assert database.execute("SELECT limits_by FROM lab").fetchone() == (2,)


def test_exports_say_that_data_are_for_some(desk):
    for name in ("c.nc", "p.nc", "d.nc"):
        desk.file(name)
    desk.register("cond", "c.nc", conditions={**US, "training": ["radiation"]})
    desk.register("p", "p.nc")
    desk.register("d", "d.nc", provenance=of("p"))
    desk.register("p", "p.nc", **{**CLOSED, "markings": ["CUI"], "cui": CUI})

    def export(name, form, code=0):
        return desk.lab.run("export", name, "--as", form, code=code)

    for name in ("cond", "d"):
        assert "open access" not in export(name, "datacite").out, name
        assert export(name, "schema.org").json()["isAccessibleForFree"] is False, name
    assert "conditions" in export("cond", "elink", code=None).err
    assert "cuiRestriction" in export("d", "dcat-us").out and "CC0" not in export("d", "dcat-us").out
    assert "CUI//EXPT//NOFORN" in export("d", "dcat-us").out


def test_reads_of_what_is_limited_by_its_inputs_are_in_the_log(desk):
    for name in ("h.nc", "m.nc", "c.nc"):
        desk.file(name)
    desk.register("held", "h.nc", embargo=EMBARGO)
    desk.register("means", "m.nc", provenance=of("held"))
    desk.register("cond", "c.nc", conditions=US)
    assert datetime.date.today().isoformat() < SOON
    for name, file in (("means", "m.nc"), ("cond", "c.nc")):
        assert desk.reads("bob", name, file) == 403
    log = desk.lab.run("audit", "list", "--json").json()
    reads = [(one["person"], one["dataset"], one["outcome"]) for one in log if one["act"] == "read"]
    assert reads == [("person:bob", "ornl.means@1", "refused"), ("person:bob", "ornl.cond@1", "refused")]
