"""Writes files with h5py and netCDF4, and what these two read back from them.

usage: generate.py FOLDER    writes FOLDER/*.h5, *.nc and FOLDER/expected.json
"""
import ctypes
import json
import pathlib
import sys

import h5py
import hdf5plugin
import netCDF4
import numpy as np

folder = pathlib.Path(sys.argv[1])
expected = []
rng = np.random.default_rng(7)


def values(array):
    """Numbers as little-endian bytes in hexadecimal, everything else as text."""
    array = np.asarray(array)
    if array.dtype.kind in "iufb":
        kind = array.dtype.newbyteorder("<")
        return {"type": kind.name, "hex": np.ascontiguousarray(array.astype(kind)).tobytes().hex()}
    if array.dtype.kind == "V":
        return {"type": f"fixedsizebinary({array.dtype.itemsize})", "hex": array.tobytes().hex()}
    flat = array.ravel().tolist()
    return {"type": "text", "texts": [t.decode("latin-1") if isinstance(t, bytes) else str(t) for t in flat]}


def note_h5(file, names=None, mode="r"):
    with h5py.File(folder / file, mode) as f:
        for name in names or [n for n in f if isinstance(f.get(n), h5py.Dataset)]:
            d = f[name]
            if h5py.check_string_dtype(d.dtype):
                data = d.asstr()[()]
            else:
                data = d[()]
            base = {"file": file, "path": "/" + name, "shape": list(d.shape)}
            if d.dtype.kind == "V" and d.dtype.names:
                for field in d.dtype.names:
                    expected.append(base | {"field": field} | values(data[field]))
            else:
                expected.append(base | values(data))


def note_nc(file):
    with netCDF4.Dataset(folder / file) as f:
        f.set_auto_maskandscale(False)
        f.set_auto_chartostring(False)

        def walk(group, prefix):
            for name, v in group.variables.items():
                data = v[...]
                data = data.filled() if hasattr(data, "filled") else data
                attributes = {a: v.getncattr(a) for a in v.ncattrs()}
                expected.append({
                    "file": file, "path": f"{prefix}/{name}", "shape": list(v.shape), "dims": list(v.dimensions),
                    "unlimited": [d.isunlimited() for d in v.get_dims()],
                    "attributes": sorted(attributes),
                } | values(data))
            for name, sub in group.groups.items():
                walk(sub, f"{prefix}/{name}")

        walk(f, "")


def plain(file, **options):
    """Every filter, layout and number type that h5py writes."""
    with h5py.File(folder / file, "w", **options) as f:
        a = (rng.standard_normal((23, 17)) * 100).round(2)
        for kind in ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", ">u4", "<i8", ">i8", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]:
            f.create_dataset("contiguous_" + kind.replace("<", "l").replace(">", "b"), data=np.abs(a).astype(kind))
        f.create_dataset("chunked", data=a, chunks=(5, 4))
        f.create_dataset("deflate_shuffle", data=a, chunks=(5, 4), compression="gzip", shuffle=True)
        f.create_dataset("fletcher", data=a, chunks=(5, 4), fletcher32=True)
        f.create_dataset("all_three", data=a.astype(">f4"), chunks=(10, 17), compression="gzip", shuffle=True, fletcher32=True)
        f.create_dataset("odd_fletcher", data=np.arange(7, dtype="u1"), chunks=(7,), fletcher32=True)
        f.create_dataset("lzf", data=a.astype("i4"), chunks=(23, 17), compression="lzf", shuffle=True)
        # LZF behind a filter that changes the size.
        f.create_dataset("scaled_lzf", data=a.astype("i4"), chunks=(23, 17), scaleoffset=0, compression="lzf")
        f.create_dataset("scaleoffset_int", data=a.astype("i4"), chunks=(6, 6), scaleoffset=0)
        f.create_dataset("scaleoffset_float", data=a.astype("f4"), chunks=(6, 6), scaleoffset=2)
        try:
            f.create_dataset("szip", data=a.astype("f4"), chunks=(8, 16), compression="szip")
        except ValueError:
            pass
        f.create_dataset("unlimited", data=a, chunks=(4, 17), maxshape=(None, 17))
        f.create_dataset("unlimited_twice", data=a, chunks=(4, 4), maxshape=(None, None))
        f.create_dataset("one_chunk", data=a, chunks=(23, 17))
        f.create_dataset("one_chunk_deflate", data=a, chunks=(23, 17), compression="gzip")
        holes = f.create_dataset("holes", shape=(40, 30), dtype="i4", chunks=(7, 7), fillvalue=-99)
        holes[12:15, 3:20] = 5
        f.create_dataset("never_written", shape=(5, 5), dtype="f8", fillvalue=1.5)
        shrunk = f.create_dataset("shrunk", data=a, chunks=(4, 4), maxshape=(None, None))
        shrunk.resize((9, 30))
        f.create_dataset("empty", shape=(0, 3), dtype="f4", chunks=(2, 3), maxshape=(None, 3))
        f.create_dataset("scalar", data=np.float32(2.5))
        f.create_dataset("flags", data=np.array([True, False, True]))
        f.create_dataset("enum", data=np.array([3, 7, 3], "u2"), dtype=h5py.enum_dtype({"A": 3, "B": 7}, "u2"))
        f.create_dataset("texts", data=np.array(["höhe", "", "x" * 5000], dtype=object), dtype=h5py.string_dtype())
        f.create_dataset("texts_chunked", data=np.array(["a", "bb", "ccc", "dddd", "e"], dtype=object), dtype=h5py.string_dtype(), chunks=(2,), compression="gzip")
        f.create_dataset("fixed_texts", data=np.array([b"ab", b"abcd", b""], "S4"))
        f.create_dataset("compound", data=np.array([(1, 2.5, b"xy"), (3, -4.5, b"z")], [("i", ">i4"), ("f", "<f8"), ("s", "S3")]))
        arrays = f.create_dataset("array_type", shape=(2,), dtype=np.dtype((">i2", (2, 3))))
        arrays[...] = np.arange(12, dtype=">i2").reshape(2, 2, 3)
        space = h5py.h5t.C_S1.copy()
        space.set_size(6)
        space.set_strpad(h5py.h5t.STR_SPACEPAD)
        padded = h5py.h5d.create(f.id, b"space_padded", space, h5py.h5s.create_simple((2,)))
        padded.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([b"ab    ", b"a b   "], "S6"), mtype=space)
        skipped = f.create_dataset("skipped_filter", shape=(4,), dtype="<i4", chunks=(2,), compression="gzip", shuffle=True)
        skipped[...] = [1, 2, 3, 4]
        skipped.id.write_direct_chunk((2,), np.array([30, 40], "<i4").tobytes(), filter_mask=0b11)


plain("earliest.h5", libver="earliest")
plain("latest.h5", libver="latest")
plain("user_block.h5", userblock_size=1024)
for file in ["earliest.h5", "latest.h5", "user_block.h5"]:
    note_h5(file)

with h5py.File(folder / "many_chunks.h5", "w", libver="latest") as f:
    big = rng.integers(0, 1000, (300, 200)).astype("i2")
    f.create_dataset("fixed_array", data=big, chunks=(3, 2))
    f.create_dataset("extensible_array", data=big, chunks=(3, 2), maxshape=(None, 200), compression="gzip")
    f.create_dataset("btree_v2", data=big, chunks=(3, 2), maxshape=(None, None))
note_h5("many_chunks.h5")

with h5py.File(folder / "room_to_grow.h5", "w", libver="latest") as f:
    for name, now, most in [("first", (3, 7), (9, 7)), ("second", (3, 7), (3, 20)), ("both", (5, 5), (6, 11)), ("three", (2, 3, 4), (4, 3, 9))]:
        for early in [False, True]:
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_chunk(tuple(2 for _ in now))
            if early:
                properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            space = h5py.h5s.create_simple(now, most)
            d = h5py.Dataset(h5py.h5d.create(f.id, f"{name}_{early}".encode(), h5py.h5t.NATIVE_INT32, space, properties))
            d[...] = rng.integers(0, 1000, now)
    sparse = f.create_dataset("sparse", shape=(2, 2), maxshape=(2, 4), chunks=(1, 1), dtype="i4")
    sparse[1, :] = [10, 11]
    packed = f.create_dataset("packed", data=rng.integers(0, 9, (6, 6)), maxshape=(8, 9), chunks=(4, 4), compression="gzip")
    packed.resize((8, 9))
    packed[6:] = 3
note_h5("room_to_grow.h5")

# h5py has no call for H5Pset_chunk_opts: taken from the library it has loaded.
library = next(line.split()[-1] for line in open("/proc/self/maps") if "/h5py" in line and "/libhdf5" in line)
set_chunk_opts = ctypes.CDLL(library).H5Pset_chunk_opts
set_chunk_opts.argtypes = [ctypes.c_int64, ctypes.c_uint]
DONT_FILTER_PARTIAL_CHUNKS = 2

with h5py.File(folder / "edges.h5", "w", libver="latest", userblock_size=512) as f:
    unlimited = h5py.h5s.UNLIMITED
    for index, most in [("fixed_array", (23, 17)), ("extensible_array", (unlimited, 17)), ("btree_v2", (unlimited, unlimited))]:
        for filters in ["shuffle", "deflate", "fletcher32"]:
            for order in [0, h5py.h5p.CRT_ORDER_TRACKED]:
                properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                properties.set_attr_creation_order(order)
                properties.set_obj_track_times(bool(order))
                properties.set_chunk((5, 4))
                properties.set_shuffle()
                if filters == "deflate":
                    properties.set_deflate(4)
                if filters == "fletcher32":
                    properties.set_fletcher32()
                assert set_chunk_opts(properties.id, DONT_FILTER_PARTIAL_CHUNKS) == 0
                space = h5py.h5s.create_simple((23, 17), most)
                name = f"{index}_{filters}_{order}"
                d = h5py.Dataset(h5py.h5d.create(f.id, name.encode(), h5py.h5t.IEEE_F64LE, space, properties))
                d[...] = rng.standard_normal((23, 17))
                # Long headers go on in other blocks.
                for i in range(7 * order):
                    d.attrs[f"attribute {i}"] = "x" * 50
    f["extensible_array_shuffle_0"].resize((29, 17))
    f["extensible_array_shuffle_0"][23:] = 7.25
    f["btree_v2_shuffle_0"].resize((22, 19))
    f["btree_v2_shuffle_0"][:, 16:] = 1.1
note_h5("edges.h5")

# References are read as the paths of what they refer to: the texts here are what was put in.
for libver in ["earliest", "latest"]:
    file = f"references_{libver}.h5"

    def texts(path, texts, shape):
        expected.append({"file": file, "path": path, "shape": shape, "flat": True, "type": "text", "texts": texts})

    with h5py.File(folder / file, "w", libver=libver) as f:
        g = f.create_group("g")
        d = g.create_dataset("d", data=np.arange(60).reshape(6, 10))
        f["type"] = np.dtype("f4")
        objects = f.create_dataset("objects", shape=(2, 2), dtype=h5py.ref_dtype)
        objects[0, 0], objects[0, 1], objects[1, 0] = g.ref, d.ref, f["type"].ref
        texts("/objects", ["/g", "/g/d", "/type", None], [2, 2])
        regions = f.create_dataset("regions", shape=(6,), dtype=h5py.regionref_dtype)
        mask = np.zeros((6, 10), bool)
        mask[1, 2] = mask[3, 4] = True
        for i, selection in enumerate([np.s_[0:2, 1:3], np.s_[...], np.s_[4, 5:], mask, np.s_[0:0, 0:0]]):
            regions[i] = d.regionref[selection]
        texts("/regions", ["/g/d[0:2, 1:3]", "/g/d", "/g/d[4, 5:10]", "/g/d(1, 2)(3, 4)", "/g/d[]", None], [6])
        steps = f.create_dataset("steps", shape=(2,), dtype=h5py.regionref_dtype)
        steps[0], steps[1] = d.regionref[1::2, 4], d.regionref[[0, 3], 2:4]
        if libver == "latest":
            texts("/steps", ["/g/d[1:6:2, 4]", "/g/d[0:4:3, 2:4]"], [2])
        else:
            texts("/steps", ["/g/d[1, 4][3, 4][5, 4]", "/g/d[0, 2:4][3, 2:4]"], [2])
        lists = f.create_dataset("lists", shape=(2,), dtype=h5py.vlen_dtype(h5py.ref_dtype))
        pair = np.empty(2, object)
        pair[:] = [d.ref, g.ref]
        lists[1] = pair
        texts("/lists", ["/g/d", "/g"], [2])
        pairs = np.array([(7, d.ref), (8, g.ref)], dtype=[("i", "i4"), ("what", h5py.ref_dtype)])
        f.create_dataset("pairs", data=pairs)
        expected.append({"file": file, "path": "/pairs", "shape": [2], "field": "what", "type": "text", "texts": ["/g/d", "/g"]})

        words = f.create_dataset("words", shape=(3,), dtype=h5py.vlen_dtype(h5py.string_dtype()))
        words[0], words[2] = np.array(["a", "", "x" * 300], object), np.array(["grüß"], object)
        texts("/words", ["a", "", "x" * 300, "grüß"], [3])
        deep = f.create_dataset("deep", shape=(2,), dtype=h5py.vlen_dtype(h5py.vlen_dtype(np.dtype(">i4"))), chunks=(1,), compression="gzip")
        inner = np.empty(3, object)
        inner[:] = [np.arange(4, dtype="i4"), np.zeros(0, "i4"), np.array([-5], "i4")]
        deep[1] = inner
        expected.append({"file": file, "path": "/deep", "shape": [2], "flat": True} | values(np.array([0, 1, 2, 3, -5], "i4")))

# Filters of plugins, over chunks that end inside an element group, a block or the array.
with h5py.File(folder / "plugins.h5", "w") as f:
    walk = np.cumsum(rng.integers(-3, 4, 90_000))
    noise = rng.integers(0, 256, 90_000)
    filters = {"lz4": hdf5plugin.LZ4(nbytes=1000), "lz4_default": hdf5plugin.LZ4(), "zstd": hdf5plugin.Zstd(), "bzip2": hdf5plugin.BZip2(blocksize=1)}
    for cname in ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"]:
        for shuffle in range(3):
            filters[f"blosc_{cname}_{shuffle}"] = hdf5plugin.Blosc(cname=cname, clevel=7, shuffle=shuffle)
    filters["blosc_copied"] = hdf5plugin.Blosc(cname="lz4", clevel=0, shuffle=1)
    for cname in ["none", "lz4", "zstd"]:
        filters[f"bitshuffle_{cname}"] = hdf5plugin.Bitshuffle(cname=cname)
        filters[f"bitshuffle_{cname}_64"] = hdf5plugin.Bitshuffle(nelems=64, cname=cname)
    for name, options in filters.items():
        for kind in ["u1", "<i2", ">f4", "<f8"]:
            f.create_dataset(f"{name}_{kind[-2:]}", data=walk[:6001].astype(kind), chunks=(2003,), **options)
        f.create_dataset(f"{name}_noise", data=noise[:3000].astype("u1"), chunks=(3000,), **options)
        f.create_dataset(f"{name}_short", data=np.arange(5, dtype="<i4"), chunks=(5,), **options)
        f.create_dataset(f"{name}_three", data=np.frombuffer(noise[:3000].astype("u1").tobytes(), "V3"), chunks=(1000,), **options)
    # Several blocks a chunk, matches from far away, runs longer than a byte tells.
    far = np.concatenate([noise[:20_000], noise[:20_000], np.zeros(50_000)]).astype("u1")
    for cname in ["blosclz", "lz4", "zstd"]:
        f.create_dataset(f"blosc_{cname}_far", data=far, chunks=far.shape, **hdf5plugin.Blosc(cname=cname, clevel=9, shuffle=0))
        f.create_dataset(f"blosc_{cname}_large", data=walk[:70_001].astype("<i4"), chunks=(70_001,), **hdf5plugin.Blosc(cname=cname, clevel=1))
    f.create_dataset("shuffle_zstd", data=walk[:5000].astype("<f8"), chunks=(999,), shuffle=True, **hdf5plugin.Zstd())
    f.create_dataset("fletcher_blosc", data=walk[:5000].astype("<i2"), chunks=(999,), fletcher32=True, **hdf5plugin.Blosc())
note_h5("plugins.h5")

# Files that refer to each other.
family = folder / "family"
(family / "below").mkdir(parents=True)
for i in range(4):
    with h5py.File(family / f"frames_{i}.h5", "w") as f:
        f.create_dataset("entry/data", data=rng.integers(0, 1000, (3, 5, 6)).astype("<i2"), chunks=(1, 5, 6), compression="gzip")
        f.create_dataset("one", data=rng.standard_normal((5, 6)))
        f["entry/same"] = h5py.SoftLink("/entry/data")
with h5py.File(family / "growing.h5", "w", libver="latest") as f:
    f.create_dataset("data", data=np.arange(70, dtype="<i2").reshape(7, 10), maxshape=(None, 10))
with h5py.File(family / "below" / "deep.h5", "w") as f:
    f["x"] = np.arange(5)
    f["x"].make_scale("x")
    f["g/y"] = np.arange(5) / 3
    f["g/y"].attrs["units"] = "m"
    f["g"].attrs["note"] = "of a group"
    f["g/up"] = h5py.ExternalLink("other.h5", "/z")
with h5py.File(family / "below" / "other.h5", "w") as f:
    f["z"] = np.arange(3)


def virtual(file, libver):
    unlimited = h5py.h5s.UNLIMITED

    def low(f, name, shape, most, mappings, kind="<i2", fill=-7):
        """A virtual dataset of selections that h5py's own interface does not make."""
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_fill_value(np.array(fill, kind))
        for target, source_file, path, (source_shape, source_most, selections) in mappings:
            whole = h5py.h5s.create_simple(shape, most)
            space = h5py.h5s.create_simple(source_shape, source_most)
            for sid, chosen in [(whole, target), (space, selections)]:
                for i, (start, count, stride, block) in enumerate(chosen):
                    op = h5py.h5s.SELECT_SET if i == 0 else h5py.h5s.SELECT_OR
                    sid.select_hyperslab(start, count, stride, block, op)
            properties.set_virtual(whole, source_file.encode(), path.encode(), space)
        whole = h5py.h5s.create_simple(shape, most)
        h5py.h5d.create(f.id, name.encode(), h5py.h5t.py_create(np.dtype(kind)), whole, properties)

    sources = [h5py.VirtualSource(f"frames_{i}.h5", "entry/data", (3, 5, 6), "<i2") for i in range(5)]
    ones = [h5py.VirtualSource(f"frames_{i}.h5", "one", (5, 6), "<f8") for i in range(4)]
    with h5py.File(family / file, "w", libver=libver) as f:
        f["own"] = np.arange(24, dtype="<i2").reshape(4, 6)
        layout = h5py.VirtualLayout((15, 5, 6), "<i2")
        for i, source in enumerate(sources):
            layout[3 * i : 3 * i + 3] = source
        f.create_virtual_dataset("stack", layout, fillvalue=-7)
        layout = h5py.VirtualLayout((4, 5, 6), "<f8")
        for i, source in enumerate(ones):
            layout[i] = source
        f.create_virtual_dataset("single", layout, fillvalue=2.5)
        layout = h5py.VirtualLayout((6, 5, 6), "<i2")
        layout[0::2], layout[1::2] = sources[0], sources[2]
        f.create_virtual_dataset("woven", layout)
        layout = h5py.VirtualLayout((20, 9, 8), "<i2")
        layout[4:19:6, 1:8:3, 3:6] = sources[1][0:3, 0:5:2, 1:6:2]
        layout[0, 0:5, 0:6] = sources[3][2]
        layout[19:20, 8, 2:8] = h5py.VirtualSource(".", "own", (4, 6), "<i2")[3]
        f.create_virtual_dataset("strewn", layout, fillvalue=-7)
        layout = h5py.VirtualLayout((3, 5, 6), "<i2")
        layout[:] = h5py.VirtualSource("frames_1.h5", "entry/same", (3, 5, 6), "<i2")
        f.create_virtual_dataset("through_link", layout)
        layout = h5py.VirtualLayout((6, 4), "<i2")
        layout[0:5, 0] = h5py.VirtualSource("frames_1.h5", "entry/data", (3, 5, 6), "<i2")[0, :, 2]
        layout[5, :] = h5py.VirtualSource("frames_1.h5", "entry/data", (3, 5, 6), "<i2")[1, 0, 2:6]
        f.create_virtual_dataset("slices", layout)
        layout = h5py.VirtualLayout((2, 5, 6), "<i2")
        layout[:] = h5py.VirtualSource(".", "stack", (15, 5, 6), "<i2")[2:4]
        f.create_virtual_dataset("nested", layout)
        low(f, "blocks", (20, 10), (20, 10), [([((1, 0), (3, 1), (6, 1), (2, 10))], "growing.h5", "data", ((7, 10), (7, 10), [((0, 0), (3, 1), (2, 1), (2, 10))]))])
        low(f, "two_boxes", (9, 10), (9, 10), [([((0, 0), (1, 1), None, (2, 4)), ((5, 3), (1, 1), None, (1, 4))], "growing.h5", "data", ((7, 10), (7, 10), [((1, 6), (1, 1), None, (2, 4)), ((6, 0), (1, 1), None, (1, 4))]))])
        frame = ((3, 5, 6), (3, 5, 6), [((0, 0, 0), (1, 1, 1), None, (3, 5, 6))])
        low(f, "numbered", (0, 5, 6), (unlimited, 5, 6), [([((0, 0, 0), (unlimited, 1, 1), (3, 1, 1), (3, 5, 6))], "frames_%b.h5", "/entry/data", frame)])
        low(f, "numbered_apart", (0, 5, 6), (unlimited, 5, 6), [([((1, 0, 0), (unlimited, 1, 1), (5, 1, 1), (3, 5, 6))], "frames_%b.h5", "/entry/data", frame)])
        grows = ((7, 10), (unlimited, 10), [((1, 0), (unlimited, 1), (2, 1), (1, 10))])
        low(f, "follows", (0, 10), (unlimited, 10), [([((0, 0), (unlimited, 1), (1, 1), (1, 10))], "growing.h5", "data", grows)])
        grows = ((7, 10), (unlimited, 10), [((2, 0), (1, 1), (1, 1), (unlimited, 10))])
        low(f, "follows_all", (0, 10), (unlimited, 10), [([((3, 0), (1, 1), (1, 1), (unlimited, 10))], "growing.h5", "data", grows)])
        low(f, "other_type", (5, 6), (5, 6), [([((0, 0), (1, 1), None, (5, 6))], "frames_0.h5", "one", ((5, 6), (5, 6), [((0, 0), (1, 1), None, (5, 6))]))], kind=">f8", fill=0)
        low(f, "circle", (4,), (4,), [([((0,), (1,), None, (4,))], ".", "circle", ((4,), (4,), [((0,), (1,), None, (4,))]))], fill=0)
        for name, (to, path) in {
            "dataset": ("frames_2.h5", "/entry/data"), "group": ("below/deep.h5", "/g"), "whole": ("below/deep.h5", "/"),
            "soft": ("frames_2.h5", "/entry/same"), "no_file": ("gone.h5", "/x"), "no_object": ("frames_2.h5", "/gone"),
            "upwards": ("../plugins.h5", "/x"), "absolute": (str(folder / "plugins.h5"), "/x"), "itself": (file, "/own"),
            "back": ("back.h5", "/forth"),
        }.items():
            f[f"links/{name}"] = h5py.ExternalLink(to, path)
    note_h5(f"family/{file}", [n for n in h5py.File(family / file) if n not in ("links", "other_type", "circle")] + ["links/dataset", "links/group/y", "links/group/up", "links/whole/x", "links/whole/g/y", "links/soft"])


virtual("virtual.h5", None)
virtual("virtual_latest.h5", "latest")
with h5py.File(family / "back.h5", "w") as f:
    f["forth/again"] = h5py.ExternalLink("virtual.h5", "/own")
    f["forth/v"] = 1

with h5py.File(folder / "links.h5", "w", libver="latest") as f:
    g = f.create_group("g")
    d = g.create_dataset("d", data=np.arange(4))
    g["back"] = f
    f["again"] = g
    f["alias"] = d
    f["soft"] = h5py.SoftLink("/g/d")
    f["soft_through"] = h5py.SoftLink("/g/back/soft")
    f["dangling"] = h5py.SoftLink("/nowhere")
    f["loop"] = h5py.SoftLink("/loop")
    f["outside"] = h5py.ExternalLink("other.h5", "/x")
    f["references"] = np.array([d.ref], dtype=h5py.ref_dtype)
    f.create_virtual_dataset("virtual", h5py.VirtualLayout((4,), "i8"))
    many = f.create_group("many")
    for i in range(40):
        many.create_dataset(f"v{i}", data=i)
    for i in range(20):
        d.attrs[f"attribute {i}"] = np.arange(i + 1, dtype=">i4")
    d.attrs["text"] = "grüß"
    d.attrs["texts"] = ["a", "b"]
    d.attrs["fixed"] = np.bytes_("abc")
    d.attrs["flag"] = True
    d.attrs["nothing"] = h5py.Empty("f4")
    d.attrs["reference"] = d.ref
# A group with two names is listed under the first of them, "again".
note_h5("links.h5", ["again/d", "alias", "soft", "soft_through", "many/v39"])

# Not read as a whole by the tests of the contract.
with h5py.File(folder / "huge.hdf5", "w", libver="latest") as f:
    huge = f.create_dataset("huge", shape=(10**6, 10**6), dtype="f8", chunks=(100, 100), fillvalue=2.5)
    huge[500_000, 500_000] = 1
    f.create_dataset("data", data=rng.random(1_000_000), chunks=(10_000,))

with netCDF4.Dataset(folder / "groups.nc", "w") as f:
    f.title = "groups"
    f.createDimension("time", None)
    f.createDimension("x", 3)
    f.createDimension("bnds", 2)
    t = f.createVariable("time", "f8", ("time",))
    t[:] = np.arange(5)
    t.units = "days since 2000-01-01"
    long = f.createVariable("long", "f4", ("time", "x"), zlib=True, shuffle=True, chunksizes=(2, 3))
    long[:] = rng.standard_normal((5, 3))
    short = f.createVariable("short", "i2", ("time", "x"), fill_value=-7, fletcher32=True)
    short[0:2] = 1
    default = f.createVariable("default_fill", "i4", ("time",))
    default[1] = 4
    f.createVariable("bounds", ">f4", ("time", "bnds"), endian="big")[:] = rng.standard_normal((5, 2))
    f.createVariable("x", "i4", ("x", "bnds"))[:] = np.arange(6).reshape(3, 2)
    f.createVariable("name", "S1", ("x", "bnds"))[:] = np.array([["a", "b"], ["c", ""], ["", ""]], "S1")
    f.createVariable("text", str, ("x",))[:] = np.array(["eins", "", "drei"], dtype=object)
    f.createVariable("crs", "i4")
    g = f.createGroup("inner")
    g.note = "of a group"
    g.createDimension("x", 4)
    g.createVariable("x", "f4", ("x",))[:] = np.arange(4)
    g.createVariable("both", "f8", ("time", "x"))[:] = rng.standard_normal((5, 4))
    h = g.createGroup("deeper")
    h.createVariable("v", "u1", ("x",))[:] = [1, 2, 3, 4]
    h.createVariable("x", "u1", ("time", "x"))[:] = np.arange(20).reshape(5, 4)
note_nc("groups.nc")

# Variables that end before their unlimited dimension does: past their end the library gives the fill of the
# variable, or the default of the type where there is none. Inside, all chunks are written: what a variable
# without fills holds where nothing was written is undefined.
for file, fills in [("no_fills.nc", False), ("fills.nc", True)]:
    with netCDF4.Dataset(folder / file, "w") as f:
        if not fills:
            f.set_fill_off()
        f.createDimension("time", None)
        f.createDimension("x", 4)
        f.createVariable("time", "f8", ("time",))[:] = np.arange(7)
        for code in ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", ">f8", "S1", str]:
            name = "str" if code is str else code.strip(">")
            some = {"S1": b"z", "str": "zz"}.get(name, 42)
            for fill in [None, some]:
                options = {"chunksizes": (2, 2)} | ({"endian": "big"} if code == ">f8" else {})
                options |= {} if fill is None else {"fill_value": fill}
                suffix = "" if fill is None else "_own"
                whole = f.createVariable(f"{name}{suffix}", code, ("time", "x"), **options)
                whole[0:4] = np.full((4, 4), {"S1": b"q", "str": "q"}.get(name, 5), object if code is str else whole.dtype)
                f.createVariable(f"{name}{suffix}_never", code, ("time", "x"), **options)
    note_nc(file)

with netCDF4.Dataset(folder / "undefined.nc", "w") as f:
    f.set_fill_off()
    f.createDimension("x", 4)
    f.createVariable("chunked", "i2", ("x",), chunksizes=(2,))[2:] = [7, 8]
    f.createVariable("contiguous", "f4", ("x",))

# The same by h5py, which defines no fills: in chunks of their own 0, past the end the default of the type.
# Where two dimensions are longer than the variable, the library itself leaves memory as it is: that is computed here.
with h5py.File(folder / "scales.nc", "w") as f:
    scales = [f.create_dataset(name, data=np.arange(n, dtype="f8"), maxshape=(most,), chunks=(3,)) for name, n, most in [("time", 7, None), ("x", 4, 4)]]
    for name, scale in zip(["time", "x"], scales):
        scale.make_scale(name)
    for kind in ["<i2", ">i4", "<f4", "<f8"]:
        v = f.create_dataset(kind[1:], shape=(5, 4), maxshape=(None, 4), chunks=(2, 2), dtype=kind)
        v[0:2, 1:2] = 5
        for axis in range(2):
            v.dims[axis].attach_scale(scales[axis])
note_nc("scales.nc")
with h5py.File(folder / "scales_twice.nc", "w") as f, h5py.File(folder / "scales.nc") as model:
    for name in ["time", "x"]:
        f.create_dataset(name, data=model[name], maxshape=(None,), chunks=(3,)).make_scale(name)
    for kind, default in netCDF4.default_fillvals.items():
        if kind[0] not in "iuf":
            continue
        v = f.create_dataset(kind, shape=(5, 3), maxshape=(None, None), chunks=(2, 2), dtype=kind)
        v[0:2, 1:2] = 5
        for axis, name in enumerate(["time", "x"]):
            v.dims[axis].attach_scale(f[name])
        whole = np.full((7, 4), default, kind)
        whole[:5, :3] = v[...]
        expected.append({"file": "scales_twice.nc", "path": f"/{kind}", "shape": [7, 4]} | values(whole))

# Texts of chunks that were never written.
for file, libver in [("text_fills.h5", None), ("text_fills_latest.h5", "latest")]:
    with h5py.File(folder / file, "w", libver=libver) as f:
        for name, fill in [("text", "ohne Wört"), ("long", "x" * 5000), ("empty", "")]:
            v = f.create_dataset(name, shape=(7, 3), maxshape=(None, 3), chunks=(2, 2), dtype=h5py.string_dtype(), fillvalue=fill)
            v[2:3] = ["a", "", "c"]
            f.create_dataset(f"{name}_never", shape=(3,), dtype=h5py.string_dtype(), fillvalue=fill)
    # HDF5 2 reads such fills only where it may write.
    (folder / file).with_suffix(".copy").write_bytes((folder / file).read_bytes())
    note_h5(file, mode="r+")
    (folder / file).with_suffix(".copy").replace(folder / file)

with netCDF4.Dataset(folder / "extra_filters.nc", "w") as f:
    f.createDimension("x", 1000)
    data = np.cumsum(rng.integers(-3, 4, 1000)).astype("i4")
    for name in ["zstd", "szip"]:
        try:
            f.createVariable(name, "i4", ("x",), compression=name, chunksizes=(300,))[:] = data
        except RuntimeError:
            pass
note_nc("extra_filters.nc")

for kind in ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]:
    with netCDF4.Dataset(folder / f"{kind}.nc", "w", format=kind) as f:
        f.createDimension("time", None)
        f.createDimension("x", 3)
        f.createDimension("y", 5)
        f.title = "tïtle"
        f.numbers = np.arange(3, dtype="i2")
        types = ["i1", "S1", "i2", "i4", "f4", "f8"]
        types += ["u1", "u2", "u4", "i8", "u8"] if kind.endswith("DATA") else []
        for code in types:
            data = (rng.random((5, 3)) * 100).astype("i4")
            data = np.full((5, 3), b"q", "S1") if code == "S1" else data.astype(code)
            f.createVariable(f"fixed_{code}", code, ("y", "x"))[:] = data
            f.createVariable(f"record_{code}", code, ("time", "x"))[:] = data
        f.createVariable("twice", "f4", ("x", "x"))[:] = np.arange(9).reshape(3, 3)
        f.createVariable("time", "f8", ("time",))[:] = np.arange(5)
        f.createVariable("scalar", "i4")[...] = 42
        f.createVariable("unset", "f4", ("time",))
    note_nc(f"{kind}.nc")

# A single record variable of a narrow type is not padded.
for code, shape in [("i1", (3,)), ("i2", (3,)), ("f4", (3,))]:
    file = f"single_record_{code}.nc"
    with netCDF4.Dataset(folder / file, "w", format="NETCDF3_CLASSIC") as f:
        f.createDimension("time", None)
        f.createDimension("x", 3)
        f.createVariable("v", code, ("time", "x"))[:] = np.arange(21).reshape(7, 3)
        f.createVariable("fixed", "i1", ("x",))[:] = [1, 2, 3]
    note_nc(file)
with netCDF4.Dataset(folder / "no_records.nc", "w", format="NETCDF3_CLASSIC") as f:
    f.createDimension("time", None)
    f.createVariable("v", "f4", ("time",))
note_nc("no_records.nc")

(folder / "expected.json").write_text(json.dumps(expected))
