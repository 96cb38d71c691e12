"""Mixtures of tables by weights, at one node and over two labs, against a reference in plain Python (tests/mixing.py)."""

import json
import pickle
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import mixing
import numpy as np
import pyarrow as pa
import pytest
import tarn as client
from conftest import ROOT
from deltalake import write_deltalake
from records import write_record
from tarn import errors
from tarn._pattern import Pattern, quotas
from test_python_torch import run

TERMS = {"tier": "registered", "terms": {"id": "https://tarn.example/terms", "sha256": "0" * 64}}


def table(source, rows, **more):
    """Rows that say which source and row they are."""
    values = {"source": pa.array([source] * rows, pa.int32()), "n": pa.array(range(rows), pa.int64())}
    return pa.table({**values, **more})


def place(lab, folder, name, content, **record):
    """A dataset of this name with a table `t` in place."""
    path = folder / f"{lab.name}-{name}"
    write_deltalake(str(path), content)
    lab.run("register", write_record(folder / f"{name}.yaml", [path], name=name, **record))
    lab.run("ingest", path, "--dataset", name, "--table", "t", "--in-place")


@pytest.fixture
def labs(new_lab, tmp_path):
    """Makes a started lab with tables `a.t`, `b.t`, … of these contents."""

    def make(name, contents, settings="", **record):
        lab = new_lab(name, start=True, settings=settings)
        for dataset, content in contents.items():
            place(lab, tmp_path, dataset, content, **record)
        return lab

    return make


def pairs(batches):
    """Source and row, in their order."""
    return [
        pair
        for batch in batches
        for pair in zip(batch.column("source").to_pylist(), batch.column("n").to_pylist())
    ]


def mixed(lab, weights, names="abc", fields=None, repeat=(), **common):
    lake = client.connect(lab.flight_url)
    parts = [(lake.stream(f"{name}.t", **(fields or {})), weight) for name, weight in zip(names, weights)]
    return client.mix(parts, repeat=[parts[place][0] for place in repeat], **common)


@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [0.7, 0.3], [3, 0.25, 1, 1e-9]])
@pytest.mark.parametrize("stratified", [False, True])
def test_the_pattern_of_the_client_is_that_of_the_reference(weights, stratified):
    assert quotas(weights) == mixing.quotas(weights)
    pattern = Pattern(weights, 7, 2, stratified)
    whole = mixing.period(weights, 0, 7, 2, stratified) + mixing.period(weights, 1, 7, 2, stratified)
    for first, end in ((0, 10), (65_000, 66_000), (0, 131_072), (5, 5)):
        assert pattern.sources(first, end).tolist() == whole[first:end]


def test_an_epoch_is_that_of_the_reference(labs):
    lab = labs("ornl", {"a": table(0, 60_000), "b": table(1, 40_000)})
    expected = mixing.mixture([60_000, 40_000], [0.7, 0.3], seed=7, epoch=2)
    assert 65_536 < len(expected) <= 100_000
    stream = mixed(lab, [0.7, 0.3], seed=7, epoch=2, batch_size=5000)
    assert stream.plan["selected"] == len(expected)
    found = pairs(stream)
    assert found == expected
    # Counts of a whole period are exact, whatever the order is.
    assert Counter(source for source, _ in found[:65_536]) == {0: 45_875, 1: 19_661}
    receipt = stream.receipt()
    assert (receipt["rows"], receipt["complete"], receipt["dataset"]) == (len(expected), True, "ornl.a.t, ornl.b.t")
    assert receipt["versions"] == {"ornl.a": 1, "ornl.b": 1}
    said = json.loads(receipt["split"])
    assert [(source["dataset"], source["weight"]) for source in said["sources"]] == [("ornl.a.t", 0.7), ("ornl.b.t", 0.3)]
    for dataset in ("a@1", "b@1"):
        [told] = lab.run("stream", "receipts", "--affected-by", dataset, "--json").json()
        assert told == receipt
    stream.set_epoch(3)
    assert len(stream) == -(-stream.plan["selected"] // 5000)
    assert pairs(stream) == mixing.mixture([60_000, 40_000], [0.7, 0.3], seed=7, epoch=3)
    spread = mixed(lab, [0.7, 0.3], seed=7, stratified=True, batch_size=1000)
    sizes = [batch.column("source").to_pylist().count(1) for batch in spread]
    assert all(299 <= size <= 301 for size in sizes[:-1])
    assert pairs(spread) == mixing.mixture([60_000, 40_000], [0.7, 0.3], seed=7, stratified=True)
    plain = mixed(lab, [2, 1], shuffle=False, batch_size=4096)
    assert pairs(plain) == mixing.mixture([60_000, 40_000], [2, 1], shuffle=False)


def test_ranks_batches_and_places_to_go_on_do_not_change_the_samples(labs):
    counts, weights = [700, 300, 90], [5, 3, 1]
    lab = labs("ornl", {name: table(source, rows) for source, (name, rows) in enumerate(zip("abc", counts))})
    whole = mixing.mixture(counts, weights, seed=3, repeat=(2,))
    made = lambda **fields: mixed(lab, weights, repeat=(2,), seed=3, prefetch=0, **fields)  # noqa: E731
    assert [source for source, _ in whole].count(2) > 90
    for size in (1000, 256, 7):
        assert pairs(made(batch_size=size)) == whole
    kept = len(whole) // 120 * 120
    for world in (1, 2, 3, 4, 6, 8):
        ranks = [list(made(global_batch=120, rank=rank, world_size=world, drop_last=True)) for rank in range(world)]
        steps = [batch for step in zip(*ranks, strict=True) for batch in step]
        assert pairs(steps) == whole[:kept], world
    # From every batch on, with another world size.
    stream, before = made(batch_size=60), 0
    for batch in stream:
        before += batch.num_rows
        state = json.loads(json.dumps(stream.state()))
        assert state["position"] == before
        assert pairs(made(resume=state, batch_size=60)) == whole[before:]
        if (len(whole) - before) % 60 == 0:
            continue
        ranks = [list(made(resume=state, global_batch=60, rank=rank, world_size=4, drop_last=True)) for rank in range(4)]
        end = before + (len(whole) - before) // 60 * 60
        assert pairs([batch for step in zip(*ranks, strict=True) for batch in step]) == whole[before:end]
    for start in (0, 1, 89, len(whole) - 1, len(whole)):
        assert pairs(made(start=start)) == whole[start:]
    # Another seed, other weights and another number of sources are another stream.
    state = made(batch_size=60).state()
    with pytest.raises(errors.ResumeMismatch):
        mixed(lab, weights, repeat=(2,), seed=4, resume=state)
    with pytest.raises(errors.PlanChanged):
        list(mixed(lab, [5, 3, 2], repeat=(2,), seed=3, resume=state))
    with pytest.raises(errors.ResumeMismatch):
        mixed(lab, [5, 3], seed=3, resume=state)


def test_the_node_may_die_and_the_versions_stay(labs, tmp_path):
    wide = {"x": pa.array([bytes(8000)] * 3000, pa.binary())}
    lab = labs("ornl", {"a": table(0, 3000, **wide), "b": table(1, 3000, **wide)})
    expected = pairs(mixed(lab, [1, 2], seed=5))
    stream, found, state = mixed(lab, [1, 2], seed=5, batch_size=100), [], None
    with ThreadPoolExecutor(1) as keeper:
        for number, batch in enumerate(stream):
            found += pairs([batch])
            if number in (3, 20):
                lab.process.send_signal(signal.SIGKILL)
                lab.process.wait()
                lab.process = None
                keeper.submit(lambda: (time.sleep(1), lab.start())).result()
            state = stream.state(sealed=True) if number == 10 else state
        assert found == expected
        assert stream.stats().reconnects >= 2
        assert stream.receipt()["complete"]
        # A newer version does not change what a state means.
        write_deltalake(str(tmp_path / "ornl-b2"), table(9, 50))
        lab.run("register", write_record(tmp_path / "b2.yaml", [tmp_path / "ornl-b", tmp_path / "ornl-b2"], name="b"))
        lab.run("ingest", tmp_path / "ornl-b2", "--dataset", "b", "--table", "u", "--in-place")
        assert mixed(lab, [1, 2], seed=5).plan["versions"]["ornl.b"] > 1
        again = mixed(lab, [1, 2], seed=5, resume=state)
        assert again.plan["versions"] == {"ornl.a": 1, "ornl.b": 1}
        assert pairs(again) == expected[1100:]
        assert again.receipt()["hash"] == stream.receipt()["hash"]
        # Two versions of one dataset are two sources, and both are in the receipt.
        lake = client.connect(lab.flight_url)
        versions = client.mix([(lake.stream("b.t", version=1), 1), (lake.stream("b.t"), 1)], batch_size=500)
        newest = mixed(lab, [1, 2], seed=5).plan["versions"]["ornl.b"]
        assert versions.plan["versions"] == {"ornl.b@1": 1, f"ornl.b@{newest}": newest}
        whole, state = pairs(versions), versions.state(1000)
        taken = Counter(whole)
        assert max(taken.values()) == 2 and {source for source, _ in whole} == {1}
        for version in (1, newest):
            ids = [told["id"] for told in lab.run("stream", "receipts", "--affected-by", f"b@{version}", "--json").json()]
            assert versions.receipt()["id"] in ids
        again = client.mix([(lake.stream("b.t"), 1), (lake.stream("b.t"), 1)], resume=state)
        assert pairs(again) == whole[1000:]


def test_one_source_that_is_no_longer_allowed_ends_the_whole(labs, tmp_path):
    big = {"x": pa.array([bytes(20_000)] * 2000, pa.binary())}
    lab = labs("ornl", {"a": table(0, 2000, **big), "b": table(1, 2000, **big)})

    def ended(act):
        seen = 0
        with pytest.raises(client.TarnError) as caught:
            for batch in mixed(lab, [1, 1], batch_size=1, prefetch=0):
                seen += 1
                if seen == 1:
                    act()
                    time.sleep(1.5)
        assert seen < 4000
        return caught.value

    error = ended(lambda: lab.run("register", write_record(tmp_path / "c.yaml", [tmp_path / "ornl-b"], name="b", **TERMS)))
    assert isinstance(error, errors.PolicyChanged) and "ornl.b.t" in str(error), error
    with pytest.raises(errors.PermissionDenied):
        list(mixed(lab, [1, 1]))
    lab.run("register", write_record(tmp_path / "o.yaml", [tmp_path / "ornl-b"], name="b"))
    error = ended(lambda: lab.run("retract", "b", "--reason", "the sensor was wrong"))
    assert isinstance(error, errors.Retracted) and "the sensor was wrong" in str(error), error
    assert "ornl.b.t" in str(error)
    assert len(pairs(client.connect(lab.flight_url).stream("a.t"))) == 2000


def holes(rows, every):
    values = [None if row % every == 0 else float(row) for row in range(rows)]
    return {"v": pa.array(values, pa.float32())}


def full(rows):
    schema = pa.schema([pa.field("source", pa.int32()), pa.field("n", pa.int64()), pa.field("v", pa.float32(), nullable=False)])
    return table(1, rows, v=pa.array(np.arange(rows), pa.float32())).cast(schema)


def test_forms_of_nulls_and_tails_go_over_all_sources(labs):
    lab = labs("ornl", {"a": table(0, 50, **holes(50, 7)), "b": full(50)})
    whole = mixing.mixture([50, 50], [1, 1], seed=1)
    batches = list(mixed(lab, [1, 1], seed=1, nulls="mask", tail="pad", batch_size=8))
    assert {batch.num_rows for batch in batches} == {8}
    joined = pa.Table.from_batches(batches)
    valid = joined["_valid"].to_pylist()
    assert valid == [True] * len(whole) + [False] * (len(valid) - len(whole)) and len(valid) - len(whole) < 8
    assert pairs(batches)[: len(whole)] == whole
    assert set(pairs(batches)[len(whole) :]) <= {whole[-1]}
    for (source, n), known, value in zip(whole, joined["v__valid"].to_pylist(), joined["v"].to_pylist()):
        assert known == (source == 1 or n % 7 != 0) and value == (n if known else 0)
    with pytest.raises(errors.BadSample, match='"v"'):
        list(mixed(lab, [1, 1], nulls="error"))
    ranks = [list(mixed(lab, [1, 1], seed=1, tail="pad", batch_size=8, rank=rank, world_size=3)) for rank in range(3)]
    steps = [batch for step in zip(*ranks, strict=True) for batch in step]
    counted = [pair for batch in steps for pair, valid in zip(pairs([batch]), batch["_valid"].to_pylist()) if valid]
    assert counted == whole
    # Filters, columns and splits are of each source.
    some = mixed(lab, [1, 1], names="aa", fields={"filter": "n % 2 = 0", "columns": ["n", "source"]}, seed=1)
    found = pairs(some)
    assert all(n % 2 == 0 for _, n in found) and some.schema.names == ["n", "source"]
    assert 25 <= len(found) <= 50
    lake = client.connect(lab.flight_url)
    parts = {part: lake.stream("a.t", split=part) for part in ("train", "test")}
    for part, stream in parts.items():
        own = {n for _, n in pairs(stream)}
        assert {n for _, n in pairs(client.mix([(stream, 1)]))} == own, part


def test_what_does_not_fit_together_is_refused(labs):
    lab = labs("ornl", {"a": table(0, 50), "b": table(1, 50, x=pa.array([1] * 50)), "c": table(2, 50).rename_columns(["source", "m"])})
    lake = client.connect(lab.flight_url)
    of = lambda name, **fields: lake.stream(name, **fields)  # noqa: E731
    for parts, told in [
        ([of("a.t"), of("b.t")], "ornl.a.t.*ornl.b.t"),
        ([of("a.t"), of("c.t")], '"n".*"m"'),
        ([of("a.t"), of("a.t", columns=["n"])], "source"),
        ([of("a.t"), of("b.t", columns=["x", "n"])], '"source".*"x"'),
        ([of("a.t"), of("a.t", filter="n < 0")], r"sources\[1\].*ornl.a.t"),
        ([of("a.t"), of("a.t", filter="nope = 1")], r"sources\[1\].*nope"),
        ([of("a.t"), of("llnl.a.t")], "llnl.*tarn.mix"),
    ]:
        with pytest.raises(errors.InvalidArgument, match=f"(?s){told}"):
            client.mix([(stream, 1) for stream in parts]).plan
    with pytest.raises(errors.NotFound):
        client.mix([(of("a.t"), 1), (of("nothing.t"), 1)]).plan
    one = of("a.t", seed=3)
    with pytest.raises(errors.InvalidArgument, match="never end"):
        client.mix([(one, 1)], repeat=[one]).plan
    with pytest.raises(errors.InvalidArgument, match="seed"):
        client.mix([(one, 1), (of("a.t", seed=4), 1)])
    with pytest.raises(errors.InvalidArgument, match="weight"):
        client.mix([(one, 0)])
    with pytest.raises(errors.InvalidArgument, match="mapped"):
        client.mix([(of("a.t", mapped=True), 1)])
    assert client.mix([(one, 1), (of("a.t"), 1)]).request["seed"] == 3
    for fields, told in [
        ({"sources": [{"dataset": "a.t", "weight": 1}], "dataset": "a.t"}, "dataset.*sources"),
        ({}, "dataset.*sources"),
        ({"sources": [{"dataset": "a.t", "weight": 1}], "filter": "n > 1"}, "filter"),
        ({"sources": []}, "0 sources"),
    ]:
        with pytest.raises(errors.InvalidArgument, match=told):
            client.Stream(lake, fields.pop("dataset", None), **fields).plan


@pytest.fixture
def two(labs, new_lab, tmp_path):
    """A lab with both tables, and two labs with one each."""
    contents = {"a": table(0, 900, **holes(900, 7)), "b": table(1, 500, **holes(500, 3))}
    both = labs("ornl", contents)
    apart = []
    for name, dataset in (("llnl", "a"), ("anl", "b")):
        (tmp_path / name).mkdir()
        lab = new_lab(name, start=True)
        place(lab, tmp_path / name, dataset, contents[dataset])
        apart.append(lab)
    return both, *apart


def over(labs, weights, repeat=(), **common):
    parts = [(client.connect(lab.flight_url).stream(name), weight) for lab, name, weight in zip(labs, ("a.t", "b.t"), weights)]
    return client.mix(parts, repeat=[parts[place][0] for place in repeat], **common)


@pytest.mark.parametrize("fields", [{}, {"stratified": True}, {"repeat": (1,)}, {"shuffle": False, "repeat": (0,)}])
def test_two_labs_weave_what_one_would_send(two, fields):
    both, *apart = two
    alone = mixed(both, [0.6, 0.4], seed=11, batch_size=64, **fields)
    whole = pairs(alone)
    woven = over(apart, [0.6, 0.4], seed=11, batch_size=64, **fields)
    assert type(woven) is client.Mix and type(alone) is client.Stream
    assert (woven.plan["selected"], len(woven), woven.schema.names) == (len(whole), len(alone), alone.schema.names)
    assert [batch.to_pylist() for batch in woven] == [batch.to_pylist() for batch in alone]
    assert woven.position == len(whole)
    receipts, single = woven.receipt(), alone.receipt()
    assert [receipt["lab"] for receipt in receipts] == ["llnl", "anl"]
    assert sum(receipt["rows"] for receipt in receipts) == len(whole) == single["rows"]
    assert all(receipt["complete"] for receipt in receipts)
    added = np.zeros(4, np.uint64)
    for receipt in receipts:
        added += np.frombuffer(bytes.fromhex(receipt["hash"].removeprefix("sum:")), "<u8")
    assert added.tobytes().hex() == single["hash"].removeprefix("sum:")
    # Ranks, padding, forms of NULL and another epoch.
    for common in (
        {"drop_last": True, "rank": 1, "world_size": 2},
        {"tail": "pad", "rank": 2, "world_size": 3},
        {"tail": "pad", "nulls": "mask"},
        {"drop_last": True, "start": 37, "epoch": 4},
    ):
        expected = [batch.to_pylist() for batch in mixed(both, [0.6, 0.4], seed=11, batch_size=64, **fields, **common)]
        found = over(apart, [0.6, 0.4], seed=11, batch_size=64, **fields, **common)
        assert [batch.to_pylist() for batch in found] == expected, common
    woven.set_epoch(1)
    alone.set_epoch(1)
    assert woven.plan["selected"] == alone.plan["selected"]
    assert pairs(woven) == pairs(alone)


def test_a_mixture_over_labs_goes_on_where_it_was(two):
    both, *apart = two
    whole = pairs(mixed(both, [1, 1], seed=2, batch_size=50))
    woven, states = over(apart, [1, 1], seed=2, batch_size=50), []
    for batch in woven:
        states.append(json.loads(json.dumps(woven.state(sealed=True))))
    for number in (0, 3, len(states) - 2, len(states) - 1):
        again = over(apart, [1, 1], seed=2, resume=states[number])
        assert pairs(again) == whole[states[number]["position"] :]
        if number + 1 == len(states):
            continue
        assert [receipt["rows"] for receipt in again.receipt()] == [receipt["rows"] for receipt in woven.receipt()]
    ranks = [list(over(apart, [1, 1], seed=2, global_batch=50, rank=rank, world_size=5, drop_last=True, resume=states[3])) for rank in range(5)]
    assert pairs([batch for step in zip(*ranks, strict=True) for batch in step]) == whole[200 : len(whole) // 50 * 50]
    with pytest.raises(errors.ResumeMismatch):
        over(apart, [1, 1], seed=3, resume=states[0])
    with pytest.raises(errors.PlanChanged):
        list(over(apart, [1, 2], seed=2, resume=states[0]))
    moved = pickle.loads(pickle.dumps(over(apart, [1, 1], seed=2, batch_size=50)))
    assert pairs(moved) == whole


def test_one_lab_may_die_and_the_other_waits(labs, new_lab, tmp_path):
    wide = {"x": pa.array([bytes(8000)] * 2000, pa.binary())}
    contents = {"a": table(0, 2000, **wide), "b": table(1, 2000, **wide)}
    apart = []
    for name, dataset in (("llnl", "a"), ("anl", "b")):
        lab = new_lab(name, start=True)
        place(lab, tmp_path, dataset, contents[dataset])
        apart.append(lab)
    expected, found = pairs(over(apart, [1, 2], seed=5, batch_size=100)), []
    with ThreadPoolExecutor(1) as keeper:
        for number, batch in enumerate(over(apart, [1, 2], seed=5, batch_size=100)):
            found += pairs([batch])
            if number in (2, 11):
                dying = apart[number % 2]
                dying.process.send_signal(signal.SIGKILL)
                dying.process.wait()
                dying.process = None
                keeper.submit(lambda lab=dying: (time.sleep(1), lab.start()))
    assert found == expected


def test_a_lab_that_refuses_ends_the_mixture_with_its_reason(new_lab, tmp_path):
    big, apart = {"x": pa.array([bytes(20_000)] * 2000, pa.binary())}, []
    for source, (name, dataset) in enumerate((("llnl", "a"), ("anl", "b"))):
        apart.append(new_lab(name, start=True))
        place(apart[-1], tmp_path, dataset, table(source, 2000, **big))
    seen, batches = 1, iter(over(apart, [1, 1], batch_size=1, prefetch=0))
    next(batches)
    apart[1].run("retract", "b", "--reason", "the sensor was wrong")
    time.sleep(1.5)
    with pytest.raises(errors.Retracted, match="the sensor was wrong"):
        for _ in batches:
            seen += 1
    assert seen < 4000
    with pytest.raises(errors.TarnError):
        over(apart, [1, 1]).plan


def test_torch_reads_mixtures_with_and_without_workers(two):
    import tarn.torch
    from torch.utils.data import DataLoader

    both, *apart = two
    whole = pairs(mixed(both, [1, 1], seed=2, batch_size=50))
    for made in (lambda: mixed(both, [1, 1], seed=2, batch_size=50), lambda: over(apart, [1, 1], seed=2, batch_size=50)):
        for options in ({}, {"num_workers": 2, "multiprocessing_context": "spawn"}):
            dataset, found = tarn.torch.StreamDataset(made()), []
            last = None
            for number, batch in enumerate(DataLoader(dataset, batch_size=None, **options)):
                found += zip(batch["source"].tolist(), batch["n"].tolist())
                last = batch if number == 2 else last
            assert found == whole, options
            again = tarn.torch.StreamDataset(made())
            again.load_state_dict(dataset.state_dict(last))
            rest = [pair for batch in again for pair in zip(batch["source"].tolist(), batch["n"].tolist())]
            assert rest == whole[150:]


def test_the_example_trains_on_real_fields_of_two_labs(new_lab, tmp_path):
    arguments = []
    for name, scenario, weight in (("llnl", "A1B", 3), ("ornl", "E1", 1)):
        lab = new_lab(name, start=True)
        file = ROOT / "demo" / "data" / "llnl" / f"{scenario}_north_america.nc"
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [file]))
        lab.run(
            "ingest", file, "--dataset", "data", "--table", "fields", "--grid", "time_latitude_longitude",
            "--layout", "tensors", "--in-place", "--column", "year=cf_year(time)",
            "--column", "scenario=path:([A-Z0-9]+)_north_america", "--select", "scenario,year,air_temperature",
        )  # fmt: skip
        arguments += [lab.flight_url, f"{name}.data.fields", weight]
    out = run(sys.executable, ROOT / "python" / "examples" / "mix.py", *arguments)
    first, last = (float(word) for word in out.split(" in ")[0].removeprefix("loss ").split(" → "))
    assert last < first
    shares = dict(part.split(" ") for part in out.splitlines()[0].split(" rows: ")[1].split(", "))
    # 240 years of A1B are drawn with 3 of 4 positions each time.
    assert float(shares["A1B"]) == pytest.approx(0.75, abs=0.03) and float(shares["E1"]) == pytest.approx(0.25, abs=0.03)
    assert out.splitlines()[1] == "llnl sent 240 rows of llnl.data.fields", out
    assert out.splitlines()[2].startswith("ornl sent ")
