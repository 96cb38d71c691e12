"""One record in the formats of others, by their own validators. Each validator also has to refuse something."""

import copy
import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import elinkapi
import jsonschema
import mlcroissant
import pyshacl
import pystac.validation
import pytest
import rdflib
import referencing
import requests
import requests_cache
import signposting
import urllib3
import yaml
from datacite import schema45
from exported import HOSTILE, RECORD, Local, shared_schemas, write_ocean
from lxml import etree
from records import write_record
from rocrate_validator import services as rocrate
from rocrate_validator.models import Severity

FORMATS = {
    "datacite": "application/vnd.datacite.datacite+xml",
    "datacite-json": "application/vnd.datacite.datacite+json",
    "dcat-us": "application/json",
    "schema.org": "application/ld+json",
    "croissant": "application/ld+json",
    "ro-crate": "application/ld+json",
    "stac": "application/geo+json",
    "elink": "application/json",
    "oai_dc": "application/xml",
    "oai_datacite": "application/xml",
}


@pytest.fixture(scope="module")
def ocean(module_lab, tmp_path_factory):
    """A lab that serves three datasets: `ocean` with a table, `wicked` with markup in every text, `held` under embargo."""
    folder = tmp_path_factory.mktemp("ocean")
    lab = module_lab("ornl")
    lab.values = write_ocean(folder / "ocean.nc")
    lab.file = folder / "ocean.nc"
    wicked = {
        **RECORD,
        "title": HOSTILE,
        "description": HOSTILE * 3,
        "keywords": [HOSTILE],
        "creators": [{"name": HOSTILE}, {"name": f"{HOSTILE}, {HOSTILE}", "orcid": "0000-0002-1825-0097"}],
        "publisher": {"name": HOSTILE},
        "contact": {"name": HOSTILE, "email": "tests@tarn.example"},
        "provenance": dict.fromkeys(("activity", "software", "instrument"), HOSTILE),
        "funding": [{"funder": HOSTILE, "award": HOSTILE}],
        "subjects": [{"term": HOSTILE, "scheme": HOSTILE}],
        "facility": {"name": HOSTILE},
        "related": [],
    }
    held = {**RECORD, "embargo": {"until": "2027-06-01", "reason": "paper in review"}}
    for name, record in (("ocean", RECORD), ("wicked", wicked), ("held", held)):
        lab.run("register", write_record(folder / f"{name}.yaml", [lab.file], name=name, **record))
        lab.run("ingest", lab.file, "--dataset", name, "--in-place")
    lab.start()
    return lab


def exported(lab, name, form):
    """An export over HTTP, equal to that of the command line, as text."""
    answer = requests.get(f"{lab.http_url}/api/v1/datasets/{lab.name}/{name}/export/{form}", timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == FORMATS[form]
    assert lab.run("export", name, "--as", form).out == answer.content.decode()
    return answer.content.decode()


def load(lab, name, form):
    """An export as JSON."""
    return json.loads(exported(lab, name, form))


DATASETS = ["ocean", "wicked", "held"]


@pytest.mark.parametrize("name", DATASETS)
def test_datacite_xml_is_valid_in_4_6_and_4_7(ocean, name):
    folder = shared_schemas()
    text = exported(ocean, name, "datacite").encode()
    document = etree.fromstring(text)
    kernel = "{http://datacite.org/schema/kernel-4}"
    if name == "wicked":
        assert document.findtext(f".//{kernel}title") == HOSTILE
    assert {node.get("rightsURI") for node in document.iter(f"{kernel}rights")} >= {
        "https://spdx.org/licenses/CC-BY-4.0",
        f"http://purl.org/coar/access_right/{'c_f1cf' if name == 'held' else 'c_abf2'}",
    }
    if folder is None:
        return
    for version in ("datacite-4.6", "datacite-4.7"):
        schema = etree.XMLSchema(etree.parse(folder / version / "metadata.xsd"))
        assert schema.validate(document), schema.error_log
        broken = copy.deepcopy(document)
        broken.remove(broken.find(f"{kernel}publisher"))
        assert not schema.validate(broken)


@pytest.mark.parametrize("name", DATASETS)
def test_datacite_json_is_valid(ocean, name):
    value = load(ocean, name, "datacite-json")
    # The newest schema in JSON is that of 4.5, which has no date of coverage yet.
    dates = [date for date in value["dates"] if date["dateType"] != "Coverage"]
    assert len(dates) == len(value["dates"]) - 1
    older = {**value, "dates": dates}
    assert [error.message for error in schema45.validator.iter_errors(older)] == []
    assert list(schema45.validator.iter_errors({key: older[key] for key in older if key != "publisher"}))
    if name == "held":
        assert value["publicationYear"] == "2027"
        assert {"date": "2027-06-01", "dateType": "Available"} in dates


@pytest.mark.parametrize("name", DATASETS)
def test_dcat_us_is_valid(ocean, name):
    folder, value = shared_schemas(), load(ocean, name, "dcat-us")
    if folder is None:
        return
    schemas = [json.loads(path.read_text()) for path in (folder / "dcat-us-3.0" / "definitions").glob("*.json")]
    resources = [(schema["$id"], referencing.Resource.from_contents(schema)) for schema in schemas]
    registry = referencing.Registry().with_resources(resources)
    dataset = next(schema for schema in schemas if schema["$id"].endswith("/dataset"))
    validator = jsonschema.Draft202012Validator(
        dataset, registry=registry, format_checker=jsonschema.FormatChecker()
    )
    assert [error.message for error in validator.iter_errors(value)] == []
    # The older shapes want a publisher as well.
    assert value["publisher"]["name"]
    assert list(validator.iter_errors({**value, "contactPoint": None}))


@pytest.mark.parametrize("name", DATASETS)
def test_schema_org_satisfies_the_shapes_of_science_on_schema_org(ocean, name):
    folder, value = shared_schemas(), load(ocean, name, "schema.org")
    assert value["isAccessibleForFree"] is (name != "held")
    if folder is None:
        return
    shapes = rdflib.Graph().parse(folder / "soso" / "soso_common_v1.2.3.ttl")

    def problems(record):
        data = rdflib.Graph().parse(data=json.dumps(record), format="json-ld")
        conforms, graph, text = pyshacl.validate(data, shacl_graph=shapes, advanced=True, do_owl_imports=False)
        severities = set(graph.objects(None, rdflib.SH.resultSeverity)) if not conforms else set()
        return text if rdflib.SH.Violation in severities else ""

    assert problems(value) == ""
    assert problems({key: value[key] for key in value if key != "name"}) != ""


def test_croissant_loads_the_rows_through_our_urls(ocean, tmp_path):
    (tmp_path / "croissant.json").write_text(exported(ocean, "ocean", "croissant"))
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors, dataset.metadata.ctx.issues.report()
    rows = list(dataset.records(record_set="time_lat_lon"))
    assert len(rows) == 60
    values = {(row["time_lat_lon/lat"], row["time_lat_lon/lon"], str(row["time_lat_lon/time"])[:10]): row for row in rows}
    for at, day in enumerate(("2020-01-01", "2020-02-01", "2020-03-01")):
        for north, lat in enumerate((-30.0, -10.0, 10.0, 30.0)):
            for east, lon in enumerate((100.0, 110.0, 120.0, 130.0, 140.0)):
                got, wanted = values[lat, lon, day]["time_lat_lon/sst"], ocean.values[at, north, east]
                assert got is None or got != got if wanted == -999.0 else got == wanted, (lat, lon, day)
    command = [Path(sys.executable).parent / "mlcroissant", "load", "--jsonld", tmp_path / "croissant.json"]
    command += ["--record_set", "time_lat_lon", "--num_records", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and "time_lat_lon/sst" in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("name", DATASETS)
def test_croissant_is_valid(ocean, name, tmp_path):
    value = load(ocean, name, "croissant")
    (tmp_path / "good.json").write_text(json.dumps(value))
    good = mlcroissant.Dataset(jsonld=tmp_path / "good.json")
    assert not good.metadata.ctx.issues.errors
    value["recordSet"][0]["field"][0]["source"]["fileObject"]["@id"] = "nothing"
    (tmp_path / "bad.json").write_text(json.dumps(value))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(jsonld=tmp_path / "bad.json")


class Contexts(requests.adapters.HTTPAdapter):
    """Answers with the contexts of RO-Crate from a folder; 1.1 is read as 1.2, whose terms contain it."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def send(self, request, **_):
        version = "1.3" if "/1.3/" in request.url else "1.2"
        body = (self.folder / f"ro-crate-{version}-context.jsonld").read_bytes()
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(body),
            headers={"Content-Type": "application/ld+json"},
            status=200,
            preload_content=False,
            request_url=request.url,
        )
        return self.build_response(request, raw)


@pytest.mark.parametrize("name", DATASETS)
def test_ro_crate_is_valid(ocean, name, tmp_path):
    folder, value = shared_schemas(), load(ocean, name, "ro-crate")
    if folder is None:
        return
    cache = requests_cache.CachedSession(str(tmp_path / "cache"), backend="sqlite", expire_after=-1)
    cache.mount("https://w3id.org/", Contexts(folder / "ro-crate"))
    for version in ("1.1", "1.2", "1.3"):
        assert cache.get(f"https://w3id.org/ro/crate/{version}/context").json()

    def failed(record):
        crate = tmp_path / "crate"
        crate.mkdir(exist_ok=True)
        (crate / "ro-crate-metadata.json").write_text(json.dumps(record))
        settings = rocrate.ValidationSettings(
            rocrate_uri=str(crate),
            profile_identifier="ro-crate-1.2",
            requirement_severity=Severity.REQUIRED,
            offline=True,
            cache_path=str(tmp_path / "cache"),
        )
        return [issue.message for issue in rocrate.validate(settings).get_issues()]

    assert failed(value) == []
    root = next(entity for entity in value["@graph"] if entity["@id"] == "./")
    del root["license"]
    assert failed(value) != []


@pytest.mark.parametrize("name", DATASETS)
def test_stac_is_valid(ocean, name):
    value = load(ocean, name, "stac")
    assert value["bbox"] == [100.0, -30.0, 140.0, 30.0]
    pystac.validation.validate_dict(value)
    del value["properties"]["datetime"]
    with pytest.raises(pystac.STACValidationError):
        pystac.validation.validate_dict(value)


@pytest.mark.parametrize("name", DATASETS)
def test_e_link_takes_the_record(ocean, name):
    value = load(ocean, name, "elink")
    record = elinkapi.Record(**value)
    assert (record.product_type, record.access_limitations) == ("DA", ["UNL"])
    if name == "ocean":
        sponsor = next(one for one in record.organizations if one.type == "SPONSOR")
        assert (sponsor.identifiers[0].type, sponsor.identifiers[0].value) == ("CN_DOE", "DE-AC05-00OR22725")
        assert [person.last_name for person in record.persons if person.type == "AUTHOR"] == ["Curie"]
    with pytest.raises(ValueError):
        elinkapi.Record(**{**value, "access_limitations": ["SECRET"]})
    assert set(value) <= set(elinkapi.Record.model_fields)


@pytest.mark.parametrize("name", DATASETS)
def test_the_formats_of_oai_are_valid(ocean, name):
    folder = shared_schemas()
    simple = etree.fromstring(exported(ocean, name, "oai_dc").encode())
    carried = etree.fromstring(exported(ocean, name, "oai_datacite").encode())
    if folder is None:
        return
    parser = etree.XMLParser()
    parser.resolvers.add(Local(folder))
    schema = etree.XMLSchema(etree.parse(folder / "oai-pmh" / "oai_dc.xsd", parser))
    assert schema.validate(simple), schema.error_log
    simple.append(etree.SubElement(simple, "{http://purl.org/dc/elements/1.1/}banana"))
    assert not schema.validate(simple)
    oai = "{http://schema.datacite.org/oai/oai-1.1/}"
    resource = carried.find(f"{oai}payload")[0]
    schema = etree.XMLSchema(etree.parse(folder / "datacite-4.6" / "metadata.xsd"))
    assert schema.validate(etree.fromstring(etree.tostring(resource))), schema.error_log
    assert [child.tag.removeprefix(oai) for child in carried] == ["schemaVersion", "datacentreSymbol", "payload"]


def test_a_page_says_what_it_is_to_people_and_programs(ocean):
    page = f"{ocean.http_url}/datasets/ornl/ocean"
    found = signposting.find_signposting_http(page)
    ark = ocean.run("show", "ocean", "--json").json()["ark"]
    assert found.citeAs.target.endswith(ark)
    assert {link.target for link in found.authors} == {
        "https://orcid.org/0000-0002-1825-0097",
        "https://ror.org/05gvnxz63",
    }
    assert found.license.target == "https://spdx.org/licenses/CC-BY-4.0"
    assert len(found.describedBy) == len(FORMATS) and len(found.items) == 5
    whole = signposting.find_signposting_linkset(found.linksets.pop().target)
    mine = whole.for_context(page) if hasattr(whole, "for_context") else whole
    assert len(mine.items) == len(found.items)
    # The identifier leads to the page by a redirect, and every link answers.
    # However it is written, it is the same identifier.
    for text in (ark.replace("ark:/", "ark:"), ark.replace("ark:", "ARK:"), f"{ark}/", ark[:-3] + "-" + ark[-3:], ark.replace(":", "%3A")):
        again = requests.get(f"{ocean.http_url}/{text}", timeout=30, headers={"Accept": "text/html"})
        assert again.status_code == 200 and again.history, (text, again.status_code)
    answer = requests.get(f"{ocean.http_url}/{ark}", allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["location"]) == (302, "/datasets/ornl/ocean")
    for link in found.describedBy | found.items:
        answer = requests.get(link.target, timeout=60)
        assert answer.status_code == 200 and answer.headers["content-type"].split(";")[0] == link.type.split(";")[0]


def test_content_negotiation_gives_each_what_it_asks_for(ocean):
    page = f"{ocean.http_url}/datasets/ornl/ocean"
    for accept, kind in (
        (None, "text/html"),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html"),
        ("application/ld+json", "application/ld+json"),
        ("application/vnd.datacite.datacite+json", "application/vnd.datacite.datacite+json"),
        ("application/geo+json, text/html;q=0.1", "application/geo+json"),
        ("application/linkset+json", "application/linkset+json"),
    ):
        answer = requests.get(page, headers={"Accept": accept}, timeout=30)
        assert answer.headers["content-type"].split(";")[0] == kind
        assert "Accept" in answer.headers["vary"].split(", ") and 'rel="cite-as"' in answer.headers["link"]
    assert requests.get(page, headers={"Accept": "image/png"}, timeout=30).status_code == 400
    crate = requests.get(
        page, headers={"Accept": 'application/ld+json;profile="https://w3id.org/ro/crate/1.2"'}, timeout=30
    )
    assert crate.json()["@graph"]


def test_markup_in_a_record_is_text_on_its_page(ocean):
    answer = requests.get(f"{ocean.http_url}/datasets/ornl/wicked", timeout=30)
    assert "x-evil" not in answer.headers and "alert(1)" in answer.text
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    assert len(scripts) == 1
    assert json.loads(scripts[0])["name"] == HOSTILE
    assert "<script>alert" not in answer.text
    page = etree.HTML(answer.text)
    assert page.findtext(".//h1").split() == HOSTILE.split()
    assert page.get("onload") is None and len(page.findall(".//script")) == 1


def test_bytes_and_rows_come_by_url_and_by_policy(ocean):
    value = load(ocean, "ocean", "schema.org")
    file = next(one for one in value["distribution"] if one["name"] == "ocean.nc")
    answer = requests.get(file["contentUrl"], timeout=30)
    assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
    assert answer.content == ocean.file.read_bytes()
    assert answer.headers["content-disposition"] == "attachment"
    held = load(ocean, "held", "schema.org")
    for one in held["distribution"]:
        refused = requests.get(one["contentUrl"], timeout=30)
        assert refused.status_code == 403, one
        assert str(ocean.file.parent) not in refused.text
    for path in ("ocean/files/7/x", "ocean/tables/none.csv", "ocean/tables/time_lat_lon.exe", "ocean/export/marc"):
        assert requests.get(f"{ocean.http_url}/api/v1/datasets/ornl/{path}", timeout=30).status_code == 404


def test_a_file_that_was_replaced_is_not_given_out(new_lab, tmp_path):
    write_ocean(tmp_path / "ocean.nc")
    lab = new_lab("ornl", start=True)
    lab.run("register", write_record(tmp_path / "r.yaml", [tmp_path / "ocean.nc"], name="ocean", **RECORD))
    url = f"{lab.http_url}/api/v1/datasets/ornl/ocean/files/0/ocean.nc"
    assert requests.get(url, timeout=30).status_code == 200
    (tmp_path / "ocean.nc").write_bytes(b"something else")
    assert requests.get(url, timeout=30).status_code == 409
    (tmp_path / "ocean.nc").unlink()
    refused = requests.get(url, timeout=30)
    assert refused.status_code == 404 and str(tmp_path) not in refused.text


def test_profiles_are_served_and_printed(ocean, tarn):
    served = requests.get(f"{ocean.http_url}/api/v1/profiles", timeout=30).json()["profiles"]
    assert served == ["lab-core", "cf-acdd", "nexus"]
    for name in served:
        schema = requests.get(f"{ocean.http_url}/api/v1/profiles/{name}", timeout=30).json()
        jsonschema.Draft202012Validator.check_schema(schema)
        assert json.loads(tarn.run("record", "profile", name).out) == schema
    core = jsonschema.Draft202012Validator(json.loads(tarn.run("record", "profile").out))
    record = ocean.run("show", "ocean", "--json").json()["record"]
    assert [error.message for error in core.iter_errors(record)] == []
    assert list(core.iter_errors({**record, "title": "short"}))
    assert tarn.run("record", "profile", "none", code=4).err
    assert requests.get(f"{ocean.http_url}/api/v1/profiles/none", timeout=30).status_code == 404


def test_a_steward_types_only_what_only_a_person_knows(new_lab, tmp_path):
    write_ocean(tmp_path / "ocean.nc")
    settings = """
[defaults]
publisher = { name = "Oak Ridge National Laboratory", ror = "https://ror.org/01qz5mb56" }
contact = { name = "Data desk", email = "data@lab.gov" }
"""
    lab = new_lab("ornl", settings=settings)
    # The template has a commented section of the same name.
    page = lab.run("record", "new", tmp_path / "ocean.nc").out
    record = yaml.safe_load(page)
    # Where the file does not say who made it, it is the lab, as an organisation, and a comment says so.
    assert [(one["name"], one["type"]) for one in record["creators"]] == [("Oak Ridge National Laboratory", "organization")]
    assert "no file names who made the data" in page
    record.update(
        creators=[{"name": "Curie, Marie"}],
        title="Sea surface temperature of a test ocean",
        description=RECORD["title"] * 3,
        license="CC-BY-4.0",
        keywords=["test"],
        tier="public",
    )
    path = tmp_path / "record.yaml"
    path.write_text(yaml.safe_dump(record))
    done = lab.run("register", path, "--json").json()
    assert done["created"] and done["fair_score"] >= 80


def test_wrong_records_are_told_everything_at_once(new_lab, tmp_path):
    lab = new_lab("ornl")
    path = tmp_path / "record.yaml"
    path.write_text("name: x\ntitel: y\nkeywords: one, two\ncreators: [{nam: Ada}]\ntier: open\n")
    done = lab.run("register", path, "--json", code=5)
    found = {violation["pointer"] for violation in json.loads(done.err)["error"]["violations"]}
    assert found >= {"/titel", "/keywords", "/creators/0/nam", "/creators/0/name", "/tier"}
    # What `record new` leaves for the steward is missed by its own rule, with everything else.
    path.write_text("name: x\ntier:\n")
    done = lab.run("register", path, "--json", code=5)
    rules = {violation["rule"] for violation in json.loads(done.out)["violations"]}
    assert rules >= {"tier.required", "title.required", "license.required"}
    path.write_text("name: x\nkeywords: " + "[" * 100_000)
    assert lab.run("register", path, code=5).err.startswith("error: ")
    path.write_text("name: x\ntitle: '" + "x" * (17 << 20) + "'\n")
    assert "16777216" in lab.run("register", path, code=5).err
    for text in ("7", "[]", "just words", "a: &a [*a]", "\u0000"):
        path.write_text(text)
        assert lab.run("register", path, code=5).err.startswith("error: ")
