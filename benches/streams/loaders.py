#!/usr/bin/env python3
"""One epoch of one loader into torch batches of 256 samples; prints a line of JSON.

    loaders.py NAME --data FOLDER [--workers N] [--url URL] [--epoch N]

Each loader is used as its own documentation says. Of every page of memory one number is read, so that what is mapped is
really there. The first batch is timed by itself and is not in the rate.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

BATCH = 256
TABLE = "data.samples"


class Rows(Dataset):
    """Single samples of an array on disk."""

    def __init__(self, data, kind):
        self.data, self.kind, self.array = data, kind, None
        self.rows = len(np.load(data / "x.npy", mmap_mode="r"))

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        if self.array is None:
            if self.kind == "h5py":
                import h5py

                self.array = h5py.File(self.data / "x.h5")["x"]
            else:
                self.array = np.load(self.data / "x.npy", mmap_mode="r")
        return torch.from_numpy(np.array(self.array[index]))


def rows(arguments, kind, shuffle):
    more = {"prefetch_factor": 2} if arguments.workers else {}
    return DataLoader(Rows(arguments.data, kind), BATCH, shuffle, num_workers=arguments.workers, **more)


def gather(arguments):
    """The bare gather: rows of a mapped array into a batch, by NumPy."""
    array = np.load(arguments.data / "x.npy", mmap_mode="r")
    order = np.random.default_rng(arguments.epoch).permutation(len(array))
    for first in range(0, len(order), BATCH):
        yield torch.from_numpy(array[order[first : first + BATCH]])


def summed(arguments):
    """The bare loop over mapped memory, in batches: what a consumer of mapped batches can reach at most."""
    array = np.load(arguments.data / "x.npy", mmap_mode="c")
    for first in range(0, len(array), BATCH):
        yield torch.from_numpy(array[first : first + BATCH])


def tarn(arguments, shuffle, mapped):
    import tarn as client
    import tarn.torch

    stream = client.connect(arguments.url).stream(
        TABLE, columns=["x"], batch_size=BATCH, shuffle=shuffle, seed=1, epoch=arguments.epoch, mapped=mapped
    )
    for batch in DataLoader(tarn.torch.StreamDataset(stream), batch_size=None):
        yield batch["x"]
    if mapped != (stream._reader.mapped > 0):
        sys.exit("the stream was not mapped, or was without being asked to")


def flight(arguments, shuffle):
    """pyarrow alone, without the package of Tarn."""
    import pyarrow.flight

    client = pyarrow.flight.FlightClient(arguments.url)
    request = {
        "tarn.stream": 1, "dataset": TABLE, "columns": ["x"], "batch_size": BATCH, "shuffle": shuffle,
        "seed": 1, "epoch": arguments.epoch,
    }
    info = client.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(json.dumps(request).encode()))
    yield from chunks(client.do_get(info.endpoints[0].ticket))


def plain_flight(arguments):
    """pyarrow from pyarrow's own server, which has the samples in memory."""
    import pyarrow.flight

    yield from chunks(pyarrow.flight.FlightClient(arguments.peer).do_get(pyarrow.flight.Ticket(b"")))


def bare(arguments):
    """The bytes of the samples from a socket, into one buffer that is used again."""
    array = np.load(arguments.data / "x.npy", mmap_mode="r")
    buffer = torch.empty((BATCH, *array.shape[1:]), dtype=torch.float32)
    bytes_of = memoryview(buffer.numpy()).cast("B")
    with socket.create_connection(("127.0.0.1", int(arguments.peer))) as connection:
        for _ in range(len(array) // BATCH):
            filled = 0
            while filled < len(bytes_of):
                filled += connection.recv_into(bytes_of[filled:])
            yield buffer


def chunks(reader):
    for chunk in reader:
        yield torch.from_numpy(chunk.data.column("x").to_numpy_ndarray())


def mosaic(arguments):
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    data = StreamingDataset(local=str(arguments.data / "mds"), shuffle=True, batch_size=BATCH)
    return (batch["x"] for batch in DataLoader(data, BATCH, num_workers=arguments.workers))


def webdataset(arguments):
    import webdataset

    files = sorted(str(path) for path in (arguments.data / "wds").glob("*.tar"))
    data = webdataset.WebDataset(files, shardshuffle=100, workersplitter=webdataset.split_by_worker).shuffle(1000).decode()
    data = data.to_tuple("npy").map(lambda sample: torch.from_numpy(sample[0]))
    return webdataset.WebLoader(
        data.batched(BATCH, collation_fn=torch.stack), batch_size=None, num_workers=arguments.workers
    )


def lancedb(arguments):
    """Whole batches by LanceDB's own loader; forked workers are not supported by it."""
    import lancedb as database
    from lancedb.streaming import StreamingDataset

    table = database.connect(str(arguments.data / "lancedb")).open_table("x")

    def transform(batch):
        values = batch.column("x").flatten().to_numpy().reshape(-1, *shape_of(arguments))
        return [{"x": torch.from_numpy(value)} for value in values]

    data = StreamingDataset(table, shuffle_seed=1, num_splits=1, transform=transform)
    return (batch["x"] for batch in DataLoader(data, BATCH))


LOADERS = {
    "memory sum": summed,
    "memory gather": gather,
    "tarn mapped, in order": lambda arguments: tarn(arguments, False, True),
    "tarn mapped, shuffled": lambda arguments: tarn(arguments, True, True),
    "tarn, in order": lambda arguments: tarn(arguments, False, False),
    "tarn, shuffled": lambda arguments: tarn(arguments, True, False),
    "pyarrow from tarn, in order": lambda arguments: flight(arguments, False),
    "pyarrow from tarn, shuffled": lambda arguments: flight(arguments, True),
    "pyarrow from pyarrow, in order": plain_flight,
    "bare socket": bare,
    "npy, shuffled": lambda arguments: rows(arguments, "npy", True),
    "h5py, shuffled": lambda arguments: rows(arguments, "h5py", True),
    "mosaic, shuffled": mosaic,
    "webdataset, shuffled": webdataset,
    "lancedb, shuffled": lancedb,
}


def shape_of(arguments):
    return np.load(arguments.data / "x.npy", mmap_mode="r").shape[1:]


def command_line(arguments, shuffle):
    """`tarn stream`, the client in Rust, which only counts what comes."""
    command = [os.environ["TARN_BIN"], "--json", "stream", TABLE, "--columns", "x", "--batch-size", str(BATCH), "--seed", "1"]
    command += ["--epoch", str(arguments.epoch), "--server", arguments.url, *([] if shuffle else ["--in-order"])]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"first": 0, "samples_per_second": done["rows"] / done["seconds"], "cpu": cpu, "sum": None}))


RUST = {"tarn in Rust, in order": False, "tarn in Rust, shuffled": True}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=[*LOADERS, *RUST])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--url")
    parser.add_argument("--peer", help="a port, or the URL of a Flight server")
    parser.add_argument("--epoch", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.name in RUST:
        return command_line(arguments, RUST[arguments.name])
    torch.set_num_threads(1)
    if "tarn" in arguments.name:
        # What a program has imported before it asks for its first batch.
        import pyarrow.flight
        import tarn.torch
    began = time.perf_counter()
    batches = iter(LOADERS[arguments.name](arguments))
    samples = first = read = 0
    for batch in batches:
        batch = batch[0] if isinstance(batch, (list, tuple)) else batch
        if not first:
            first, start = time.perf_counter() - began, time.perf_counter()
        else:
            samples += len(batch)
        read += float(batch.reshape(-1)[::1024].sum())
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(part.ru_utime + part.ru_stime for part in usage)
    print(json.dumps({"first": first, "samples_per_second": samples / seconds, "cpu": cpu, "sum": read}))


if __name__ == "__main__":
    main()
