"""Two ranks that share the samples of a table, and check that they do:

    torchrun --nproc-per-node 2 two_ranks.py GRPC_URL TABLE COLUMN      (the token in TARN_TOKEN)

COLUMN holds a whole number that is different in every row. No rank is told which one it is: the stream asks
torch.distributed.
"""

import os
import sys

import tarn
import tarn.torch
import torch.distributed as distributed


def main(url, table, column):
    distributed.init_process_group("gloo")
    lake = tarn.connect(url, token=os.environ.get("TARN_TOKEN"))
    stream = lake.stream(table, columns=[column], batch_size=8, seed=3)
    dataset = tarn.torch.StreamDataset(stream)
    mine = [value for batch in dataset for value in batch[column].tolist()]
    everyone = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, (mine, len(dataset), dataset.state_dict()))
    samples = [value for share, _, _ in everyone for value in share]
    assert len(set(samples)) == len(samples), "a sample came to two ranks"
    assert len({steps for _, steps, _ in everyone}) == 1, "ranks have different numbers of steps"
    assert len({str(state) for _, _, state in everyone}) == 1, "ranks are at different positions"
    # What does not fill a step of all ranks is left out.
    whole = stream.plan["selected"] // stream.global_batch * stream.global_batch
    assert len(samples) == whole, f"{len(samples)} samples came, not {whole}"
    if distributed.get_rank() == 0:
        print(f"{len(everyone)} ranks, {len(mine)} samples each, disjoint and together {whole}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
