"""Trains a small model on real climate fields that a lab serves: which of two emission scenarios is this year of?

    train.py GRPC_URL TABLE        (the token in TARN_TOKEN)

The table has one row a year: `scenario`, `year`, and `air_temperature`, a tensor over North America. Odd years train,
even years test. Halfway through, the program saves model and position, forgets both, and goes on from what it saved.
"""

import io
import os
import sys

import tarn
import tarn.torch
import torch
from torch.utils.data import DataLoader

EPOCHS, SPLIT = 30, "year % 2 = {} AND year > 2020"


def tensors(batch):
    """Fields as numbers around 0, and 1 for scenario A1B."""
    fields = (batch["air_temperature"] - 280) / 20
    return fields.flatten(1), torch.tensor([[float(name == "A1B")] for name in batch["scenario"]])


def new_model(cells):
    """A linear model with its optimizer."""
    torch.manual_seed(0)
    model = torch.nn.Linear(cells, 1)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3)


def main(url, table):
    lake = tarn.connect(url, token=os.environ.get("TARN_TOKEN"))
    stream = lake.stream(table, filter=SPLIT.format(1), batch_size=16, seed=7)
    dataset = tarn.torch.StreamDataset(stream)
    loader = DataLoader(dataset, batch_size=None)
    cells = stream.schema.field("air_temperature").type.storage_type.list_size
    (model, optimizer), loss, saved = new_model(cells), torch.nn.BCEWithLogitsLoss(), io.BytesIO()
    epoch, resumed, losses = 0, False, []
    while epoch < EPOCHS:
        if not resumed or epoch > EPOCHS // 2:
            dataset.set_epoch(epoch)
        for batch in loader:
            fields, labels = tensors(batch)
            optimizer.zero_grad()
            value = loss(model(fields), labels)
            value.backward()
            optimizer.step()
            if epoch == EPOCHS // 2 and not resumed:
                parts = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "stream": dataset.state_dict(),
                }
                torch.save(parts, saved)
                break
        if epoch == EPOCHS // 2 and not resumed:
            # What another process would do after this one was killed.
            saved.seek(0)
            parts, resumed = torch.load(saved), True
            model, optimizer = new_model(cells)
            model.load_state_dict(parts["model"])
            optimizer.load_state_dict(parts["optimizer"])
            dataset.load_state_dict(parts["stream"])
            continue
        losses.append(value.item())
        epoch += 1
    print(f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {EPOCHS} epochs of {stream.plan['selected']} years")
    right = total = 0
    with torch.no_grad():
        test = tarn.torch.StreamDataset(lake.stream(table, filter=SPLIT.format(0), shuffle=False))
        for batch in test:
            fields, labels = tensors(batch)
            right += int(((model(fields) > 0) == (labels > 0)).sum())
            total += len(labels)
    print(f"{right} of {total} years of the test are told apart")
    receipt = stream.receipt()
    print(f"trained on {receipt['dataset']}, versions {receipt['versions']}, {receipt['hash'][:23]}…")


if __name__ == "__main__":
    main(*sys.argv[1:])
