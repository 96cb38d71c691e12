"""Records that satisfy the profile, and ways to break them."""

from pathlib import Path

import yaml

COMPLETE = {
    "name": "data",
    "title": "Random fields for the end-to-end tests",
    "description": "Fields of random numbers on a regular grid, written by the end-to-end tests of Tarn with netCDF4 "
    "and h5py. They mean nothing, and are good for comparing what two programs read from one file.",
    "creators": [{"name": "Tarn end-to-end tests"}],
    "publisher": {"name": "Tarn end-to-end tests"},
    "contact": {"name": "Tarn", "email": "tests@tarn.example"},
    "steward": {"name": "Tarn", "email": "tests@tarn.example"},
    "issued": "2026-11-22",
    "license": "CC0-1.0",
    "keywords": ["random", "test"],
    "tier": "public",
    "provenance": {"activity": "random numbers", "software": "NumPy"},
}


def write_record(path, files, **changes):
    """Writes a record; a change to None leaves the field out."""
    record = {**COMPLETE, "files": [str(Path(file)) for file in files], **changes}
    record = {key: value for key, value in record.items() if value is not None}
    Path(path).write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    return Path(path)
