"""DOIs: asked for at once, registered when the registrar can be reached, kept up to date, never for what is hidden."""

import contextlib
import time

import pytest
import requests
from fields import random_netcdf
from records import write_record
from registrars import DataCite, ELink, registrar
from test_drafts import token
from test_oai import RESTRICTED as CLOSED

RESTRICTED = {**CLOSED, "exposure": "none"}
SECRET = {"TARN_DOI_SECRET": "s3cr3t"}


def settings(server, service="datacite"):
    account = 'prefix = "10.5072"\nuser = "LAB.TARN"\n' if service == "datacite" else ""
    return f'[doi]\nservice = "{service}"\nurl = "{server.url}"\n{account}'


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def register(lab, folder, name, **changes):
    path = random_netcdf(folder / "x.nc", 5, "NETCDF4", "noleap")
    lab.run("register", write_record(folder / f"{name}.yaml", [path], name=name, **changes))


def doi_of(lab, name):
    """What the catalog says of the DOI of a dataset."""
    return next(doi for doi in lab.run("doi", "list", "--json").json() if doi["dataset"] == name)


def test_a_doi_outlives_outages_and_follows_its_dataset(new_lab, tmp_path):
    with registrar(DataCite) as datacite:
        lab = new_lab("ornl", start=True, settings=settings(datacite), env=SECRET)
        register(lab, tmp_path, "sst")
        api = f"{lab.http_url}/api/v1/datasets/ornl/sst"
        # The registrar is down: registering and asking for a DOI do not wait for it.
        datacite.failing = (503, {"Retry-After": "1"}, {"errors": [{"title": "maintenance"}]})
        ann, eve = token(lab, "ann"), token(lab, "eve", "read")
        assert requests.post(f"{api}/doi", headers=eve, timeout=60).status_code == 403
        assert requests.post(f"{api}/doi", timeout=60).status_code == 403
        asked = requests.post(f"{api}/doi", headers=ann, timeout=60)
        assert asked.status_code == 202, asked.text
        doi = asked.json()["doi"]
        assert doi.startswith("10.5072/") and asked.json()["state"] == "waiting"
        assert requests.post(f"{api}/doi", headers=ann, timeout=60).json()["doi"] == doi
        wait_for(lambda: doi_of(lab, "sst")["attempts"] > 0)
        known = doi_of(lab, "sst")
        assert "503" in known["problem"] and "maintenance" in known["problem"] and known["state"] == "waiting"
        # Until it is registered nobody is told to cite it.
        assert "doi" not in requests.get(api, timeout=60).json()
        # The node goes away in the outage, and an answer is lost: it is registered once all the same.
        lab.stop()
        datacite.failing, datacite.drop = None, 1
        lab.start()
        lab.run("doi", "sync", code=None)
        lab.run("doi", "sync")
        assert doi_of(lab, "sst")["state"] == "registered" and list(datacite.records) == [doi]
        found = datacite.records[doi]
        assert found["state"] == "findable" and found["titles"] == [{"title": "Random fields for the end-to-end tests"}]
        assert requests.get(found["url"], timeout=60).status_code == 200
        # Now it is cited by it, found by it, and exported with it.
        assert requests.get(api, timeout=60).json()["doi"] == doi
        page = requests.get(f"{lab.http_url}/datasets/ornl/sst", timeout=60)
        assert f"https://doi.org/{doi}" in page.headers["link"] and doi in page.text
        assert doi in lab.run("export", "sst", "--as", "datacite").out
        hits = lab.run("search", "--filter", f"identifier={doi}", "--json").json()["hits"]
        assert [hit["name"] for hit in hits] == ["sst"]
        # A new version reaches the registrar by itself.
        register(lab, tmp_path, "sst", title="Random fields with another title")
        wait_for(lambda: datacite.records[doi]["titles"] == [{"title": "Random fields with another title"}])
        wait_for(lambda: doi_of(lab, "sst")["state"] == "registered")
        # Withdrawn: hidden, and the page stays.
        lab.run("retract", "sst", "--reason", "a wrong sensor")
        wait_for(lambda: datacite.records[doi]["state"] == "registered")
        page = requests.get(f"{lab.http_url}/datasets/ornl/sst", timeout=60)
        assert "a wrong sensor" in page.text
        acts = [entry["act"] for entry in lab.run("audit", "list", "--dataset", "sst", "--json").json()]
        assert acts.count("request-doi") == 1 and acts.count("register-doi") == 1
        assert all("s3cr3t" not in str(entry) for entry in datacite.log)


def test_what_is_not_for_everyone_gets_no_doi(new_lab, tmp_path):
    with registrar(DataCite) as datacite:
        lab = new_lab("ornl", settings=settings(datacite), env=SECRET)
        register(lab, tmp_path, "secret", **RESTRICTED)
        refused = lab.run("doi", "request", "secret", code=None)
        assert refused.code != 0 and "no DOI" in refused.err
        register(lab, tmp_path, "open")
        doi = lab.run("doi", "request", "open", "--quiet").out.strip()
        # Closed before the registrar heard of it: it never does.
        register(lab, tmp_path, "open", **RESTRICTED)
        lab.run("doi", "sync")
        assert datacite.records == {} and not any(method == "PUT" for method, _, _ in datacite.log)
        assert doi.startswith("10.5072/")
        assert "secret" not in str(datacite.log)


@pytest.mark.parametrize(("answer", "words"), [("wrong secret", "TARN_DOI_SECRET"), ("refusal", "titles are wrong")])
def test_a_refusal_is_told_and_stands_until_something_changes(new_lab, tmp_path, answer, words):
    with registrar(DataCite) as datacite:
        env = {"TARN_DOI_SECRET": "0ther"} if answer == "wrong secret" else SECRET
        lab = new_lab("ornl", settings=settings(datacite), env=env)
        register(lab, tmp_path, "sst")
        lab.run("doi", "request", "sst")
        if answer == "refusal":
            datacite.failing = (422, {}, {"errors": [{"title": "titles are wrong"}]})
        failed = lab.run("doi", "sync", code=None)
        assert failed.code != 0 and words in failed.out
        assert doi_of(lab, "sst")["state"] == "refused" and datacite.records == {}
        assert env["TARN_DOI_SECRET"] not in failed.out + failed.err
        datacite.failing = None
        if answer == "refusal":
            register(lab, tmp_path, "sst", title="Random fields with another title")
            lab.run("doi", "sync")
            assert doi_of(lab, "sst")["state"] == "registered"


def test_osti_gives_the_doi_and_hears_of_a_record_once(new_lab, tmp_path):
    with registrar(ELink) as osti:
        lab = new_lab("ornl", settings=settings(osti, "osti"), env=SECRET)
        register(lab, tmp_path, "sst", funding=[{"funder": "DOE", "award": "DE-AC05-00OR22725"}])
        assert "doi" not in lab.run("doi", "request", "sst", "--json").json()
        # The answer to the first attempt is lost after the record was taken.
        lost = {"seen": False}
        original = ELink.handle_one

        def once(self, body):
            result = original(self, body)
            if self.command == "POST" and not lost["seen"]:
                lost["seen"] = True
                return 502, {}, {"errors": [{"detail": "bad gateway"}]}
            return result

        ELink.handle_one = once
        try:
            assert lab.run("doi", "sync", code=None).code != 0
        finally:
            ELink.handle_one = original
        lab.run("doi", "sync")
        assert len(osti.records) == 1
        (number,) = osti.records
        known = doi_of(lab, "sst")
        assert known["doi"] == f"10.11578/{number}" and known["registrar_id"] == str(number)
        assert lab.run("show", "sst", "--json").json()["doi"] == known["doi"]


def test_a_lab_without_a_registrar_says_so(new_lab, tmp_path):
    lab = new_lab("ornl")
    register(lab, tmp_path, "sst")
    refused = lab.run("doi", "request", "sst", code=None)
    assert refused.code != 0 and "[doi]" in refused.err


@contextlib.contextmanager
def answering(kind, instead):
    """A registrar that answers otherwise for a while: `instead(handler, body, usual)`."""
    usual = kind.handle_one
    kind.handle_one = lambda self, body: instead(self, body, usual)
    try:
        yield
    finally:
        kind.handle_one = usual


FUNDED = {"funding": [{"funder": "DOE", "award": "DE-AC05-00OR22725"}]}


def test_a_dataset_is_told_by_one_at_a_time(new_lab, tmp_path):
    with registrar(ELink) as osti:
        lab = new_lab("ornl", settings=settings(osti, "osti"), env=SECRET)
        register(lab, tmp_path, "sst", **FUNDED)
        osti.lock = contextlib.nullcontext()

        def slow(self, body, usual):
            if self.command == "POST":
                time.sleep(3)
            return usual(self, body)

        with answering(ELink, slow):
            lab.start()
            lab.run("doi", "request", "sst")
            wait_for(lambda: osti.log)
            lab.run("doi", "sync")
        assert len(osti.records) == 1 and doi_of(lab, "sst")["state"] == "registered"
        assert [method for method, _, _ in osti.log] == ["GET", "POST"]
        lab.stop()


def test_what_is_closed_while_another_is_told_is_never_told(new_lab, tmp_path):
    with registrar(DataCite) as datacite:
        lab = new_lab("anl", settings=settings(datacite), env=SECRET)
        for name in ("a", "b"):
            register(lab, tmp_path, name, title=f"Open title of the fields {name}")
            lab.run("doi", "request", name)
        datacite.lock = contextlib.nullcontext()

        def slow(self, body, usual):
            if self.command == "PUT" and len(datacite.log) == 1:
                time.sleep(6)
            return usual(self, body)

        with answering(DataCite, slow):
            lab.start()
            wait_for(lambda: datacite.log)
            register(lab, tmp_path, "b", **RESTRICTED)
            wait_for(lambda: doi_of(lab, "a")["state"] == "registered")
            wait_for(lambda: doi_of(lab, "b")["state"] == "hidden")
        assert len(datacite.records) == 1 and "fields b" not in str(datacite.log)
        lab.stop()


def test_what_osti_has_and_is_closed_is_said_to_be_there(new_lab, tmp_path):
    with registrar(ELink) as osti:
        lab = new_lab("ornl", settings=settings(osti, "osti"), env=SECRET)
        for name in ("sst", "never"):
            register(lab, tmp_path, name, **FUNDED)
            lab.run("doi", "request", name)

        def lost(self, body, usual):
            answer = usual(self, body)
            return (502, {}, {}) if self.command == "POST" else answer

        register(lab, tmp_path, "never", **RESTRICTED)
        with answering(ELink, lost):
            lab.run("doi", "sync", code=None)
        assert len(osti.records) == 1
        register(lab, tmp_path, "sst", **RESTRICTED)
        told = lab.run("doi", "sync", code=None)
        assert told.code != 0 and "is published there" in told.out
        assert doi_of(lab, "sst")["state"] == "refused" and doi_of(lab, "never")["state"] == "hidden"


def test_a_policy_of_the_lab_that_closes_a_dataset_hides_it(new_lab, tmp_path):
    with registrar(DataCite) as datacite:
        lab = new_lab("ornl", settings=settings(datacite), env=SECRET)
        register(lab, tmp_path, "pol")
        doi = lab.run("doi", "request", "pol", "--quiet").out.strip()
        lab.run("doi", "sync")
        assert datacite.records[doi]["state"] == "findable"
        policies = lab.home / "policies"
        policies.mkdir()
        (policies / "close.cedar").write_text(
            '@id("closed") forbid (principal, action in [Action::"discover", Action::"describe"], resource)\n'
            'when { resource == Dataset::"ornl.pol" } unless { principal.kind == "owner" };\n'
        )
        lab.start()
        wait_for(lambda: datacite.records[doi]["state"] == "registered")
        assert requests.get(f"{lab.http_url}/api/v1/datasets/ornl/pol", timeout=60).status_code == 404
        lab.stop()
        (policies / "close.cedar").unlink()
        lab.run("doi", "sync")
        assert datacite.records[doi]["state"] == "findable"


@pytest.mark.parametrize("kind", [DataCite, ELink])
def test_what_a_registrar_says_is_read_with_care(new_lab, tmp_path, kind):
    with registrar(kind) as server:
        lab = new_lab("ornl", settings=settings(server, "datacite" if kind is DataCite else "osti"), env=SECRET)
        register(lab, tmp_path, "sst", **FUNDED)
        lab.run("doi", "request", "sst")
        said = "\x1b]0;PWN\x07 \x1b[2J \u202ewrong"
        server.failing = (422, {}, {"errors": [{"title": said}]})
        told = lab.run("doi", "sync", code=None)
        assert "wrong" in told.out and not any(sign in told.out for sign in "\x1b\x07\u202e"), repr(told.out)
        server.failing = (200 if kind is ELink else 503, {}, [{"site_unique_id": "x" * (3 << 20)}])
        lab.run("doi", "sync", code=None)
        assert doi_of(lab, "sst")["state"] == "waiting"
        if kind is ELink:
            assert "1 MiB" in doi_of(lab, "sst")["problem"]
        server.failing = None
        evil = {"doi": '10.1/x>; rel="evil"<script>', "osti_id": "7/../../x?y"}
        with answering(ELink, lambda self, body, usual: (200, {}, [evil] if body else [])):
            lab.run("doi", "sync", code=None)
        if kind is ELink:
            known = doi_of(lab, "sst")
            assert known["state"] == "waiting" and known["attempts"] > 0 and "gives the DOI later" in known["problem"]
            assert "doi" not in known and "registrar_id" not in known


def test_a_hide_that_was_refused_once_is_asked_for_again(new_lab, tmp_path):
    with registrar(DataCite) as datacite:
        lab = new_lab("ornl", settings=settings(datacite), env=SECRET)
        register(lab, tmp_path, "sst")
        doi = lab.run("doi", "request", "sst", "--quiet").out.strip()
        lab.run("doi", "sync")
        register(lab, tmp_path, "sst", **RESTRICTED)
        datacite.failing = (401, {}, {"errors": [{"title": "password rotated"}]})
        lab.start()
        wait_for(lambda: doi_of(lab, "sst")["state"] == "refused")
        assert datacite.records[doi]["state"] == "findable"
        lab.stop()
        # The password is right again, and nobody has to know that something was refused.
        datacite.failing = None
        lab.start()
        wait_for(lambda: datacite.records[doi]["state"] == "registered")
        wait_for(lambda: doi_of(lab, "sst")["state"] == "hidden")
        lab.stop()


def test_a_success_counts_if_it_says_what_became_of_the_doi(new_lab, tmp_path):
    with registrar(DataCite) as datacite:
        lab = new_lab("ornl", settings=settings(datacite), env=SECRET)
        register(lab, tmp_path, "sst")
        doi = lab.run("doi", "request", "sst", "--quiet").out.strip()
        for attributes in ({"id": "10.5072/other", "attributes": {"state": "findable"}}, {"id": doi}, "<html>"):
            datacite.failing = (200, {}, {"data": attributes})
            lab.run("doi", "sync", code=None)
            assert doi_of(lab, "sst")["state"] == "waiting", attributes
        datacite.failing = (200, {}, {"data": {"id": doi, "attributes": {"state": "draft"}}})
        lab.run("doi", "sync", code=None)
        assert "findable" in doi_of(lab, "sst")["problem"] and datacite.records == {}
        datacite.failing = (200, {}, {"data": {"id": doi.upper(), "attributes": {"state": "findable"}}})
        lab.run("doi", "sync")
        assert doi_of(lab, "sst")["state"] == "registered"


def test_what_a_registrar_repeats_of_the_request_is_not_kept(new_lab, tmp_path):
    for kind, service in ((DataCite, "datacite"), (ELink, "osti")):
        with registrar(kind) as server:
            lab = new_lab("ornl" if kind is DataCite else "anl", settings=settings(server, service), env=SECRET)
            register(lab, tmp_path, "sst", **FUNDED)
            lab.run("doi", "request", "sst")

            def echo(self, body, usual):
                header = self.headers.get("Authorization", "")
                pair = "LAB.TARN:s3cr3t" if "Basic" in header else "s3cr3t"
                return 401, {}, {"errors": [{"detail": f"bad credentials in {header} ({pair})"}]}

            with answering(kind, echo):
                told = lab.run("doi", "sync", code=None)
            said = told.out + told.err + str(doi_of(lab, "sst"))
            assert "bad credentials" in said
            for secret in ("s3cr3t", "TEFCLlRBUk46czNjcjN0"):
                assert secret not in said
