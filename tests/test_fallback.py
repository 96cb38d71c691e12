"""Filters that Tarn has no code for, undone by libhdf5 in a child process, beside h5py with the same plugins."""

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
import requests
from records import write_record
from story.labs import Tarn
from web import web_server

HERE = Path(__file__).resolve().parent

# What the odd filter does when a chunk is read (tests/odd_filter.c).
ODD = 480
IDENTITY, CRASH, SPIN, SLEEP, EAT, SHORT, EXPLORE, SILENCE, QUIT, MEMORY, ENVIRONMENT = range(11)

FLOATS, WORDS = ("f4", "f8"), ("u1", "u2")
CODECS = {
    "zfp": (lambda: hdf5plugin.Zfp(reversible=True), FLOATS),
    "zfp_rate": (lambda: hdf5plugin.Zfp(rate=12), FLOATS),
    "sz": (lambda: hdf5plugin.SZ(absolute=1e-2), FLOATS),
    "sz3": (lambda: hdf5plugin.SZ3(absolute=1e-2), FLOATS),
    "sperr": (lambda: hdf5plugin.Sperr(rate=12), FLOATS),
    "blosc2": (lambda: hdf5plugin.Blosc2(cname="zstd"), ("i2", "i4", "f4", "f8", ">i4", "S7")),
    "blosc2_bits": (lambda: hdf5plugin.Blosc2(cname="lz4", filters=hdf5plugin.Blosc2.BITSHUFFLE), ("u2", ">f8")),
    "fcidecomp": (lambda: hdf5plugin.FciDecomp(), WORDS),
}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """A folder with hdf5plugin's plugins and the odd one."""
    folder = tmp_path_factory.mktemp("plugins")
    for plugin in Path(hdf5plugin.PLUGIN_PATH).glob("*.so"):
        (folder / plugin.name).symlink_to(plugin)
    odd = folder / "libh5odd.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", odd, HERE / "odd_filter.c"], check=True)
    h5py.h5pl.append(bytes(folder))
    return folder


@pytest.fixture
def reader(binary, tmp_path, plugins):
    """The binary, with the plugins."""
    return Tarn(binary, env={"HOME": str(tmp_path), "HDF5_PLUGIN_PATH": str(plugins), "TARN_SECRET": "1"})


def values(tarn, path, name, out, where=""):
    """The values of a variable in the order of its cells."""
    with h5py.File(path) as file:
        rank = file[name].ndim
    axes = ", ".join(f"dim_{i}" for i in range(rank))
    select = json.dumps({"select": [*(f"dim_{i}" for i in range(rank)), name]})
    query = f"SELECT \"{name}\" FROM read_hdf5('{path}', NULL, '{select}') {where} ORDER BY {axes}"
    tarn.run("sql", query, "--format", "arrow", "--output", out)
    with pa.ipc.open_stream(out) as stream:
        return np.asarray(stream.read_all()[name])


def random_data(rng, dtype, shape):
    """Something smooth that lossy codecs can keep, or texts."""
    if dtype.startswith("S"):
        return np.array([f"t{n}" for n in rng.integers(0, 999, shape).ravel()], dtype).reshape(shape)
    steps = np.cumsum(rng.integers(-3, 4, shape), axis=-1)
    return (steps % 200 if dtype in WORDS else steps / (1 if "i" in dtype else 7)).astype(dtype)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seed", range(2))
def test_every_value_is_what_h5py_reads_with_the_same_plugin(reader, tmp_path, codec, seed):
    rng = np.random.default_rng([seed, list(CODECS).index(codec)])
    make, dtypes = CODECS[codec]
    path = tmp_path / "f.h5"
    for dtype in dtypes:
        rank = 2 if codec in ("fcidecomp", "sperr") else int(rng.integers(1, 4))
        shape = tuple(int(n) for n in rng.integers(9, (400, 40, 16)[rank - 1], rank))
        chunks = tuple(int(rng.integers(8, n + 1)) for n in shape)
        with h5py.File(path, "w") as file:
            data = random_data(rng, dtype, shape)
            # SZ and its like describe the data to themselves; others stand other filters around them.
            extra = {"fletcher32": True} if codec.startswith(("blosc2", "zfp")) and seed else {}
            file.create_dataset("x", data=data, chunks=chunks, **dict(make()), **extra)
        with h5py.File(path) as file:
            want = file["x"][()]
        got = values(reader, path, "x", tmp_path / "out.arrow")
        want = want.astype(str) if dtype.startswith("S") else want.astype(want.dtype.newbyteorder("="))
        np.testing.assert_array_equal(got, want.ravel(), err_msg=f"{dtype} {shape} {chunks}")
        # A box, inside chunks and across them.
        first = [int(rng.integers(0, n)) for n in shape]
        last = [int(rng.integers(low, n)) for low, n in zip(first, shape, strict=True)]
        bounds = list(enumerate(zip(first, last, strict=True)))
        where = " AND ".join(f"dim_{i} BETWEEN {low} AND {high}" for i, (low, high) in bounds)
        got = values(reader, path, "x", tmp_path / "out.arrow", f"WHERE {where}")
        box = tuple(slice(low, high + 1) for _, (low, high) in bounds)
        np.testing.assert_array_equal(got, want[box].ravel(), err_msg=f"{dtype} {shape} {chunks} {where}")


def with_odd(file, name, data, chunks, behaviour=IDENTITY, before=None, is_written=True):
    """A dataset behind filters and the odd one, which does nothing while it is written."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(chunks)
    if before:
        before(plist)
    if behaviour is not None:
        plist.set_filter(ODD, h5py.h5z.FLAG_OPTIONAL, (behaviour,))
    space = h5py.h5s.create_simple(data.shape)
    dataset = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(data.dtype), space, plist))
    if is_written:
        dataset[...] = data
    return dataset


def set_filter(number, *parameters):
    return lambda plist: plist.set_filter(number, 0, parameters)


# Without Blosc: other tests load netCDF4's plugin for it into this process, which writes no such dataset.
NATIVE = {
    "none": None,
    "deflate": lambda plist: plist.set_deflate(4),
    "shuffle": lambda plist: plist.set_shuffle(),
    "fletcher32": lambda plist: plist.set_fletcher32(),
    "scaleoffset": lambda plist: plist.set_scaleoffset(h5py.h5z.SO_INT, 0),
    "bzip2": set_filter(307, 5),
    "lz4": set_filter(32004, 0),
    "bitshuffle": set_filter(32008, 0, 2),
    "zstd": set_filter(32015, 3),
}


@pytest.mark.parametrize("native", NATIVE)
def test_the_library_and_tarn_read_the_same_bytes_behind_the_same_filters(reader, tmp_path, native):
    """With the odd filter at the end, which changes nothing, libhdf5 undoes what Tarn undoes without it."""
    rng = np.random.default_rng(len(native))
    path = tmp_path / "f.h5"
    for dtype in ("i2", ">u4", "i8"):
        data = np.cumsum(rng.integers(-5, 6, (50, 33)), axis=0).astype(dtype)
        with h5py.File(path, "w") as file:
            with_odd(file, "by_library", data, (16, 10), before=NATIVE[native])
            with_odd(file, "by_tarn", data, (16, 10), behaviour=None, before=NATIVE[native])
        listed = reader.sql(f"SELECT path, fallback FROM variables('{path}') ORDER BY path").rows
        assert listed == [["/by_library", True], ["/by_tarn", False]]
        for name in ("by_library", "by_tarn"):
            got = values(reader, path, name, tmp_path / "o.arrow")
            np.testing.assert_array_equal(got, data.ravel().astype(dtype[-2:]), err_msg=name)


def test_any_type_may_stand_behind_a_foreign_filter_and_chunks_without_it(reader, tmp_path):
    path = tmp_path / "f.h5"
    pairs = np.array([(1, 2.5), (3, -4.0), (5, 6.0)], [("a", "<i2"), ("b", ">f4")])
    with h5py.File(path, "w") as file:
        with_odd(file, "pair", pairs, (2,))
        with_odd(file, "flag", np.array([True, False, True]), (2,))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2,))
        plist.set_filter(ODD, h5py.h5z.FLAG_OPTIONAL, (IDENTITY,))
        texts, three = h5py.h5t.py_create(h5py.string_dtype(), logical=True), h5py.h5s.create_simple((3,))
        h5py.Dataset(h5py.h5d.create(file.id, b"text", texts, three, plist))[...] = ["one", "two", "three"]
        # One chunk says that the filter was left out; it would end the process.
        masked = with_odd(file, "masked", np.arange(4, dtype="i4"), (4,), CRASH, is_written=False)
        masked.id.write_direct_chunk((0,), np.arange(4, dtype="i4").tobytes(), filter_mask=1)
        # And one was never written.
        plist.set_fill_value(np.array(7, "i4"))
        empty = h5py.h5d.create(file.id, b"empty", h5py.h5t.NATIVE_INT32, three, plist)
        assert empty.get_num_chunks() == 0
    rows = reader.sql(f"SELECT pair, flag, text, empty FROM read_hdf5('{path}', 'dim_0_3') ORDER BY dim_0").rows
    assert rows == [
        [{"a": 1, "b": 2.5}, True, "one", 7],
        [{"a": 3, "b": -4.0}, False, "two", 7],
        [{"a": 5, "b": 6.0}, True, "three", 7],
    ]
    assert reader.sql(f"SELECT sum(masked) FROM read_hdf5('{path}', 'dim_0_4')").rows == [[6]]


@pytest.fixture
def one(tmp_path, plugins):
    """A file with a plain variable, and one behind the odd filter."""

    def make(behaviour, name="odd.h5"):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file["plain"] = np.arange(100, dtype="u1")
            with_odd(file, "x", np.arange(100, dtype="u1"), (10,), behaviour)
        return path

    return make


@pytest.mark.parametrize(
    "behaviour, words, code",
    [
        (CRASH, ["SIGSEGV"], 5),
        (SPIN, ["10 s", "stopped"], 1),
        (EAT, ["libhdf5"], 5),
        (SLEEP, ["30 s", "stopped"], 1),
        (SHORT, ["libhdf5"], 5),
        (SILENCE, ["libhdf5"], None),
        (QUIT, ["exit status: 3"], 5),
    ],
)
def test_whatever_a_plugin_does_the_error_names_it_and_the_process_lives(reader, one, behaviour, words, code):
    path = one(behaviour)
    done = reader.run("sql", f"SELECT sum(x) FROM read_hdf5('{path}')", code=None, timeout=120)
    assert done.code == code or (code is None and done.code in (1, 5)), done.describe()
    for word in [*words, "/x", "480", path.name]:
        assert word in done.err or (word == "10 s" and "30 s" in done.err), done.describe()
    assert "panicked" not in done.err
    # The rest of the file is read.
    assert reader.sql(f"SELECT sum(plain) FROM read_hdf5('{path}')").rows == [[4950]]


def landlock():
    """Version of the kernel's Landlock; -1 where it has none."""
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


def test_a_plugin_finds_no_files_no_programs_no_network_and_no_environment(reader, one, tmp_path):
    abi = landlock()
    # What this kernel cannot take away: files (1) and programs (4), signals (2), TCP (8).
    free = (0 if abi >= 1 else 1 | 4) | (0 if abi >= 6 else 2) | (0 if abi >= 4 else 8)
    for behaviour, mask in ((EXPLORE, 0xFF ^ free), (ENVIRONMENT, 0xFF)):
        got = values(reader, one(behaviour), "x", tmp_path / "out.arrow").copy()
        want = np.arange(100, dtype="u1")
        got[::10] &= mask
        want[::10] = 0
        np.testing.assert_array_equal(got, want)
    assert abi < 1 or not Path("/tmp/tarn-odd-filter").exists()


def test_a_child_sees_chunks_of_one_file_only(reader, one):
    """The odd filter gives away what the chunk before began with; the first chunk of a file must find nothing."""
    first, second = one(MEMORY, "first.h5"), one(MEMORY, "second.h5")
    of = "SELECT min(x) FROM read_hdf5('{}') WHERE dim_0 = 90"
    assert reader.sql(f"SELECT ({of.format(first)}) AS a, ({of.format(second)}) AS b").rows == [[0, 0]]


def test_a_missing_library_or_plugin_is_named_and_the_rest_is_read(binary, one, tmp_path):
    path = one(IDENTITY)
    home = {"HOME": str(tmp_path)}
    for env, words in [
        ({**home, "TARN_HDF5_LIBRARY": "/no/libhdf5.so"}, ["TARN_HDF5_LIBRARY", "/no/libhdf5.so", "apt-get install"]),
        ({**home, "HDF5_PLUGIN_PATH": str(tmp_path)}, ["HDF5_PLUGIN_PATH", "no plugin"]),
    ]:
        tarn = Tarn(binary, env=env)
        (row,) = tarn.sql(f"SELECT unreadable FROM variables('{path}') WHERE path = '/x'").rows
        said = tarn.run("sql", f"SELECT x FROM read_hdf5('{path}')", code=2).err
        for word in words:
            assert word in row[0], row
        assert "x" in said
        assert tarn.sql(f"SELECT sum(plain) FROM read_hdf5('{path}')").rows == [[4950]]


def test_a_virtual_dataset_of_what_cannot_be_read_is_refused_and_not_filled(binary, reader, tmp_path):
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        with_odd(file, "x", np.arange(10, dtype="i4"), (5,))
        layout = h5py.VirtualLayout((10,), "i4")
        layout[:] = h5py.VirtualSource(".", "x", (10,), "i4")
        file.create_virtual_dataset("all", layout, fillvalue=-1)
    assert reader.sql(f"SELECT sum(\"all\") FROM read_hdf5('{path}')").rows == [[45]]
    without = Tarn(binary, env={"HOME": str(tmp_path), "HDF5_PLUGIN_PATH": str(tmp_path)})
    rows = without.sql(f"SELECT path, unreadable FROM variables('{path}') ORDER BY path").rows
    assert [row[0] for row in rows] == ["/all", "/x"]
    assert all("filter 480" in row[1] for row in rows), rows


def test_a_plan_says_what_the_library_reads(reader, one):
    plan = reader.sql(f"EXPLAIN SELECT * FROM read_hdf5('{one(IDENTITY)}', '/x')").rows
    assert any("x (by libhdf5)" in row[-1] for row in plan), plan


def test_another_build_of_the_library_may_be_named(binary, one, plugins, tmp_path):
    (own,) = Path(h5py.__file__).parent.parent.glob("h5py.libs/libhdf5-*.so*")
    env = {"HOME": str(tmp_path), "HDF5_PLUGIN_PATH": str(plugins), "TARN_HDF5_LIBRARY": str(own)}
    got = values(Tarn(binary, env=env), one(IDENTITY), "x", tmp_path / "o.arrow")
    np.testing.assert_array_equal(got, np.arange(100, dtype="u1"))


READ_BY_H5PY = """
import sys, h5py, hdf5plugin
with h5py.File(sys.argv[1]) as file:
    try:
        sys.stdout.buffer.write(b"v" + file["x"][()].tobytes())
    except Exception:
        sys.stdout.buffer.write(b"e")
"""


@pytest.mark.parametrize("codec", ["zfp", "sz", "sz3", "blosc2", "sperr", "fcidecomp"])
def test_damaged_chunks_are_errors_or_what_h5py_reads_and_never_a_crash(reader, tmp_path, codec):
    rng, path = random.Random(codec), tmp_path / "f.h5"
    make, (dtype, *_) = CODECS[codec]
    data = random_data(np.random.default_rng(1), dtype, (32, 24))
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=data, chunks=(16, 24), **dict(make()))
        chunk = file["x"].id.get_chunk_info(0)
    whole = path.read_bytes()
    for round_ in range(4):
        damaged = bytearray(whole)
        if round_ == 0:
            middle, end = chunk.byte_offset + chunk.size // 2, chunk.byte_offset + chunk.size
            damaged[middle:end] = bytes(end - middle)
        for _ in range(rng.randint(1, 6) if round_ else 0):
            damaged[chunk.byte_offset + rng.randrange(chunk.size)] = rng.randrange(256)
        path.write_bytes(damaged)
        done = reader.run("sql", f"SELECT count(x) FROM read_hdf5('{path}')", code=None, timeout=120)
        assert "panicked" not in done.err, done.describe()
        if done.code != 0:
            assert done.code in (1, 5) and "libhdf5" in done.err, done.describe()
            continue
        by_h5py = subprocess.run([sys.executable, "-c", READ_BY_H5PY, path], capture_output=True, timeout=120, check=False)
        # What it makes of damage may differ between two runs of a plugin that reads past its input; what it
        # says to be sound does not.
        if by_h5py.stdout[:1] == b"v":
            got = values(reader, path, "x", tmp_path / "o.arrow")
            np.testing.assert_array_equal(got, np.frombuffer(by_h5py.stdout[1:], dtype), err_msg=f"round {round_}")


def test_files_on_the_web_are_read_too(reader, tmp_path):
    data = np.arange(6000, dtype="f4").reshape(60, 100) / 7
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("x", data=data, chunks=(20, 30), **dict(hdf5plugin.Zfp(reversible=True)))
    with web_server(tmp_path) as web:
        rows = reader.sql(f"SELECT min(x), max(x), count(x) FROM read_hdf5('{web.url}/f.h5')").rows
    assert rows == [[0.0, pytest.approx(float(data.max()), abs=0), 6000]]


def children_of(process):
    """Processes of this parent: state by number."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, rest = stat.read_text().split(" (", 1)
        except OSError:
            continue
        state, parent, *_ = rest.rsplit(") ", 1)[1].split()
        if int(parent) == process:
            found[int(number)] = state
    return found


def test_tables_in_place_and_ingested_are_read_by_a_server_with_few_children_and_no_leak(new_lab, one, plugins, tmp_path):
    lab = new_lab("ornl", env={"HDF5_PLUGIN_PATH": str(plugins)})
    good, bad = one(IDENTITY, "good.h5"), one(CRASH, "bad.h5")
    files = [good, bad]
    for index in range(6):
        files.append(tmp_path / f"more_{index}.h5")
        shutil.copy(good, files[-1])
        with h5py.File(files[-1], "a") as file:
            file.attrs["index"] = index
    # Statistics of the broken variable cannot be had: it is left out of the record's files.
    lab.run("register", write_record(tmp_path / "record.yaml", [f for f in files if f != bad]))
    lab.run("ingest", good, "--dataset", "data", "--table", "copied")
    lab.run("ingest", *files[2:], "--dataset", "data", "--table", "placed", "--in-place")
    assert lab.sql("SELECT sum(x), count(*) FROM data.copied").rows == [[4950, 100]]
    lab.start()
    server = lab.process.pid

    def ask(query):
        url, headers = f"{lab.http_url}/api/v1/sql", {"Accept": "application/json"}
        return requests.post(url, json={"query": query}, headers=headers, timeout=120).json()["rows"]

    def descriptors():
        return len(os.listdir(f"/proc/{server}/fd"))

    total, query = [{"s": 6 * 4950}], "SELECT sum(x) AS s FROM data.placed WHERE x >= 0"
    assert ask("SELECT sum(x) AS s FROM data.placed") == total
    counts = []
    for _ in range(3):
        most, answers = 0, []
        threads = [threading.Thread(target=lambda: answers.append(ask(query))) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, len(children_of(server)))
            time.sleep(0.01)
        assert answers == [total] * 8
        assert 1 <= most <= 4
        assert "Z" not in children_of(server).values()
        counts.append(descriptors())
    # Connections may be open for a while; a socket for each of 48 chunks would show.
    assert counts[-1] < counts[0] + 16, counts
    # A child that is killed is replaced.
    for child in children_of(server):
        os.kill(child, 9)
    assert ask(query) == total
    assert "Z" not in children_of(server).values()
    lab.stop()
    assert not children_of(server)
