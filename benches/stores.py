#!/usr/bin/env python3
"""What files of a store cost: requests, bytes and seconds, over HTTP with a delay for each request.

    benches/stores.py [--delay MS] [--cells MILLIONS]        (TARN_BIN names the binary)

The file of benches/run.py is served by a web server that answers ranges after a delay and counts
them. Answers must be those of the local file, or the figures are void (exit status 1). Writes
benches/results/stores.txt.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from web import web_server  # noqa: E402

QUESTIONS = {
    "open": "SELECT count(*) AS n FROM read_netcdf('{}')",
    "one cell in time": "SELECT time, t2m FROM read_netcdf('{}') WHERE lat = 45 AND lon = 90 ORDER BY time",
    "one time": "SELECT count(t2m) AS n, sum(CAST(t2m AS DOUBLE)) AS s FROM read_netcdf('{}') "
    "WHERE time = TIMESTAMP '2000-01-02T12:00:00'",
    "everything": "SELECT count(t2m) AS n, max(t2m) AS m FROM read_netcdf('{}')",
}


def ask(binary, query):
    """The rows of an answer, and the seconds it took."""
    start = time.monotonic()
    done = subprocess.run([binary, "sql", query, "--format", "json", "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{query}\n{done.stderr}")
    return json.loads(done.stdout)["rows"], time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--delay", type=float, default=20, help="milliseconds before each answer")
    parser.add_argument("--cells", type=float, default=20, help="millions of cells")
    args = parser.parse_args()
    binary = os.environ["TARN_BIN"]
    made = subprocess.run(
        [sys.executable, HERE / "files.py", "grid", HERE / "data", str(args.cells)], stdout=subprocess.PIPE, text=True, check=True
    )
    path = Path(made.stdout.strip())
    lines = [f"{path.name}, {path.stat().st_size} bytes, {args.delay:g} ms a request, load {os.getloadavg()[0]:.1f}"]
    lines.append(f"{'question':20} {'requests':>8} {'bytes':>12} {'seconds':>8} {'local':>8}")
    right = True
    with web_server(path.parent, args.delay / 1000) as web:
        for name, question in QUESTIONS.items():
            web.requests = web.bytes = 0
            remote, seconds = ask(binary, question.replace("{}", f"{web.url}/{path.name}"))
            local, local_seconds = ask(binary, question.replace("{}", str(path)))
            right &= remote == local
            lines.append(f"{name:20} {web.requests:8} {web.bytes:12} {seconds:8.2f} {local_seconds:8.2f}")
    text = "\n".join(lines) + "\n"
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "stores.txt").write_text(text, encoding="utf-8")
    print(text, end="")
    if not right:
        sys.exit("the answers differ: the figures are void")


if __name__ == "__main__":
    main()
