"""Trains one model on real climate fields of several labs, mixed by weights: which emission scenario is this year of?

    mix.py GRPC_URL TABLE WEIGHT [GRPC_URL TABLE WEIGHT …]        (the token in TARN_TOKEN)

Each table has one row a year: `scenario`, `year`, and `air_temperature`, a tensor over North America. The tables may be of
one lab or of several: batches are the same. In mid-epoch the program forgets its stream and goes on from the state.
"""

import collections
import os
import sys

import tarn
import tarn.torch
import torch

EPOCHS, BATCH = 8, 16


def stream_of(arguments, **fields):
    """The mixture of the tables. The first one decides how long an epoch is; the others begin again."""
    parts = []
    for url, table, weight in zip(*[iter(arguments)] * 3, strict=True):
        lake = tarn.connect(url, token=os.environ.get("TARN_TOKEN"))
        parts.append((lake.stream(table, columns=["scenario", "year", "air_temperature"]), float(weight)))
    return tarn.mix(parts, repeat=[part for part, _ in parts[1:]], batch_size=BATCH, seed=7, **fields)


def main(*arguments):
    stream = stream_of(arguments)
    cells = stream.schema.field("air_temperature").type.storage_type.list_size
    torch.manual_seed(0)
    model, loss = torch.nn.Linear(cells, 1), torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, seen = [], collections.Counter()
    for epoch in range(EPOCHS):
        dataset = tarn.torch.StreamDataset(stream)
        dataset.set_epoch(epoch)
        state = None
        while True:
            for number, batch in enumerate(dataset):
                seen.update(batch["scenario"])
                labels = torch.tensor([[float(name == "A1B")] for name in batch["scenario"]])
                optimizer.zero_grad()
                value = loss(model(((batch["air_temperature"] - 280) / 20).flatten(1)), labels)
                value.backward()
                optimizer.step()
                losses.append(value.item())
                if epoch == EPOCHS // 2 and state is None and number == 2:
                    # What another process would do after this one was killed.
                    state = dataset.state_dict()
                    break
            else:
                break
            stream = stream_of(arguments, resume=state)
            dataset = tarn.torch.StreamDataset(stream)
    rows = sum(seen.values())
    shares = ", ".join(f"{name} {count / rows:.2f}" for name, count in sorted(seen.items()))
    print(f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {rows} rows: {shares}")
    receipts = stream.receipt()
    for receipt in receipts if isinstance(receipts, list) else [receipts]:
        print(f"{receipt['lab']} sent {receipt['rows']} rows of {receipt['dataset']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
