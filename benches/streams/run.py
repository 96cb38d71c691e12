#!/usr/bin/env python3
"""Streams of Tarn beside the loaders that people train with: the same samples, into torch, in one run.

    benches/streams/run.py [--samples 20000] [--shape 3x64x64] [--repeat 3] [--only NAME[,NAME]]       (make bench; TARN_BIN)

20,000 samples of float32 3x64x64 (0.98 GB; --samples 100000 --shape 512 for small ones) in a Delta table (ZSTD), as npy, HDF5 (a chunk a sample), MDS, WebDataset and
Lance. Every loader runs one epoch in a process of its own, in turn; peers with 0 and with 2 workers, of which the better counts. For
Tarn the processor time of the node is measured too, and the first epoch, which prepares, by itself. Files are in the page
cache. Peers are installed into ~/.cache/tarn/streams-venv; one that is not there is left out.

Writes benches/results/streams.json and prints a table. On a machine that does other things at the same time only ratios of one
run and CPU seconds mean anything.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("TARN_CACHE", Path.home() / ".cache" / "tarn"))
PEERS = ["npy, shuffled", "h5py, shuffled", "mosaic, shuffled", "webdataset, shuffled", "lancedb, shuffled"]
PLAIN = {"bare socket": "socket", "pyarrow from pyarrow, in order": "flight"}
OURS = ["tarn in Rust, in order", "tarn in Rust, shuffled", "tarn, in order", "tarn, shuffled", "pyarrow from tarn, in order", "pyarrow from tarn, shuffled"]
MAPPED = ["tarn mapped, in order", "tarn mapped, shuffled"]
BARE = ["memory sum", "memory gather"]
RECORD = """
name: data
title: Random samples for the benchmark of streams
description: Samples of random numbers of float32, written by the benchmark of streams; they mean nothing, and are good for
  comparing how fast several loaders read the same numbers into the same batches.
creators: [{name: Benchmark of streams}]
publisher: {name: Benchmark of streams}
contact: {name: Tarn, email: bench@tarn.example}
steward: {name: Tarn, email: bench@tarn.example}
issued: "2026-11-22"
license: CC0-1.0
keywords: [random, test]
tier: public
provenance: {activity: random numbers, software: NumPy}
"""


def blocks(data, rows=1000):
    array = np.load(data / "x.npy", mmap_mode="r")
    for first in range(0, len(array), rows):
        yield first, np.array(array[first : first + rows])


def make_npy(data, samples, shape):
    import h5py

    rng = np.random.default_rng(0)
    out = np.lib.format.open_memmap(data / "x.npy.new", "w+", "f4", (samples, *shape))
    with h5py.File(data / "x.h5", "w") as file:
        dataset = file.create_dataset("x", out.shape, "f4", chunks=(1, *shape))
        for first in range(0, samples, 500):
            part = rng.standard_normal((min(500, samples - first), *shape), "f4")
            out[first : first + 500] = dataset[first : first + 500] = part
    os.replace(data / "x.npy.new", data / "x.npy")


def make_mds(data):
    from streaming import MDSWriter

    shape = ",".join(map(str, np.load(data / "x.npy", mmap_mode="r").shape[1:]))
    with MDSWriter(out=str(data / "mds"), columns={"x": f"ndarray:float32:{shape}"}, size_limit=1 << 26) as out:
        for _, part in blocks(data):
            for sample in part:
                out.write({"x": sample})


def make_wds(data):
    (data / "wds").mkdir()
    for first, part in blocks(data):
        with tarfile.open(data / "wds" / f"{first:06d}.tar", "w") as out:
            for number, sample in enumerate(part, first):
                text = BytesIO()
                np.save(text, sample)
                entry = tarfile.TarInfo(f"{number:08d}.npy")
                entry.size = text.tell()
                text.seek(0)
                out.addfile(entry, text)


def make_lancedb(data):
    import lancedb
    import pyarrow as pa

    kind = pa.list_(pa.float32(), np.load(data / "x.npy", mmap_mode="r")[0].size)
    schema = pa.schema([pa.field("x", kind)])

    def batches():
        for _, part in blocks(data):
            yield pa.record_batch([pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), type=kind)], schema)

    lancedb.connect(str(data / "lancedb")).create_table("x", batches(), schema=schema)


MAKERS = {"mds": make_mds, "wds": make_wds, "lancedb": make_lancedb}


def environment():
    hub = CACHE / "streams-venv" / "hub"
    # mosaicml-streaming does not run with huggingface_hub 1 or later.
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(hub)])}


class Node:
    """A node with the samples in a Delta table."""

    def __init__(self, data):
        self.binary, self.home = os.environ["TARN_BIN"], data / "home"
        ports = []
        for _ in range(2):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports.append(free.getsockname()[1])
        self.http, self.flight = (f"127.0.0.1:{port}" for port in ports)
        self.environment = {**os.environ, "TARN_HTTP": self.http, "TARN_FLIGHT": self.flight, "TARN_HOME": str(self.home)}
        if not (self.home / "done").exists():
            shutil.rmtree(self.home, ignore_errors=True)
            self.run("init", "--lab", "bench")
            record = data / "record.yaml"
            record.write_text(RECORD + f"files: [{data / 'x.h5'}]\n")
            self.run("register", record)
            self.run("ingest", data / "x.h5", "--dataset", "data", "--table", "samples", "--layout", "tensors")
            (self.home / "done").touch()
        shutil.rmtree(self.home / "prepared", ignore_errors=True)
        with open(data / "node.log", "ab") as log:
            self.process = subprocess.Popen([self.binary, "serve"], env=self.environment, stdout=log, stderr=log)
        for _ in range(600):
            time.sleep(0.1)
            try:
                with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=2):
                    return
            except OSError:
                continue
        sys.exit("the node did not start: see node.log")

    def run(self, *command):
        subprocess.run([self.binary, *map(str, command)], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        fields = dict(line.split(":") for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(fields["RssAnon"].split()[0]) >> 10

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Peer:
    """A server of `servers.py`, begun when it is first needed: it has all samples in memory."""

    def __init__(self, data, kind):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "servers.py", kind, str(data / "x.npy")], stdout=subprocess.PIPE, text=True, env=environment()
        )
        port = self.process.stdout.readline().strip()
        self.place = port if kind == "socket" else f"grpc://127.0.0.1:{port}"

    def stop(self):
        self.process.terminate()
        self.process.wait()


def epoch(name, data, node, workers=0, number=0):
    """One epoch; None where the loader cannot run here."""
    command = [sys.executable, HERE / "loaders.py", name, "--data", data, "--workers", str(workers)]
    command += ["--url", f"grpc://{node.flight}", "--epoch", str(number)]
    peer = Peer(data, PLAIN[name]) if name in PLAIN else None
    command += ["--peer", peer.place] if peer else []
    before = node.cpu()
    done = subprocess.run(list(map(str, command)), env=environment(), capture_output=True, text=True)
    if peer:
        peer.stop()
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "workers": workers, "server_cpu": node.cpu() - before, "server_anonymous_mib": node.memory()}


def middle(results):
    """The run whose rate is in the middle."""
    ordered = sorted(results, key=lambda result: result["samples_per_second"])
    rates = [result["samples_per_second"] for result in ordered]
    return {**ordered[len(ordered) // 2], "rates": rates}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--shape", default="3x64x64")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    chosen = [name for name in arguments.only.split(",") if name]
    shape = tuple(map(int, arguments.shape.split("x")))
    data = CACHE / "streams-bench" / f"{arguments.samples}x{arguments.shape}"
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "x.npy").exists():
        make_npy(data, arguments.samples, shape)
    for folder, make in MAKERS.items():
        if not (data / folder).exists():
            try:
                make(data)
            except Exception as error:  # a peer that is not installed is left out, whatever it says
                print(f"{folder} is left out: {error}", file=sys.stderr)
                shutil.rmtree(data / folder, ignore_errors=True)
    gigabytes = arguments.samples * int(np.prod(shape)) * 4 / 1e9
    node, results = Node(data), {}

    def wanted(name):
        return not chosen or any(part in name for part in chosen)

    try:
        first = epoch("tarn, shuffled", data, node, number=1000)
        if first:
            results["tarn, shuffled, first epoch"] = middle([first])
        time.sleep(2)
        turns = {}
        for turn in range(arguments.repeat):
            for name in filter(wanted, BARE + list(PLAIN) + MAPPED + OURS + PEERS):
                for workers in (0, 2) if name in PEERS and name != "lancedb, shuffled" else (0,):
                    if result := epoch(name, data, node, workers, turn):
                        turns.setdefault((name, workers), []).append(result)
        for (name, _), found in turns.items():
            best = middle(found)
            if name not in results or best["samples_per_second"] > results[name]["samples_per_second"]:
                results[name] = best
    finally:
        node.stop()
    print(f"{'loader':32}{'samples/s':>12}{'GB/s':>8}{'first s':>9}{'client CPU s/GB':>17}{'node CPU s/GB':>15}")
    for name, result in results.items():
        rate = result["samples_per_second"]
        server = f"{result['server_cpu'] / gigabytes:.2f}" if "tarn" in name else ""
        print(
            f"{name:32}{rate:12.0f}{rate * gigabytes / arguments.samples:8.2f}{result['first']:9.3f}"
            f"{result['cpu'] / gigabytes:17.2f}{server:>15}"
        )
    rate = {name: result["samples_per_second"] for name, result in results.items()}
    bars = [
        ("tarn, shuffled", "mosaic, shuffled", 5), ("tarn, shuffled", "webdataset, shuffled", 5),
        ("tarn, shuffled", "lancedb, shuffled", 2.5), ("tarn, shuffled", "h5py, shuffled", 2),
        ("tarn in Rust, in order", "bare socket", 0.7), ("pyarrow from tarn, in order", "pyarrow from pyarrow, in order", 1.3),
        ("tarn mapped, shuffled", "memory gather", 1 / 1.3), ("tarn mapped, in order", "memory sum", 0.7),
    ]
    for name, peer, bar in bars:
        if name in rate and peer in rate:
            ratio = rate[name] / rate[peer]
            print(f"{name} by {peer}: {ratio:.2f} (bar {bar:.2f}) {'holds' if ratio >= bar else 'misses'}")
    for name, bar in (("tarn, in order", 0.35), ("tarn, shuffled", 0.55)):
        if name in results:
            took = results[name]["server_cpu"] / gigabytes
            print(f"{name}: {took:.2f} CPU s/GB of the node (bar {bar}) {'holds' if took <= bar else 'misses'}")
    for name in ("tarn, shuffled", "tarn, in order"):
        if name in results:
            took = results[name]["first"] * 1000
            print(f"{name}: first batch of a prepared stream after {took:.0f} ms (bar 50) {'holds' if took <= 50 else 'misses'}")
    out = HERE.parent / "results" / f"streams-{arguments.shape}.json"
    load = os.getloadavg()[0]
    out.write_text(json.dumps({"samples": arguments.samples, "gigabytes": gigabytes, "load": load, "shape": shape, "loaders": results}, indent=1))


if __name__ == "__main__":
    main()
