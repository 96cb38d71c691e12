"""The HTTP API does what its description says, whatever it is asked: by schemathesis, as four kinds of callers."""

import subprocess
import sys
from pathlib import Path

import pytest
from fields import random_netcdf
from records import write_record

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def lab(module_lab, tmp_path_factory):
    """A lab with a dataset, its table in place, and a draft."""
    folder = tmp_path_factory.mktemp("api")
    lab = module_lab("ornl")
    path = random_netcdf(folder / "x.nc", 5, "NETCDF4", "noleap")
    lab.run("register", write_record(folder / "sst.yaml", [path], name="sst"))
    lab.run("ingest", path, "--dataset", "sst", "--in-place")
    lab.start()
    return lab


@pytest.mark.parametrize("scope", [None, "read", "write", "admin"])
def test_no_answer_is_undeclared(lab, scope, tmp_path):
    headers = []
    if scope:
        text = lab.run("token", "create", "--name", scope, "--scope", scope, "--quiet").out.strip()
        headers = ["-H", f"Authorization: Bearer {text}"]
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{lab.http_url}/api/v1/openapi.json"]
    command += ["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "8"]
    command += ["--seed", "7", "--request-timeout", "60", "--no-color", "--suppress-health-check", "all", *headers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert lab.run("audit", "verify").code == 0
