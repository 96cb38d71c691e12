"""Who was shown the record of a dataset that is not for everyone is in the audit log, by each door."""

import concurrent.futures

import requests
from fields import random_netcdf
from records import write_record
from test_access import header, token
from test_oai import RESTRICTED

FORMATS = ("datacite", "datacite-json", "dcat-us", "schema.org", "croissant", "ro-crate", "stac", "elink", "oai_dc", "oai_datacite")
TERMS = {"id": "https://tarn.example/terms", "sha256": "0" * 64}


def prepare(new_lab, tmp_path):
    """One dataset for everyone, one of which everyone may know and that ann may read, one of which only its title is shown,
    one that is hidden."""
    lab = new_lab("ornl")
    path = random_netcdf(tmp_path / "x.nc", 5, "NETCDF4", "noleap")

    def register(name, **changes):
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, **changes))

    register("open")
    register("signed", tier="registered", terms=TERMS)
    register("part", **{**RESTRICTED, "exposure": "redacted"})
    register("hidden", **{**RESTRICTED, "exposure": "none"})
    people = {"ann": header(token(lab, "ann")), "root": header(token(lab, "root", "admin")), None: {}}
    lab.start()

    def get(who, path, status=200, **headers):
        answer = requests.get(f"{lab.http_url}{path}", headers={**people[who], **headers}, timeout=60)
        assert answer.status_code == status, answer.text
        return answer

    def said(person, after=0):
        entries = get("root", f"/api/v1/audit?person={person}&from={after}").json()
        return [(one["act"], one["outcome"], one.get("dataset"), one.get("details", {})) for one in entries]

    return lab, get, said


def test_each_door_to_a_record_leaves_an_entry(new_lab, tmp_path):
    lab, get, said = prepare(new_lab, tmp_path)
    for who, person in (("ann", "person:ann"), (None, "anonymous")):
        for path, door in (
            ("/api/v1/datasets/ornl/signed", "record"),
            ("/api/v1/datasets/ornl/signed/versions", "versions"),
            ("/datasets/ornl/signed", "page"),
            ("/datasets/ornl/signed/linkset", "linkset"),
        ):
            before = len(said(person))
            get(who, path)
            assert said(person)[before:] == [("describe", "allowed", "ornl.signed@1", {"door": door})], path
        before = len(said(person))
        get(who, "/datasets/ornl/signed", Accept="application/ld+json")
        assert said(person)[before:] == [("describe", "allowed", "ornl.signed@1", {"door": "schema.org"})]
    for form in FORMATS:
        before = len(said("person:ann"))
        answer = requests.get(f"{lab.http_url}/api/v1/datasets/ornl/signed/export/{form}", headers={}, timeout=60)
        outcome = "allowed" if answer.status_code == 200 else "refused"
        act, found, dataset, details = said("anonymous")[-1]
        assert (act, found, dataset, details["door"]) == ("describe", outcome, "ornl.signed@1", form)
        assert len(said("person:ann")) == before
    # What is shown in part is known of; a format that needs more is refused, and the entry says why.
    get("ann", "/api/v1/datasets/ornl/part")
    assert said("person:ann")[-1] == ("discover", "allowed", "ornl.part@1", {"door": "record"})
    get("ann", "/api/v1/datasets/ornl/part/export/croissant", 403)
    act, outcome, dataset, details = said("person:ann")[-1]
    assert (act, outcome, dataset, details["door"]) == ("discover", "refused", "ornl.part@1", "croissant") and details["reason"]
    # Of what is for everyone there is none.
    before = lab.run("audit", "list", "--json").json()
    get("ann", "/api/v1/datasets/ornl/open")
    get(None, "/api/v1/datasets/ornl/open/export/datacite")
    assert lab.run("audit", "list", "--json").json() == before
    assert lab.run("audit", "verify").code == 0


def test_a_search_a_list_and_a_harvest_are_one_entry_each(new_lab, tmp_path):
    lab, get, said = prepare(new_lab, tmp_path)
    for path, door, expected in (
        ("/api/v1/search", "search", {"ornl.signed@1", "ornl.part@1"}),
        ("/api/v1/search?tier=registered", "search", {"ornl.signed@1"}),
        ("/api/v1/datasets", "list", {"ornl.signed@1", "ornl.part@1"}),
    ):
        before = len(said("person:ann"))
        get("ann", path)
        [(act, outcome, dataset, details)] = said("person:ann")[before:]
        assert (act, outcome, dataset, details["door"]) == ("describe", "allowed", None, door)
        assert set(details["datasets"].split(" ")) == expected, path
    before = len(said("person:ann"))
    get("ann", "/api/v1/search?tier=public")
    assert len(said("person:ann")) == before
    for verb in ("ListRecords", "ListIdentifiers"):
        before = len(said("anonymous"))
        get(None, f"/oai?verb={verb}&metadataPrefix=oai_dc")
        assert said("anonymous")[before:] == [("describe", "allowed", None, {"door": "oai", "datasets": "ornl.signed@1"})]
    ark = get(None, "/api/v1/datasets/ornl/signed").json()["ark"]
    get(None, f"/oai?verb=GetRecord&metadataPrefix=oai_dc&identifier={ark}")
    assert said("anonymous")[-1] == ("describe", "allowed", "ornl.signed@1", {"door": "oai"})
    # Whoever asks about one dataset finds the entries that name it among others, and no others.
    about = get("root", "/api/v1/audit?dataset=ornl.part").json()
    doors = [one["details"]["door"] for one in about if one["act"] == "describe"]
    assert doors == ["search", "list"]
    assert [one["act"] for one in get("root", "/api/v1/audit?dataset=ornl.art").json()] == []
    assert not any("hidden" in str(one) for one in get("root", "/api/v1/audit?person=person:ann").json())


def test_many_readers_at_once_are_all_in_the_log(new_lab, tmp_path):
    lab, get, said = prepare(new_lab, tmp_path)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: get("ann", "/api/v1/datasets/ornl/signed"), range(64)))
    assert len([one for one in said("person:ann") if one[0] == "describe"]) == 64
    assert lab.run("audit", "verify").code == 0
