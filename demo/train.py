#!/usr/bin/env python3
"""A small consumer: one shuffled epoch of fields, as a training loop would take it.

    train.py GRPC_URL TABLE        (TARN_TOKEN in the environment)

Prints what it saw; the last line is for the demo: scenario, samples, distinct years, mean.
"""

import os
import sys
import time
from collections import defaultdict

import numpy as np
import tarn


def main(url, table):
    lake = tarn.connect(url, token=os.environ.get("TARN_TOKEN"))
    stream = lake.stream(
        table,
        columns=["scenario", "year", "air_temperature"],
        batch_size=32,
        seed=7,
        rank=0,
        world_size=1,
        shuffle=True,
        drop_last=False,
    )
    began, order = time.perf_counter(), []
    years, total, cells = defaultdict(set), defaultdict(float), defaultdict(int)
    batches = size = 0
    for batch in stream:
        scenarios, when = batch.column("scenario").to_pylist(), batch.column("year").to_pylist()
        fields = batch.column("air_temperature")
        shape = tuple(fields.type.shape)
        values = fields.storage.flatten().to_numpy(zero_copy_only=True).reshape(-1, *shape)
        for scenario, year, field in zip(scenarios, when, values):
            order.append((scenario, year))
            years[scenario].add(year)
            total[scenario] += float(np.sum(field, dtype="f8"))
            cells[scenario] += field.size
        batches, size = batches + 1, size + batch.nbytes
    took = time.perf_counter() - began
    print(f"{len(order)} samples of shape {shape} in {batches} batches, {size / 1e6:.1f} MB in {took:.2f} s")
    print("order: " + ", ".join(f"{scenario} {year}" for scenario, year in order[:5]) + ", …")
    receipt = stream.receipt()
    if receipt["rows"] != len(order):
        sys.exit(f"the receipt is for {receipt['rows']} rows, not for {len(order)}")
    print(f"receipt: {receipt['rows']} rows in {receipt['batches']} batches, {receipt['hash'][:23]}…")
    if order == sorted(order):
        sys.exit("the samples came in the order of the files: not shuffled")
    counts = {scenario: sum(1 for name, _ in order if name == scenario) for scenario in years}
    print("|".join(f"{s}\t{counts[s]}\t{len(years[s])}\t{total[s] / cells[s]!r}" for s in sorted(years)))


if __name__ == "__main__":
    main(*sys.argv[1:])
