"""Datasets to export, and the published schemas to validate their exports by."""

import os
from pathlib import Path

import netCDF4
import numpy
from lxml import etree

ROOT = Path(__file__).resolve().parent.parent

HOSTILE = "</script><script>alert(1)</script> & \"quoted\" 'too' ]]> -- %0d%0a\r\nX-Evil: 1\n{{7*7}} مرحبا 𝕏 \u2028 end"

RECORD = {
    "title": "Sea surface temperature of a small test ocean, January to March 2020",
    "creators": [
        {
            "name": "Curie, Marie",
            "orcid": "0000-0002-1825-0097",
            "affiliation": {"name": "Oak Ridge National Laboratory", "ror": "https://ror.org/01qz5mb56"},
        },
        {"name": "Argonne National Laboratory", "ror": "05gvnxz63"},
    ],
    "publisher": {"name": "Oak Ridge National Laboratory", "ror": "01qz5mb56"},
    "license": "CC-BY-4.0",
    "keywords": ["sea surface temperature", "test"],
    "subjects": [
        {
            "term": "sea_surface_temperature",
            "scheme": "CF Standard Name Table",
            "uri": "http://vocab.nerc.ac.uk/collection/P07/current/CFSN0381/",
        }
    ],
    "markings": ["UNL"],
    "provenance": {
        "derived_from": ["https://doi.org/10.5281/zenodo.15045911"],
        "activity": "made by a formula",
        "software": "NumPy",
        "instrument": "none",
    },
    "funding": [
        {"funder": "US Department of Energy", "ror": "01bj3aw27", "contract": "DE-AC05-00OR22725"},
        {"funder": "Somebody", "award": "A-17"},
    ],
    "related": [
        {"relation": "IsCitedBy", "identifier": "https://doi.org/10.1000/182"},
        {"relation": "IsDocumentedBy", "identifier": "https://example.org/manual?a=b&c=<d>"},
        {"relation": "IsPartOf", "identifier": "ark:/12345/x"},
    ],
    "facility": {"name": "Test basin"},
    "proposal": "P-1",
}


def write_ocean(path):
    """A file of CF: three months, four latitudes, five longitudes; one value is missing. Gives the values."""
    with netCDF4.Dataset(path, "w") as file:
        file.Conventions = "CF-1.8"
        for name, length in (("time", 3), ("lat", 4), ("lon", 5)):
            file.createDimension(name, length)
        for name, units, values in (
            ("time", "days since 2020-01-01", [0, 31, 60]),
            ("lat", "degrees_north", [-30.0, -10.0, 10.0, 30.0]),
            ("lon", "degrees_east", [100.0, 110.0, 120.0, 130.0, 140.0]),
        ):
            axis = file.createVariable(name, "f8", (name,))
            axis.units, axis.standard_name = units, {"lat": "latitude", "lon": "longitude"}.get(name, name)
            axis[:] = values
        sst = file.createVariable("sst", "f4", ("time", "lat", "lon"), fill_value=-999.0)
        sst.units, sst.standard_name = "degC", "sea_surface_temperature"
        values = numpy.arange(60, dtype="f4").reshape(3, 4, 5) / 4
        values[1, 2, 3] = -999.0
        sst[:] = values
    return values


def shared_schemas():
    """The folder of published schemas, or None on a plain clone; in CI it must be there."""
    data = os.environ.get("TARN_TEST_DATA")
    folder = Path(data).parent / "schemas" if data else ROOT.parent / "shared" / "schemas"
    if (folder / "datacite-4.6" / "metadata.xsd").exists():
        return folder
    assert os.environ.get("CI") != "true", f"CI runs without the published schemas: no {folder}"
    print(f"left out: no published schemas at {folder}")
    return None


class Local(etree.Resolver):
    """Schemas that others import, from the folder."""

    def __init__(self, folder):
        self.folder = folder

    def resolve(self, url, _, context):
        for name in ("oai-pmh/simpledc20021212.xsd", "oai-pmh/oai_dc.xsd", "datacite-4.6/include/xml.xsd"):
            if url.endswith(name.rpartition("/")[2]):
                return self.resolve_filename(str(self.folder / name), context)
        return None
