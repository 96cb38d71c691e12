"""Runs `postgres_jdbc.py` in a process of its own.

A process that has started Java's machine dies in libnetcdf, at once or files later: the tests that read files
with netCDF4 must not share one with it.
"""

import subprocess
import sys
from pathlib import Path

from conftest import ROOT

TESTS = Path(__file__).with_name("postgres_jdbc.py")


def test_the_jdbc_driver_of_postgresql(binary):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(TESTS)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 passed" in done.stdout, done.stdout
