"""The federated example: real Flower, two labs that do not know of each other."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from conftest import ROOT
from records import write_record
from story.labs import free_ports

EXAMPLES = ROOT / "python" / "examples"
LABS = {"ornl": "A1B", "llnl": "E1"}


@pytest.fixture(scope="module")
def flower():
    """An interpreter with Flower beside the packages of this one; made once a machine."""
    needed = (EXAMPLES / "requirements.txt").read_text(encoding="utf-8").splitlines()[-1]
    folder = Path(sys.prefix).parent / f"flower-{needed.replace('==', '-')}"
    python = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        venv.create(folder, with_pip=True)
        [own] = (folder / "lib").glob("python*/site-packages")
        others = [path for path in sys.path if path.endswith("site-packages")]
        (own / "others.pth").write_text("\n".join(others), encoding="utf-8")
        command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", needed]
        subprocess.run(command, check=True, timeout=600)
        done.touch()
    return python


def test_only_weights_leave_the_labs(flower, module_lab, tmp_path):
    [port] = free_ports(1)
    address = f"127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "FLWR_TELEMETRY_ENABLED": "0"}

    def start(*arguments):
        command = [flower, EXAMPLES / "federated.py", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(list(map(str, command)), text=True, env=environment, **pipes)

    running = [start("server", address, len(LABS))]
    try:
        for name, scenario in LABS.items():
            lab = module_lab(name, start=True)
            file = ROOT / "demo" / "data" / "llnl" / f"{scenario}_north_america.nc"
            lab.run("register", write_record(tmp_path / f"{name}.yaml", [file]))
            lab.run(
                "ingest", file, "--dataset", "data", "--table", "fields", "--grid", "time_latitude_longitude",
                "--layout", "tensors", "--in-place", "--column", "year=cf_year(time)", "--select", "year,air_temperature",
            )  # fmt: skip
            running.append(start("client", address, lab.flight_url, f"{name}.data.fields"))
        told = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0, 0], "\n".join(told)
    line = next(line for line in told[0].splitlines() if line.startswith("flower "))
    first, last = (float(word) for word in line.split(": loss ")[1].split(" in ")[0].split(" → "))
    assert last < first
    for (own, other), out in zip([("ornl", "llnl"), ("llnl", "ornl")], told[1:]):
        assert out.count(f"120 rows of {own}.data.fields") == 5, out
        assert f"{other}." not in out
