"""OAI-PMH: harvests by an independent client, answers under the protocol's schema, nothing skipped."""

import datetime
import sqlite3
import threading
import time

import pytest
import requests
from exported import Local, shared_schemas
from fields import random_netcdf
from lxml import etree
from records import write_record
from sickle import Sickle
from sickle.oaiexceptions import BadArgument, BadResumptionToken, IdDoesNotExist, NoRecordsMatch

RESTRICTED = {
    "tier": "restricted",
    "license": None,
    "terms": {"id": "https://tarn.example/terms", "sha256": "0" * 64},
    "agreement": {
        "id": "https://tarn.example/agreement",
        "sha256": "1" * 64,
        "committee": "dac",
        "months": 12,
        "purposes": ["research"],
    },
    "conditions": {"assurance": "low"},
    "reviewed": {"by": "rev", "on": "2026-11-01"},
    "review": str(datetime.date.today() + datetime.timedelta(days=180)),
    "human_data": False,
}
NS = {"oai": "http://www.openarchives.org/OAI/2.0/"}


@pytest.fixture
def lab(new_lab, tmp_path):
    """A lab that serves, and a way to register records in it."""
    lab = new_lab("ornl")
    lab.file = random_netcdf(tmp_path / "x.nc", 5, "NETCDF4", "noleap")
    lab.start()

    def register(name, **changes):
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [lab.file], name=name, **changes))
        return lab.run("show", name, "--json").json()["ark"]

    lab.register = register
    return lab


def harvest(lab, verb="ListRecords", **arguments):
    """Everything that an independent client harvests: datestamp and whether it is deleted, by identifier."""
    arguments = {"metadataPrefix": "oai_dc", **arguments}
    try:
        found = getattr(Sickle(f"{lab.http_url}/oai"), verb)(**arguments)
        headers = [getattr(record, "header", record) for record in found]
    except NoRecordsMatch:
        return {}
    identifiers = [header.identifier for header in headers]
    assert len(identifiers) == len(set(identifiers))
    return {header.identifier: (header.datestamp, header.deleted) for header in headers}


def test_a_client_harvests_what_everyone_may_know(lab):
    public, kept = lab.register("a"), lab.register("b", embargo={"until": "2027-06-01", "reason": "in review"})
    first = harvest(lab)
    assert set(first) == {public, kept} and not any(deleted for _, deleted in first.values())
    assert harvest(lab, "ListIdentifiers") == first
    client = Sickle(f"{lab.http_url}/oai")
    record = client.GetRecord(identifier=public, metadataPrefix="oai_dc")
    assert record.metadata["title"] and public in record.metadata["identifier"]
    assert "datacite" in client.GetRecord(identifier=public, metadataPrefix="oai_datacite").raw
    assert {one.metadataPrefix for one in client.ListMetadataFormats()} == {"oai_dc", "oai_datacite"}
    assert {"lab:ornl", "tier:public"} <= {one.setSpec for one in client.ListSets()}
    assert client.Identify().deletedRecord == "persistent"
    assert harvest(lab, set="tier:public") == first and harvest(lab, set="lab") == first
    assert harvest(lab, set="tier:registered") == {}
    with pytest.raises(IdDoesNotExist):
        client.GetRecord(identifier="ark:/99999/none", metadataPrefix="oai_dc")
    with pytest.raises(BadArgument):
        client.ListRecords(metadataPrefix="oai_dc", **{"from": "yesterday"})
    with pytest.raises(BadResumptionToken):
        client.ListRecords(resumptionToken="oai_dc!!!")


def test_a_record_that_goes_stays_as_deleted(lab):
    gone, closed, never = lab.register("a"), lab.register("b"), None
    harvest(lab)
    time.sleep(1.1)
    lab.run("retract", "a", "--reason", "wrong calibration")
    hidden = {**RESTRICTED, "exposure": "existence"}
    lab.register("b", **hidden)
    before = requests.get(f"{lab.http_url}/oai?verb=ListRecords&metadataPrefix=oai_dc", timeout=30).text
    never = lab.register("c", **hidden)
    found = harvest(lab)
    assert {one: deleted for one, (_, deleted) in found.items()} == {gone: True, closed: True}
    # What never was for everyone changes no byte.
    after = requests.get(f"{lab.http_url}/oai?verb=ListRecords&metadataPrefix=oai_dc", timeout=30).text
    date = slice(before.index("<responseDate>"), before.index("</responseDate>"))
    assert before.replace(before[date], "") == after.replace(after[date], "")
    with pytest.raises(IdDoesNotExist):
        Sickle(f"{lab.http_url}/oai").GetRecord(identifier=never, metadataPrefix="oai_dc")
    assert Sickle(f"{lab.http_url}/oai").GetRecord(identifier=gone, metadataPrefix="oai_dc").header.deleted


def test_an_embargo_that_ends_is_a_change_at_that_moment(lab):
    ark = lab.register("a", embargo={"until": "2027-06-01", "reason": "in review"})
    first = harvest(lab)
    assert not first[ark][1]
    place = next(lab.home.rglob("catalog.sqlite"))
    with sqlite3.connect(place) as database:
        assert database.execute("SELECT opens_at FROM dataset").fetchone() == ("2027-06-01T00:00:00.000000Z",)
    time.sleep(2)
    since = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert harvest(lab, **{"from": since}) == {}
    # The clock cannot be turned here, so the end comes to the clock.
    ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    with sqlite3.connect(place) as database:
        database.execute("UPDATE dataset SET opens_at = ?", (ends.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),))
    assert harvest(lab, **{"from": since}) == {}
    time.sleep(2.1)
    moment = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert harvest(lab, **{"from": since}) == {ark: (moment, False)}
    record = Sickle(f"{lab.http_url}/oai").GetRecord(identifier=ark, metadataPrefix="oai_dc")
    assert record.header.datestamp == moment


def test_what_new_policies_hide_and_show_is_a_change(lab):
    kept, other, made = lab.register("a"), lab.register("b"), lab.register("c")
    # What was made of it goes and comes with it.
    lab.run("ingest", lab.file, "--dataset", "b", "--in-place")
    table = lab.run("show", "b", "--json").json()["tables"][0]["name"]
    lab.run("sql", f"CREATE TABLE c.few AS SELECT * FROM b.{table} LIMIT 3")
    first = harvest(lab)
    assert {one: deleted for one, (_, deleted) in first.items()} == {kept: False, other: False, made: False}
    policies = lab.home / "policies"
    policies.mkdir(exist_ok=True)

    def after(text):
        """What changed for a harvester when the node was started with these policies."""
        time.sleep(1.1)
        since = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        lab.stop()
        (policies / "lab.cedar").write_text(text)
        lab.start()
        deadline = time.monotonic() + 20
        while not (found := harvest(lab, **{"from": since})) and time.monotonic() < deadline:
            time.sleep(0.1)
        return {one: deleted for one, (_, deleted) in found.items()}

    forbid = (
        '@id("closed") forbid (principal, action in [Action::"discover", Action::"describe"], resource)\n'
        'when { resource == Dataset::"ornl.b" } unless { principal.kind == "owner" };\n'
    )
    assert after(forbid) == {other: True, made: True}
    assert after("") == {other: False, made: False}
    lab.stop()
    lab.start()
    assert harvest(lab)[kept] == first[kept]


def sets(lab):
    return {one.setSpec: one.setName for one in Sickle(f"{lab.http_url}/oai").ListSets()}


def test_subjects_are_sets_and_those_of_hidden_records_are_none(lab):
    odd = "Größe: <a> & !b"
    one = lab.register("a", keywords=["sea ice", "random"], subjects=[{"term": "air_temperature", "scheme": "CF Standard Name Table"}])
    two = lab.register("b", keywords=[odd, "random"])
    first = sets(lab)
    subjects = {spec: name for spec, name in first.items() if spec.startswith("subject:")}
    assert set(subjects.values()) == {"sea ice", "random", "air_temperature", odd} and "subject" in first
    assert subjects["subject:sea_ice"] == "sea ice" and subjects["subject:air~5Ftemperature"] == "air_temperature"
    by_name = {name: spec for spec, name in subjects.items()}
    assert set(harvest(lab, set="subject:sea_ice")) == {one}
    assert set(harvest(lab, set=by_name[odd])) == set(harvest(lab, "ListIdentifiers", set=by_name[odd])) == {two}
    assert set(harvest(lab, set=by_name["random"])) == set(harvest(lab, set="subject")) == {one, two}
    assert harvest(lab, set="subject:none") == {}
    header = Sickle(f"{lab.http_url}/oai").GetRecord(identifier=one, metadataPrefix="oai_dc").header
    assert {"subject:sea_ice", "subject:random", "lab:ornl", "tier:public"} <= set(header.setSpecs)
    url = f"{lab.http_url}/oai?verb=ListSets"
    before = requests.get(url, timeout=30).text
    for exposure in ("none", "existence", "redacted"):
        lab.register(f"h_{exposure}", **{**RESTRICTED, "exposure": exposure, "keywords": ["plutonium", "sea ice"]})
    after = requests.get(url, timeout=30).text
    date = [text[text.index("<responseDate>") : text.index("</responseDate>")] for text in (before, after)]
    assert before.replace(date[0], "") == after.replace(date[1], "")
    assert harvest(lab, set="subject:plutonium") == {}
    assert set(harvest(lab, set="subject:sea_ice")) == {one}
    # Registered in the meantime, it is a set; and with more than a page of them nothing is lost.
    lab.register("many", keywords=[f"term {number:04}" for number in range(1100)])
    assert {f"subject:term_{number:04}" for number in range(1100)} <= set(sets(lab))
    assert "resumptionToken" in requests.get(url, timeout=30).text


def test_every_answer_is_valid_by_the_schema_of_the_protocol(lab):
    folder = shared_schemas()
    lab.register("a", keywords=["sea ice", "Größe: <a> & !b"])
    ark = lab.register("b")
    lab.run("retract", "b", "--reason", "wrong")
    schema = None
    if folder is not None:
        parser = etree.XMLParser()
        parser.resolvers.add(Local(folder))
        # Records of Dublin Core are checked strictly: their schema has to be known beside it.
        both = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
            <xs:import namespace="http://www.openarchives.org/OAI/2.0/" schemaLocation="{folder}/oai-pmh/OAI-PMH.xsd"/>
            <xs:import namespace="http://www.openarchives.org/OAI/2.0/oai_dc/" schemaLocation="{folder}/oai-pmh/oai_dc.xsd"/>
            </xs:schema>"""
        schema = etree.XMLSchema(etree.fromstring(both, parser))
    for query in (
        "verb=Identify",
        "verb=ListMetadataFormats",
        f"verb=ListMetadataFormats&identifier={ark}",
        "verb=ListSets",
        "verb=ListSets&resumptionToken=x",
        "verb=ListSets&resumptionToken=subject:none",
        "verb=ListIdentifiers&metadataPrefix=oai_dc",
        "verb=ListRecords&metadataPrefix=oai_dc",
        f"verb=GetRecord&metadataPrefix=oai_dc&identifier={ark}",
        "verb=ListRecords&metadataPrefix=oai_dc&from=2099-01-01",
        "verb=ListRecords&metadataPrefix=marc",
        "verb=ListRecords&metadataPrefix=oai_dc&resumptionToken=x",
        "verb=Explode",
        "verb=Identify&%3Cscript%3E=1",
        "",
    ):
        for answer in (
            requests.get(f"{lab.http_url}/oai?{query}", timeout=30),
            requests.post(
                f"{lab.http_url}/oai",
                data=query,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                timeout=30,
            ),
        ):
            assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/xml"), query
            document = etree.fromstring(answer.content)
            assert schema is None or schema.validate(document), (query, schema.error_log)
            wrong = document.xpath("oai:error[@code='badVerb' or @code='badArgument']", namespaces=NS)
            assert not wrong or not document.find("oai:request", NS).attrib


def test_nothing_is_skipped_while_others_write(lab, tmp_path):
    """Harvests one after the other, each from the response date of the one before, while records are registered."""
    for number in range(230):
        write_record(tmp_path / f"n{number}.yaml", [lab.file], name=f"n{number}")
    stop = threading.Event()

    def write():
        for number in range(230):
            lab.run("register", tmp_path / f"n{number}.yaml")
            if stop.is_set():
                return
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen, since = {}, None
    while True:
        done = stop.is_set()
        url = f"{lab.http_url}/oai?verb=ListIdentifiers&metadataPrefix=oai_dc" + (f"&from={since}" if since else "")
        while url:
            document = etree.fromstring(requests.get(url, timeout=60).content)
            for header in document.iterfind(".//oai:header", NS):
                seen[header.findtext("oai:identifier", namespaces=NS)] = True
            if "resumptionToken" not in url:
                since_next = document.findtext("oai:responseDate", namespaces=NS)
            token = document.findtext(".//oai:resumptionToken", namespaces=NS)
            url = token and f"{lab.http_url}/oai?verb=ListIdentifiers&resumptionToken={requests.utils.quote(token, safe='')}"
        since = since_next
        if done:
            break
        time.sleep(0.05)
    writer.join()
    arks, cursor = [], ""
    while cursor is not None:
        page = requests.get(f"{lab.http_url}/api/v1/datasets", params={"cursor": cursor}, timeout=60).json()
        arks += [dataset["ark"] for dataset in page["datasets"]]
        cursor = page["next"]
    assert len(arks) == 230 and set(arks) == set(seen)
    # Whole, in two pages.
    assert set(harvest(lab, "ListIdentifiers")) == set(arks)
