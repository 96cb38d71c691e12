"""What a steward sees go wrong: places across the antimeridian, exports of what is not told or was withdrawn, every
violation at once, files whose attributes are not true."""

import json
import os
from pathlib import Path

import jsonschema
import netCDF4
import numpy
import pystac.validation
import pytest
import referencing
import yaml
from datacite import schema45
from exported import RECORD, ROOT, shared_schemas
from lxml import etree
from records import COMPLETE, write_record
from test_access import TIER, call, token

LONGITUDES = {
    "date_line": [170.0, 180.0, 190.0],
    "pacific": [170.0, 175.0, -180.0, -175.0, -170.0],
    "profiles": [0.5, 325.5, 335.5, 345.5, 355.5],
    "americas": [190.0, 250.0],
    "europe": [-10.25, 30.75],
    "grid": [float(at) for at in numpy.arange(0, 360, 2.5)],
}


def smallest(longitudes):
    """West and width of the smallest arc with all longitudes, by trying each as the west."""
    widths = {west: max((at - west) % 360 for at in longitudes) for west in longitudes}
    west = min(widths, key=widths.get)
    return (west + 180) % 360 - 180, widths[west]


def write_places(path, longitudes, **attributes):
    """A file of CF with values at such longitudes, at 0 to 10 degrees north."""
    with netCDF4.Dataset(path, "w") as file:
        file.Conventions = "CF-1.8"
        file.setncatts(attributes)
        for name, units, values in (("lat", "degrees_north", [0.0, 10.0]), ("lon", "degrees_east", longitudes)):
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = values
        value = file.createVariable("t", "f4", ("lat", "lon"))
        value.units = "K"
        value[:] = 280.0
    return path


def validate_xml(text):
    """Checks DataCite's XML by its schema."""
    folder = shared_schemas()
    if folder is not None:
        schema = etree.XMLSchema(etree.parse(folder / "datacite-4.6" / "metadata.xsd"))
        assert schema.validate(etree.fromstring(text.encode())), schema.error_log


def validate_dcat(value):
    """Checks DCAT-US by the schemas of data.gov."""
    folder = shared_schemas()
    if folder is None:
        return
    schemas = [json.loads(path.read_text()) for path in (folder / "dcat-us-3.0" / "definitions").glob("*.json")]
    resources = [(schema["$id"], referencing.Resource.from_contents(schema)) for schema in schemas]
    registry = referencing.Registry().with_resources(resources)
    dataset = next(schema for schema in schemas if schema["$id"].endswith("/dataset"))
    validator = jsonschema.Draft202012Validator(dataset, registry=registry)
    assert [error.message for error in validator.iter_errors(value)] == []


def validate_datacite(value):
    """Checks DataCite's JSON; its newest schema has no date of coverage."""
    value["dates"] = [date for date in value["dates"] if date["dateType"] != "Coverage"]
    assert [error.message for error in schema45.validator.iter_errors(value)] == []


def test_places_are_the_smallest_box_on_the_circle(new_lab, tmp_path):
    lab = new_lab("ornl")
    for name, longitudes in LONGITUDES.items():
        path = write_places(tmp_path / f"{name}.nc", longitudes)
        write_record(tmp_path / f"{name}.yaml", [path], name=name, **RECORD)
        lab.run("register", tmp_path / f"{name}.yaml")
        west, south, east, north = json.loads(lab.run("show", name, "--json").out)["extent"]["bounding_box"]
        assert (south, north) == (0.0, 10.0)
        wanted, width = smallest(longitudes)
        if name == "grid":
            assert (west, east) == (-180.0, 180.0)
        else:
            assert (west, (east - west) % 360) == pytest.approx((wanted, width)), name
        assert -180 <= west <= 180 and -180 <= east <= 180

        # Exports say the same, and are valid: GeoJSON cuts a box that crosses in two.
        validate_xml(lab.run("export", name, "--as", "datacite").out)
        place = json.loads(lab.run("export", name, "--as", "datacite-json").out)["geoLocations"][0]["geoLocationBox"]
        assert (place["westBoundLongitude"], place["eastBoundLongitude"]) == (west, east)
        stac = json.loads(lab.run("export", name, "--as", "stac").out)
        pystac.validation.validate_dict(stac)
        assert stac["extent"]["spatial"]["bbox"] == [[west, 0.0, east, 10.0]]
        dcat = json.loads(lab.run("export", name, "--as", "dcat-us").out)
        validate_dcat(dcat)
        assert dcat["spatial"]["bbox"].startswith("MULTIPOLYGON" if west > east else "POLYGON")

    # Search finds by any of both sides, and nothing on the other side of the Earth.
    def found(box):
        hits = lab.run("search", "--filter", f"bbox={box}", "--json").json()
        return {hit["name"] for hit in hits["hits"]}

    assert found("175,0,178,5") == {"date_line", "pacific", "grid"}
    assert found("-175,0,-172,5") == {"date_line", "pacific", "grid"}
    assert found("165,0,-165,5") == {"date_line", "pacific", "americas", "grid"}
    assert found("-30,0,-20,5") == {"profiles", "grid"}
    assert found("60,0,70,5") == {"grid"}

    # The true box is accepted as it is, and the Earth that would hold it is not.
    stated = {"bounding_box": [170, 0, -170, 10]}
    good = write_record(tmp_path / "good.yaml", [tmp_path / "date_line.nc"], name="good", extent=stated, **RECORD)
    lab.run("register", good, "--dry-run")
    stated = {"bounding_box": [-180, 0, 180, 10]}
    bad = write_record(tmp_path / "bad.yaml", [tmp_path / "date_line.nc"], name="bad", extent=stated, **RECORD)
    assert "extent.box_differs" in lab.run("register", bad, "--dry-run", code=5).err


def test_a_withdrawn_dataset_is_exported_without_its_data(new_lab, tmp_path):
    lab = new_lab("ornl")
    path = write_places(tmp_path / "gone.nc", [10.0, 20.0])
    lab.run("register", write_record(tmp_path / "gone.yaml", [path], name="gone", **RECORD))
    lab.run("ingest", path, "--dataset", "gone", "--in-place")
    assert "gone.nc" in lab.run("export", "gone", "--as", "stac").out
    lab.run("retract", "gone", "--reason", "the sensor was broken")
    for form in ("datacite", "datacite-json", "dcat-us", "schema.org", "croissant", "ro-crate", "stac", "oai_dc"):
        text = lab.run("export", "gone", "--as", form).out
        for data in ("gone.nc", "/files/", "/tables/", "c_abf2", "open access"):
            assert data not in text, (form, data)
    validate_xml(lab.run("export", "gone", "--as", "datacite").out)
    value = json.loads(lab.run("export", "gone", "--as", "datacite-json").out)
    validate_datacite(value)
    assert "Withdrawn" in {date["dateType"] for date in value["dates"]}
    validate_dcat(json.loads(lab.run("export", "gone", "--as", "dcat-us").out))
    pystac.validation.validate_dict(json.loads(lab.run("export", "gone", "--as", "stac").out))
    assert json.loads(lab.run("export", "gone", "--as", "schema.org").out)["isAccessibleForFree"] is False
    assert "withdrawn" in lab.run("export", "gone", "--as", "elink", code=1).err


def test_a_redacted_record_is_exported_where_the_standard_has_a_word_for_that(new_lab, tmp_path):
    lab = new_lab("ornl")
    path = write_places(tmp_path / "trial.nc", [10.0, 20.0])
    changes = {**RECORD, **TIER, "tier": "controlled", "exposure": "redacted", "markings": []}
    lab.run("register", write_record(tmp_path / "trial.yaml", [path], name="trial", **changes))
    ann = token(lab, "ann")
    lab.start()
    address = "/api/v1/datasets/ornl/trial/export"
    validate_xml(call(lab, "GET", f"{address}/datacite", ann).text)
    validate_datacite(call(lab, "GET", f"{address}/datacite-json", ann).json())
    validate_dcat(call(lab, "GET", f"{address}/dcat-us", ann).json())
    for form in ("datacite", "oai_dc", "oai_datacite", "dcat-us"):
        answer = call(lab, "GET", f"{address}/{form}", ann)
        assert answer.status_code == 200 and "(:unal)" in answer.text and "Curie" not in answer.text
    for form in ("schema.org", "croissant", "ro-crate", "stac", "elink"):
        answer = call(lab, "GET", f"{address}/{form}", ann)
        assert answer.status_code == 403 and answer.json()["code"] == "permission_denied", form
        assert "Curie" not in answer.text
    page = call(lab, "GET", "/datasets/ornl/trial", ann)
    assert page.status_code == 200 and "ld+json" not in page.text and "croissant" not in page.headers["link"]
    # The owner sees it whole, and E-Link is told no limitation that is not true.
    assert "markings" in lab.run("export", "trial", "--as", "elink", code=5).err


def test_everything_wrong_is_told_at_once_whatever_is_wrong_besides(new_lab, tmp_path):
    lab = new_lab("ornl")
    path = write_places(tmp_path / "a.nc", [10.0, 20.0])
    record = {**COMPLETE, **RECORD, "name": "a", "files": [str(path)]}

    def told(code=5, **changes):
        target = tmp_path / "wrong.yaml"
        target.write_text(yaml.safe_dump({**record, **changes}))
        done = lab.run("register", target, "--dry-run", "--json", code=code)
        value = json.loads(done.out or done.err)
        return {violation["pointer"] for violation in value.get("error", value)["violations"]}

    wrong = {"title": "ab", "license": "no-such", "issued": "soon", "description": "short"}
    pointers = {f"/{name}" for name in wrong}
    assert told(**wrong) == pointers
    assert told(**wrong, titel="x") == {*pointers, "/titel"}
    assert told(**wrong, titel="x", tier="open", language=7) == {*pointers, "/titel", "/tier", "/language"}
    gone = [str(path), "gone.nc", "lost.nc"]
    assert told(**wrong, files=gone) == {*pointers, "/files/1", "/files/2"}
    assert told(**wrong, titel="x", files=gone) == {*pointers, "/titel", "/files/1", "/files/2"}
    # A file that is not there, and nothing else: what is not found.
    assert told(code=4, files=gone) == {"/files/1", "/files/2"}


def test_numbers_in_attributes_are_compared_with_the_coordinates(new_lab, tmp_path):
    lab = new_lab("ornl")
    attributes = {
        "title": "Places of a test", "summary": "A grid", "keywords": "test", "license": "CC-BY-4.0",
        "creator_name": "Ada", "institution": "ORNL", "source": "a formula", "date_created": "2026-11-22",
        "geospatial_lat_min": 0.0, "geospatial_lat_max": 10.0, "geospatial_lon_min": 10, "geospatial_lon_max": 20.0,
    }  # fmt: skip

    def told(**changes):
        path = write_places(tmp_path / "a.nc", [10.0, 20.0], **{**attributes, **changes})
        record = write_record(tmp_path / "a.yaml", [path], name="a", profiles=["cf-acdd"], **RECORD)
        done = lab.run("register", record, "--dry-run", "--json", code=None)
        violations = json.loads(done.out)["violations"]
        return {one["pointer"].rpartition("/")[2] for one in violations if one["rule"] == "acdd.extent"}

    assert told() == set()
    assert told(geospatial_lat_max=27.0) == {"geospatial_lat_max"}
    assert told(geospatial_lat_max="27.0") == {"geospatial_lat_max"}
    assert told(geospatial_lon_min=370.0) == set(), "by any turn"
    assert told(geospatial_lon_max=25.0) == {"geospatial_lon_max"}


def test_invalid_coordinates_that_a_file_declares_so_place_nothing(new_lab, tmp_path):
    lab = new_lab("ornl")
    path = tmp_path / "ship.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.Conventions = "CF-1.8"
        file.createDimension("time", 4)
        for name, units, values in (
            ("lat", "degree_N", [-9999.0, 1.0, 2.5, -9999.0]),
            ("lon", "degree_E", [-9999.0, 11.0, 12.5, -9999.0]),
        ):
            place = file.createVariable(name, "f4", ("time",))
            place.units, place.valid_min, place.valid_max = units, numpy.float32(-180), numpy.float32(180)
            place[:] = values
        wind = file.createVariable("wdir", "f4", ("time",))
        wind.standard_name, wind.units = "wind_from_direction", "deg"
        wind[:] = 90
        scan = file.createVariable("x", "f4", ("time",))
        scan.standard_name, scan.units = "projection_x_coordinate", "rad"
        scan[:] = [0.1, 0.2, 0.3, 0.4]
    with netCDF4.Dataset(path) as file:
        sides = [float(side(file[name][:])) for side in (numpy.min, numpy.max) for name in ("lon", "lat")]
    lab.run("register", write_record(tmp_path / "ship.yaml", [path], name="ship", **RECORD))
    shown = json.loads(lab.run("show", "ship", "--json").out)
    assert shown["extent"]["bounding_box"] == sides
    # What is served is what is stored.
    query = f"SELECT count(*) AS n FROM read_netcdf('{path}') WHERE lat < -90"
    assert lab.run("sql", query, "--format", "csv").out.split() == ["n", "2"]


def test_a_nexus_file_says_title_instrument_and_times(new_lab):
    folder = Path(os.environ.get("TARN_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "nexus" / "chopper.nxs"
    if not path.exists():
        assert os.environ.get("CI") != "true", f"CI runs without {path}"
        return
    lab = new_lab("anl")
    page = lab.run("record", "new", path).out
    record = yaml.safe_load(page)
    # As h5py prints them: entry/title, entry/instrument/name, entry/start_time, entry/end_time.
    assert record["title"] == "MgB2 PDOS 43.37g 8K 120meV E0@240Hz T0@120Hz"
    assert record["provenance"]["instrument"] == "LRMECS"
    assert "2001-02-07" in page and "2001-02-09" in page
    assert not record.get("creators") and "TYPE who made the data" in page


def test_a_misspelt_standard_name_is_answered_with_the_closest(new_lab):
    lab = new_lab("ornl")
    said = lab.run("search", "--filter", "standard_name=air_temprature").err
    assert "did you mean air_temperature?" in said
    assert "did you mean" not in lab.run("search", "--filter", "standard_name=air_temperature").err
