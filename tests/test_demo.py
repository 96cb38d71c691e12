"""`demo/run`: every answer right, and nothing left behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "demo" / "run"


def servers(binary):
    """Processes that run the binary under test."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] == os.fsencode(binary) and b"serve" in words:
                found.append((int(entry.name), words))
    return found


def environment(binary, folder):
    """The demo's environment, with temporary files where the test can see them."""
    return {**os.environ, "TARN_BIN": str(binary), "TMPDIR": str(folder)}


def test_the_demo_gives_the_expected_answers_within_three_minutes(binary, tmp_path):
    began = time.perf_counter()
    done = subprocess.run(
        [DEMO], capture_output=True, text=True, timeout=600, env=environment(binary, tmp_path), check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "✗" not in done.stdout
    assert time.perf_counter() - began < 180
    assert not list(tmp_path.iterdir()), "the demo leaves files behind"
    assert not [words for _, words in servers(binary) if os.fsencode(tmp_path) in b" ".join(words)]


def test_the_demo_stops_its_labs_when_it_is_interrupted(binary, tmp_path):
    process = subprocess.Popen(
        [DEMO], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(binary, tmp_path)
    )
    mine = lambda: [words for _, words in servers(binary) if os.fsencode(tmp_path) in b" ".join(words)]  # noqa: E731
    until = time.monotonic() + 60
    while not mine() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    assert mine(), "no lab was started"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert not mine()
    assert not list(tmp_path.iterdir())


def test_the_demo_names_a_binary_that_is_not_there():
    done = subprocess.run(
        [DEMO], capture_output=True, text=True, timeout=30, env={**os.environ, "TARN_BIN": "/nowhere/tarn"}, check=False
    )
    assert done.returncode == 1
    assert "/nowhere/tarn" in done.stderr
