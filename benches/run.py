#!/usr/bin/env python3
"""Tarn beside xarray, netCDF4, h5py and beacondb: the same questions on the same files, in one run.

    benches/run.py [--cells MILLIONS] [--repeat N] [--only FILE[,FILE]]
                                          (make bench; TARN_BIN and TARN_SCAN name the binaries)

Every engine answers each question in a process of its own, in turn; the answers must agree or the
figures are void (exit status 1). Peers are measured inside their process, warm and without their import:
the best of three turns. `warm` is Tarn measured in the same way, the statement in a process that has
answered it before; ratios and bars are against it. `tarn` is the process `tarn sql` from its start to
its end, for whoever asks one question; `count(*)` is held against that. `scan` is the reader alone
(formats/examples/scan.rs: every chunk decoded into Arrow on two threads), and `limit` the same chunks by
a bare loop of libdeflate and AVX2.

`bar` is what the issue asks for: so many times the peer's speed. It is held against `wall`; on a
machine that does other things at the same time only `cpu` means something. Where it is allowed,
`chrt -f 10 benches/run.py` keeps other work away from all engines alike.

Writes benches/results/<date>.json and prints a table.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import engines  # noqa: E402
from measure import measured  # noqa: E402

# File, question, and for each peer the bar.
PLAN = [
    ("grid", "scan", {"xarray": 4.5, "h5py": 4.0, "netcdf4": None, "limit": 0.9}),
    ("grid", "whole", {"xarray": 7.0, "h5py": 4.5, "beacondb": None}),
    ("grid", "by_lat", {"xarray": 6.0, "h5py": None, "beacondb": 5.0}),
    ("grid", "box", {"xarray": 1.0, "h5py": None, "beacondb": 8.0}),
    ("grid", "series", {"xarray": None, "h5py": None, "beacondb": None}),
    ("grid", "count", {"xarray": None, "beacondb": None}),
    ("packed", "scan", {"xarray": 4.5, "h5py": None}),
    ("packed", "whole", {"xarray": 7.0, "h5py": None, "beacondb": None}),
    ("packed", "by_lat", {"xarray": 6.0, "beacondb": 5.0}),
    ("small", "whole", {"xarray": None, "h5py": None}),
    ("plain", "scan", {"xarray": None, "h5py": None}),
    ("cdf5", "scan", {"netcdf4": 4.0}),
    ("cdf5", "whole", {"netcdf4": None, "xarray": None}),
    ("bslz4", "scan", {"h5py": 2.5}),
    ("zstd", "scan", {"h5py": 2.5}),
    ("days", "by_lat", {"beacondb": 3.0, "xarray": None}),
]
COUNT_SECONDS = 0.020
SCAN_BYTES = 300e6


def agree(one, other):
    """Whether two answers are the same; sums run in another order, packed values in another type."""
    return len(one) == len(other) and all(math.isclose(a, b, rel_tol=2e-6, abs_tol=1e-9) for a, b in zip(one, other))


def ours(question, path):
    """Tarn's answer and what it took."""
    if question == "scan":
        return scan(path, "--decode")
    command = [os.environ["TARN_BIN"], "sql", engines.sql(question, path), "--format", "json", "--quiet"]
    result = measured(command)
    if result["code"]:
        return {"error": result["err"].strip()[-300:]}
    rows = [list(row.values()) for row in json.loads(result["out"])["rows"]]
    return {"answer": engines.reduce_rows(rows), **{name: result[name] for name in ("wall", "cpu", "rss")}}


def warm(question, path):
    """Tarn's answer in one process that answers several times: the best of its later turns."""
    statement = f"{engines.sql(question, path)};\n".encode()
    command = [os.environ["TARN_BIN"], "sql", "--format", "json", "--quiet"]
    turns = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for _ in range(1 + engines.RUNS):
            began, before = time.perf_counter(), running(process.pid)
            process.stdin.write(statement)
            process.stdin.flush()
            text = b""
            # The last line of an answer says which labs gave it.
            while b'"sites":' not in text:
                line = process.stdout.readline()
                if not line:
                    return {"error": f"it ended with {process.wait()}"}
                text += line
            turn = {"wall": time.perf_counter() - began, "cpu": running(process.pid) - before}
            rows = [list(row.values()) for row in json.loads(text)["rows"]]
            turns.append({"answer": engines.reduce_rows(rows), **turn})
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        process.stdin.close()
    rss = 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1))
    return {**best(turns[1:]), "rss": rss}


def running(pid):
    """Seconds that the threads of a process have been running."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="utf-8").split()[0]) for task in tasks) / 1e9


def scan(path, flag):
    """Every chunk through the reader, or through the bare loop."""
    result = measured([os.environ["TARN_SCAN"], str(path), "t2m", "2", flag])
    if result["code"]:
        return {"error": result["err"].strip()[-300:]}
    wall = re.search(r"wall ([0-9.]+) s", result["out"])
    cpu = re.search(r"cpu ([0-9.]+) s", result["out"])
    total = re.search(r"sum (-?[0-9.]+)", result["out"])
    answer = [float(total.group(1))] if total else None
    return {"answer": answer, "wall": float(wall.group(1)), "cpu": float(cpu.group(1)), "rss": result["rss"]}


def theirs(engine, question, path, pythons):
    """A peer's answer and what it took."""
    if engine == "limit":
        return scan(path, "--limit-loop")
    result = measured([pythons[engine], str(HERE / "engines.py"), engine, question, str(path)])
    if result["code"]:
        return {"error": result["err"].strip()[-300:]}
    return {**json.loads(result["out"].splitlines()[-1]), "rss": result["rss"]}


def best(turns):
    """The quickest of several turns; an error if there was none."""
    right = [turn for turn in turns if "error" not in turn]
    return min(right, key=lambda turn: turn["wall"]) if right else turns[0]


def run(path, kind, question, bars, pythons, repeat):
    """One record for each engine."""
    own = {"tarn": ours} if question == "scan" else {"tarn": ours, "warm": warm}
    turns = {engine: [] for engine in (*own, *bars)}
    for _ in range(repeat):
        for engine, results in turns.items():
            known = engine in own or engine == "limit" or engine in pythons
            if known and not (results and "error" in results[0]):
                asked = own[engine](question, path) if engine in own else theirs(engine, question, path, pythons)
                results.append(asked)
    tarn = best(turns["warm" if "warm" in turns else "tarn"])
    if "error" in tarn:
        sys.exit(f"tarn failed on {kind} {question}: {tarn['error']}")
    for engine, results in turns.items():
        result = best(results) if results else {"error": "not installed"}
        record = {"file": kind, "question": question, "engine": engine, "bar": bars.get(engine), **result}
        if "error" not in result:
            record |= {"wall_ratio": result["wall"] / tarn["wall"], "cpu_ratio": result["cpu"] / tarn["cpu"]}
            answer = result["answer"]
            record["agrees"] = answer is None or agree(answer, tarn["answer"])
        yield record


def verdict(record):
    """Whether a record passes its bar."""
    if "error" in record:
        return "FAILED: " + " ".join(record["error"].split())[-60:]
    if not record["agrees"]:
        return "DIFFERS"
    if record["engine"] == "tarn":
        if record["question"] == "count":
            return "pass" if record["wall"] < COUNT_SECONDS else f"MISSES {COUNT_SECONDS} s"
        if record["question"] == "scan" and record["file"] == "grid":
            return "pass" if record["rss"] < SCAN_BYTES else "MISSES 300 MB"
        return ""
    if record["bar"] is None or record["engine"] == "warm":
        return "agrees"
    return "pass" if record["wall_ratio"] >= record["bar"] else "MISSES"


def table(records):
    """The records as text; ratios above 1: Tarn is that much quicker."""
    lines = [f"{'file':7} {'question':9} {'engine':9} {'wall s':>8} {'cpu s':>8} {'rss MB':>7} {'wall ×':>7} {'cpu ×':>7} {'bar':>5}"]
    for r in records:
        row = f"{r['file']:7} {r['question']:9} {r['engine']:9} "
        if "error" in r:
            row += f"{'':40} "
        else:
            row += f"{r['wall']:8.3f} {r['cpu']:8.3f} {r['rss'] / 1e6:7.0f} {r['wall_ratio']:7.2f} {r['cpu_ratio']:7.2f} "
        bar = "" if r["bar"] is None else f"{r['bar']:g}"
        lines.append(f"{row}{bar:>5}  {verdict(r)}")
    return "\n".join(lines)


def interpreters():
    """The Python of each peer. beacondb is AGPL and has one of its own, if it could be installed."""
    pythons = {name: sys.executable for name in ("xarray", "netcdf4", "h5py")}
    rival = os.environ.get("TARN_BEACON_PYTHON", "")
    if rival and Path(rival).exists():
        pythons["beacondb"] = rival
    return pythons


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=float, default=126, help="millions of cells (126: 500 MB of float32)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", help="kinds of files, with commas between")
    args = parser.parse_args()
    for name in ("TARN_BIN", "TARN_SCAN"):
        if not Path(os.environ.get(name, "")).is_file():
            sys.exit(f"{name} names no binary; use make bench")
    only = args.only.split(",") if args.only else [kind for kind, _, _ in PLAN]
    pythons, records, paths = interpreters(), [], {}
    for kind, question, bars in PLAN:
        if kind not in only:
            continue
        if kind not in paths:
            # In a process of its own: the peak memory of a child is never below what its parent held.
            making = [sys.executable, HERE / "files.py", kind, HERE / "data", str(args.cells)]
            made = subprocess.run(making, stdout=subprocess.PIPE, text=True, check=True)
            paths[kind] = Path(made.stdout.strip())
            for file in sorted(paths[kind].parent.glob(paths[kind].name)):
                with open(file, "rb") as bytes_of:
                    while bytes_of.read(1 << 24):
                        pass
        for record in run(paths[kind], kind, question, bars, pythons, args.repeat):
            records.append(record)
            print(table([record]).splitlines()[1], flush=True)
    now = datetime.datetime.now(datetime.UTC)
    names = ("numpy", "h5py", "netCDF4", "xarray")
    result = {
        "at": now.isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "cells": int(args.cells * 1e6),
        "repeat": args.repeat,
        "versions": {name: importlib.metadata.version(name) for name in names},
        "records": records,
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    out = results / f"arrays-{now:%Y%m%d-%H%M%S}.json"
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    head = f"{args.cells:g} M cells; {result['cores']} cores, load {result['load']:.1f}"
    note = "tarn: a process from start to end; warm and the libraries: in a process that has run before"
    text = f"{head}\n{note}\n{table(records)}\n"
    (results / "arrays.txt").write_text(text, encoding="utf-8")
    print(text, f"written to {out.relative_to(HERE.parent)}", sep="")
    if any("error" not in record and not record["agrees"] for record in records):
        sys.exit("answers differ: the figures are void")


if __name__ == "__main__":
    main()
