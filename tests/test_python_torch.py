"""`tarn.torch` in real DataLoaders, and the examples."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tarn as client
import tarn.torch
import torch
from conftest import ROOT
from records import write_record
from tarn import errors
from torch.utils.data import DataLoader

FIELDS = "ornl.data.fields"


@pytest.fixture(scope="module")
def lab(module_lab, tmp_path_factory):
    """A lab with two real climate scenarios: 240 years of each, as tensors."""
    lab = module_lab("ornl", start=True)
    files = sorted((ROOT / "demo" / "data" / "llnl").glob("*_north_america.nc"))
    lab.run("register", write_record(tmp_path_factory.mktemp("records") / "ornl.yaml", files))
    options = ["--dataset", "data", "--grid", "time_latitude_longitude", "--layout", "tensors", "--in-place"]
    options += ["--column", "scenario=path:([A-Z0-9]+)_north_america", "--column", "year=cf_year(time)"]
    options += ["--select", "scenario,year,air_temperature"]
    lab.run("ingest", *files, "--table", "fields", *options)
    lab.run("ingest", files[0], "--table", "one", *options)
    return lab


@pytest.fixture
def make(lab):
    """Makes datasets of the lab's fields."""

    def make(torch_options=(), **request):
        request = {"batch_size": 7, "seed": 2, **request}
        return tarn.torch.StreamDataset(client.connect(lab.flight_url).stream(FIELDS, **request), **dict(torch_options))

    return make


def seen(loader, stop=None):
    """What tells the samples of each batch apart, and the last batch."""
    found, last = [], None
    for last in loader:
        found.append(
            [
                (s, y, float(f.sum()))
                for s, y, f in zip(last["scenario"], last["year"].tolist(), last["air_temperature"])
            ]
        )
        if len(found) == stop:
            break
    return found, last


def test_tensors_are_views_with_the_values_of_the_batch(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch, arrow in zip(make(), make().stream):
            column = arrow.column("air_temperature")
            assert tuple(batch["air_temperature"].shape) == (len(arrow), 37, 49)
            np.testing.assert_array_equal(batch["air_temperature"].numpy(), column.to_numpy_ndarray())
    dataset, [arrow] = make(), list(make(batch_size=400, drop_last=True).stream)
    column = arrow.column("air_temperature")
    address = column.storage.values.buffers()[1].address
    assert dataset._tensor(column, "x").data_ptr() == address
    dataset.writable = True
    copied = dataset._tensor(column, "x")
    assert copied.data_ptr() != address
    copied.zero_()
    assert column.to_numpy_ndarray().all()


SPAWNED = {"batch_size": None, "multiprocessing_context": "spawn"}


@pytest.mark.parametrize("drop_last", [True, False])
def test_workers_keep_the_order_and_the_state_knows_no_workers(make, drop_last):
    whole, _ = seen(make(drop_last=drop_last))
    assert sum(map(len, whole)) == (480 // 7 * 7 if drop_last else 480)
    dataset = make(drop_last=drop_last)
    assert len(dataset) == len(whole)
    found, last = seen(DataLoader(dataset, num_workers=2, **SPAWNED), stop=11)
    assert found == whole[:11]
    state = json.loads(json.dumps(dataset.state_dict(last)))
    assert state["position"] == 11 * 7
    for options in ({"batch_size": None}, {"num_workers": 1, **SPAWNED}):
        again = make(drop_last=drop_last)
        again.load_state_dict(state)
        rest, _ = seen(DataLoader(again, **options))
        assert found + rest == whole


FORKED = """
import json, sys, tarn, tarn.torch
from torch.utils.data import DataLoader

if __name__ == "__main__":
    stream = tarn.connect(sys.argv[1]).stream(sys.argv[2], batch_size=7, seed=2)
    loader = DataLoader(tarn.torch.StreamDataset(stream), batch_size=None, num_workers=2, multiprocessing_context="fork")
    print(json.dumps([batch["year"].tolist() for batch in loader]))
"""


def test_forked_workers_keep_the_order_too(lab, make):
    # In a process of its own: this one has talked to a node, and gRPC does not survive a fork.
    out = run(sys.executable, "-c", FORKED, lab.flight_url, FIELDS)
    assert json.loads(out) == [batch["year"].tolist() for batch in make()]


def test_epochs_differ_and_return(make):
    dataset = make()
    first, _ = seen(dataset)
    dataset.set_epoch(1)
    second, _ = seen(dataset)
    assert first != second and sorted(sum(first, [])) == sorted(sum(second, []))
    dataset.set_epoch(0)
    assert seen(dataset)[0] == first


def test_what_cannot_be_is_refused_with_what_to_do(make):
    if not torch.accelerator.is_available():
        with pytest.raises(errors.InvalidArgument, match="accelerator"):
            make({"pin_memory": True})


def test_pinned_memory_is_asked_of_torch(make, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self.shape) or self.clone())
    batch = next(iter(make({"pin_memory": True})))
    assert pinned == [batch["year"].shape, batch["air_temperature"].shape]


def test_rank_and_world_size_are_those_of_the_job(lab, make, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    stream = make().stream
    assert (stream.rank, stream.world_size, stream.drop_last) == (1, 4, True)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    stream = make().stream
    assert (stream.rank, stream.world_size) == (2, 3)
    stream = make(rank=0, world_size=1).stream
    assert (stream.rank, stream.world_size) == (0, 1)
    monkeypatch.setenv("RANK", "one")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    with pytest.raises(errors.InvalidArgument, match="RANK"):
        make().stream.rank


def run(*command, **environment):
    """Runs an example; what it printed."""
    path = os.pathsep.join([str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_trains_a_model(lab):
    out = run(sys.executable, ROOT / "python" / "examples" / "train.py", lab.flight_url, FIELDS)
    first, last = (float(word) for word in out.split(" in ")[0].removeprefix("loss ").split(" → "))
    assert last < first
    right, total = (int(word) for word in out.splitlines()[1].split(" years")[0].split(" of "))
    assert right / total > 0.7, out
    assert "ornl.data" in out.splitlines()[2]


def test_the_example_of_two_ranks_shares_the_samples(lab):
    script = ROOT / "python" / "examples" / "two_ranks.py"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # The years of one scenario tell its samples apart.
    out = run(*launcher, script, lab.flight_url, "ornl.data.one", "year")
    assert "2 ranks" in out
