#!/usr/bin/env python3
"""Tarn beside xarray, netCDF4 and h5py: three questions on one compressed file.

    benches/run.py [--cells MILLIONS] [--repeat N]        (make bench; TARN_BIN names the binary)

Every engine runs each question in a process of its own, in turn, and prints its answer; the answers
must agree or the figures are void (exit status 1). Processes are measured from start to end, with
the import of the libraries, because that is what a person waits for; `cpu` is user + system time of
all threads, `rss` the peak. On a shared machine the ratios and `cpu` mean something, `wall` little.

Writes benches/results/<date>.json and prints a table.
"""

import argparse
import datetime
import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import engines  # noqa: E402
from measure import measured  # noqa: E402


def commands(binary, path, question):
    """The command line of each engine for one question."""
    python = [sys.executable, str(HERE / "engines.py")]
    query = engines.sql(question, path)
    return {
        "tarn": [str(binary), "sql", query, "--format", "json", "--quiet"],
        **{name: [*python, name, question, str(path)] for name in engines.ENGINES},
    }


def answer_of(engine, text):
    """The numbers an engine printed."""
    if engine == "tarn":
        row = json.loads(text)["rows"]
        return engines.reduce_rows([list(one.values()) for one in row])
    return json.loads(text)


def agree(one, other):
    """Whether two answers are the same; sums run in another order, so 1e-6."""
    return len(one) == len(other) and all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(one, other))


def run(binary, path, repeat):
    """One record for each question and engine, best of `repeat` turns."""
    records, right = [], True
    for question in engines.QUESTIONS:
        best, answers = {}, {}
        for _ in range(repeat):
            for engine, command in commands(binary, path, question).items():
                result = measured(command)
                if result["code"]:
                    sys.exit(f"{engine} failed on {question}:\n{result['err']}")
                answers[engine] = answer_of(engine, result["out"])
                if engine not in best or result["wall"] < best[engine]["wall"]:
                    best[engine] = result
        truth = answers["netcdf4"]
        for engine, result in best.items():
            same = agree(answers[engine], truth)
            right &= same
            records.append(
                {
                    "question": question,
                    "engine": engine,
                    "wall_s": round(result["wall"], 3),
                    "cpu_s": round(result["cpu"], 3),
                    "rss_mb": round(result["rss"] / 1e6),
                    "wall_ratio": round(result["wall"] / best["tarn"]["wall"], 2),
                    "cpu_ratio": round(result["cpu"] / best["tarn"]["cpu"], 2),
                    "answer": answers[engine],
                    "agrees": same,
                }
            )
    return records, right


def table(records):
    """The records as text; ratios above 1: Tarn is that much quicker."""
    lines = [
        f"{'question':10} {'engine':10} {'wall s':>8} {'cpu s':>8} {'rss MB':>7} {'wall ×':>7} {'cpu ×':>7}  answers"
    ]
    for r in records:
        verdict = "agree" if r["agrees"] else "DIFFER"
        lines.append(
            f"{r['question']:10} {r['engine']:10} {r['wall_s']:8.3f} {r['cpu_s']:8.3f} {r['rss_mb']:7d} "
            f"{r['wall_ratio']:7.2f} {r['cpu_ratio']:7.2f}  {verdict}"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=float, default=50, help="millions of cells")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    binary = os.environ.get("TARN_BIN")
    if not binary or not Path(binary).exists():
        sys.exit("TARN_BIN names no binary; use make bench")
    # In a process of its own: the peak memory of a child is never below what its parent held.
    made = subprocess.run(
        [sys.executable, HERE / "grid.py", HERE / "data", str(args.cells)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    path = Path(made.stdout.strip())
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass
    records, right = run(binary, path, args.repeat)
    now = datetime.datetime.now(datetime.UTC)
    result = {
        "at": now.isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "binary": binary,
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "cells": int(args.cells * 1e6),
        "repeat": args.repeat,
        "versions": engines.versions(),
        "records": records,
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    out = results / f"arrays-{now:%Y%m%d-%H%M%S}.json"
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = table(records)
    (results / "arrays.txt").write_text(
        f"{path.name}, {result['file_mb']} MB, {args.cells:g} M cells; {result['cores']} cores, load {result['load']:.1f}\n{text}\n",
        encoding="utf-8",
    )
    print(text)
    print(f"written to {out.relative_to(HERE.parent)}")
    if not right:
        sys.exit("the answers differ: the figures are void")


if __name__ == "__main__":
    main()
