"""`tarn record new`: what is left for the steward of a public file to type."""

import re

import pytest
import yaml

# What no file knows: everything else the files, the lab's defaults or the clock say.
TYPED = {
    "title": "Sea surface temperature of the test basin, daily means",
    "description": "Daily means of what the instruments of the test basin saw, gridded once and checked by hand. " * 2,
    "keywords": ["sea surface temperature"],
    "license": "CC-BY-4.0",
    "provenance": {"activity": "gridded from what the instruments of the basin saw"},
}
DEFAULTS = """[defaults]
publisher = { name = "Oak Ridge National Laboratory", ror = "https://ror.org/01qz5mb56" }
contact = { name = "Data desk", email = "desk@ornl.gov" }
"""
FILES = (
    "SOI_Darwin.nc",
    "atlantic_profiles.nc",
    "A1B_north_america.nc",
    "nemo_1m_20150101-20150201_grid-T.nc",
    "orca2_votemper.nc",
    "hybrid_height.nc",
    "toa_brightness_stereographic.nc",
    "cmip6/ta_Amon_CESM2_historical_r1i1p1f1_gn_185001-201412.nc",
)


def marked(text):
    """The fields that are marked TYPE."""
    fields, waits = set(), False
    for line in text.splitlines()[1:]:
        if field := re.match(r"# (\w+): TYPE", line):
            fields.add(field[1])
        elif line.startswith("# TYPE"):
            waits = True
        elif waits and (field := re.match(r"(\w+):", line)):
            fields.add(field[1])
            waits = False
    return fields


@pytest.mark.parametrize("name", FILES)
def test_of_a_public_file_a_steward_types_five_fields_at_most(new_lab, shared_data, tmp_path, name):
    lab = new_lab("ornl", settings=DEFAULTS)
    made = lab.run("record", "new", shared_data / "netcdf" / name, "--name", "basin", "--tier", "public").out
    fields = marked(made)
    assert fields <= set(TYPED), made
    record = yaml.safe_load(made)
    assert record["tier"] == "public" and record["creators"], made
    empty = {field for field in TYPED if not record.get(field)}
    record |= {field: TYPED[field] for field in fields | empty}
    path = tmp_path / "basin.yaml"
    path.write_text(yaml.safe_dump(record), encoding="utf-8")
    done = lab.run("register", path, "--json").json()
    assert (done["version"], done["created"]) == (1, True)


def test_a_tier_that_is_none_is_said_with_those_that_are(new_lab, shared_data):
    refused = new_lab("ornl").run("record", "new", shared_data / "netcdf" / FILES[0], "--tier", "open", code=2)
    assert "aggregates_only" in refused.err
