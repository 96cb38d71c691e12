"""Fixtures of the end-to-end tests: the real binary, real homes, real servers."""

import os
from pathlib import Path

import pytest
from records import write_record
from story.labs import Lab, Tarn

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def binary():
    """The binary under test: TARN_BIN, as scripts/pytest.sh sets it."""
    path = Path(os.environ.get("TARN_BIN", ""))
    if not path.is_file():
        pytest.fail("TARN_BIN names no binary; run the tests with scripts/pytest.sh")
    return path.resolve()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of shared test data, or None on a plain clone; in CI it must be there."""
    folder = Path(os.environ.get("TARN_TEST_DATA") or ROOT.parent / "shared" / "data")
    if (folder / "MANIFEST.json").exists():
        return folder
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI runs without the shared test data: no {folder}")
    return None


@pytest.fixture
def tarn(binary, tmp_path):
    """The binary without a home: HOME is an empty folder."""
    return Tarn(binary, env={"HOME": str(tmp_path)})


@pytest.fixture
def new_lab(binary, tmp_path):
    """Makes labs (`new_lab("ornl")`, `start=True` with a server); all are stopped at the end."""
    yield from labs_in(binary, tmp_path)


@pytest.fixture(scope="module")
def module_lab(binary, tmp_path_factory):
    """As new_lab, for labs that the tests of a module share."""
    yield from labs_in(binary, tmp_path_factory.mktemp("labs"))


def labs_in(binary, folder):
    """The factory behind both fixtures."""
    made = []

    def make(name, start=False, settings="", env=None):
        lab = Lab(binary, name, folder, env)
        lab.init(settings)
        made.append(lab)
        if start:
            lab.start()
        return lab

    yield make
    for lab in made:
        lab.stop()


@pytest.fixture
def lab_with(new_lab, tmp_path):
    """Makes a lab whose dataset `data` is registered over files."""

    def make(files, name="ornl", start=False, **changes):
        lab = new_lab(name, start=start)
        lab.run("register", write_record(tmp_path / f"{name}.yaml", files, **changes))
        return lab

    return make
