"""The types of the Python package hold, and reach those who use it."""

import subprocess
import sys

import pytest
from conftest import ROOT

USER = """
import tarn
lake = tarn.connect("grpc://127.0.0.1:8815")
stream = lake.stream("lab.name.table", batch_size=4)
reveal_type(stream.stats().rows)
lake.sql(7)
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What mypy remembers between the tests."""
    return tmp_path_factory.mktemp("mypy")


def mypy(cache, *arguments):
    """Exit code and output of mypy."""
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "python")
    return done.returncode, done.stdout + done.stderr


def test_the_package_is_typed_throughout(cache):
    code, out = mypy(cache)
    assert code == 0, out


def test_a_user_learns_of_wrong_types(cache, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(USER, encoding="utf-8")
    code, out = mypy(cache, "--config-file", "pyproject.toml", str(program))
    assert code == 1
    assert 'Revealed type is "int"' in out.replace("builtins.int", "int")
    assert 'Argument 1 to "sql" of "Lake" has incompatible type "int"; expected "str"' in out
