"""Writes random Zarr stores with zarr-python, and what zarr-python reads back from them.

    zarr_stores.py FOLDER SEED COUNT

FOLDER/N.zarr is a store; FOLDER/expected.jsonl has a line for each array: store, path, shape, chunks,
dimensions, kind of the values, and the values: the name of a file of little-endian numbers, or texts.
"""

import json
import random
import sys
import warnings
from pathlib import Path

import numcodecs
import numpy as np
import zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

warnings.simplefilter("ignore")

NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
OTHERS = ["?", "M8[ns]", "M8[s]", "m8[ms]", "M8[D]", "S5", "U4", "T", "c8", "c16", "V3"]


def values(rng, dtype, shape):
    """Random values: some smooth, some wild."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=int))
    if dtype.kind == "T":
        words = ["", "a", "tarn", "é水", "x" * 40]
        flat = np.array([words[rng.integers(len(words))] for _ in range(count)], dtype=dtype)
    elif dtype.kind == "U":
        words = ["", "a", "tar", "é水😀"]
        flat = np.array([words[rng.integers(len(words))] for _ in range(count)], dtype=dtype)
    elif dtype.kind == "S":
        words = [b"", b"a", b"tarn", b"a\x00b", b"12345"]
        flat = np.array([words[rng.integers(len(words))] for _ in range(count)], dtype=dtype)
    elif dtype.kind == "f":
        smooth = np.cumsum(rng.normal(size=count)).astype(dtype)
        special = np.array([np.nan, np.inf, -np.inf, -0.0], dtype=dtype)
        flat = np.where(rng.random(count) < 0.1, special[rng.integers(4, size=count)], smooth)
        flat = flat.astype(dtype)
    elif dtype.kind == "c":
        flat = (rng.normal(size=count) + 1j * rng.normal(size=count)).astype(dtype)
    else:
        flat = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype=np.uint8).copy()
        if dtype.kind == "b":
            flat = flat % 2
        if dtype.kind in "iu" and rng.random() < 0.7:
            flat = (np.arange(count) // 3 + rng.integers(3, size=count)).astype(dtype)
        else:
            flat = flat.view(dtype)
        if dtype.kind in "Mm":
            # Days and seconds whose nanoseconds are no number are no values either.
            most = 10**5 if dtype.str.endswith("[D]") else 10**9
            native = dtype.newbyteorder("=")
            flat = rng.integers(-most, most, size=count).astype("i8").view(native).astype(dtype)
            flat = np.where(rng.random(count) < 0.1, np.array("NaT", dtype=dtype), flat)
    return flat.reshape(shape)


def fill_of(rng, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.choice([0.0, float("nan"), float("inf"), -9.5])
    if dtype.kind in "iu":
        return int(rng.choice([0, 7, 100]))
    if dtype.kind == "b":
        return bool(rng.integers(2))
    if dtype.kind in "UT":
        return str(rng.choice(["", "no"]))
    if dtype.kind == "S":
        return rng.choice([b"", b"no"]).item()
    return None


def compressors_2(rng):
    shuffle = int(rng.integers(-1, 3))
    name = str(rng.choice(["lz4", "lz4hc", "zstd", "zlib", "blosclz"]))
    size = int(rng.choice([0, 0, 64, 1024]))
    return [
        None,
        numcodecs.Zlib(level=1),
        numcodecs.GZip(level=5),
        numcodecs.Zstd(level=3),
        numcodecs.Zstd(level=1, checksum=True),
        numcodecs.LZ4(),
        numcodecs.BZ2(level=1),
        numcodecs.Blosc(cname=name, clevel=int(rng.integers(10)), shuffle=shuffle, blocksize=size),
        numcodecs.Blosc(cname=name, clevel=5, shuffle=shuffle),
    ]


def filters_2(rng, dtype):
    dtype = np.dtype(dtype)
    found = [None, None]
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        found.append([numcodecs.Shuffle(elementsize=dtype.itemsize)])
        found.append([numcodecs.Fletcher32()])
        if dtype.kind != "f" or dtype.itemsize > 2:
            found.append([numcodecs.Delta(dtype=dtype.str)])
            found.append([numcodecs.Delta(dtype=dtype.str), numcodecs.Shuffle(dtype.itemsize)])
        if dtype in ("f4", "f8"):
            scaled = numcodecs.FixedScaleOffset(offset=3.5, scale=10, dtype=dtype.str, astype="<i4")
            found.append([scaled])
    return found[rng.integers(len(found))]


def one_of(rng, options):
    return options[int(rng.integers(len(options)))]


def codecs_3(rng, rank, dtype):
    """Serializer, filters and compressors of version 3."""
    kind, size = np.dtype(dtype).kind, np.dtype(dtype).itemsize
    filters = []
    for _ in range(int(rng.integers(0, 3)) if rank > 1 else 0):
        filters.append(TransposeCodec(order=tuple(int(n) for n in rng.permutation(rank))))
    compressors = one_of(
        rng,
        [
            [],
            [GzipCodec(level=1)],
            [ZstdCodec(level=1, checksum=bool(rng.integers(2)))],
            [Crc32cCodec()],
            [ZstdCodec(level=0), Crc32cCodec()],
            [
                BloscCodec(
                    cname=str(rng.choice(["lz4", "lz4hc", "zstd", "zlib", "blosclz"])),
                    clevel=int(rng.integers(1, 9)),
                    shuffle=str(rng.choice(["noshuffle", "shuffle", "bitshuffle"])),
                    typesize=max(size, 1),
                )
            ],
        ],
    )
    serializer = "auto"
    if kind in "iufcM" and size > 1 and rng.random() < 0.3:
        serializer = BytesCodec(endian="big")
    return serializer, filters, compressors


def make(rng, group, name, version):
    rank = int(rng.choice([0, 1, 1, 2, 2, 3, 4]))
    longest = [1, 300, 40, 12, 6][rank]
    shape = tuple(int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, longest + 1, rank))
    chunks = tuple(int(rng.integers(1, max(n, 1) + 3)) for n in shape)
    dtype = one_of(rng, NUMBERS if rng.random() < 0.6 else OTHERS)
    if version == 3 and dtype == "V3":
        dtype = "u4"  # zarr-python 3.1 cannot make them
    if version == 2 and dtype not in ("T", "?", "V3") and dtype[0] != "S" and rng.random() < 0.3:
        dtype = ">" + dtype
    if dtype == "T":
        dtype = np.dtypes.StringDType()
    data = values(rng, dtype, shape)
    extra = {}
    if version == 2:
        extra["order"] = one_of(rng, ["C", "C", "F"])
        extra["compressors"] = one_of(rng, compressors_2(rng))
        extra["filters"] = filters_2(rng, dtype) if np.dtype(dtype).kind != "T" else "auto"
        if "delta" in str(extra["filters"]).lower() and data.dtype.kind == "f":
            # What NaN looks like after a sum is up to the processor.
            data = np.where(np.isfinite(data), data, 1).astype(dtype)
        separator = one_of(rng, [".", "/"])
        extra["chunk_key_encoding"] = {"name": "v2", "separator": separator}
        if rng.random() < 0.5:
            extra["attributes"] = {"_ARRAY_DIMENSIONS": [f"d{n}" for n in shape]}
    else:
        serializer, filters, compressors = codecs_3(rng, rank, dtype)
        encoding = one_of(rng, [("default", "/"), ("default", "."), ("v2", "."), ("v2", "/")])
        extra["chunk_key_encoding"] = {"name": encoding[0], "separator": encoding[1]}
        sharded = rank > 0 and rng.random() < 0.4
        if sharded and rng.random() < 0.5:
            inner = chunks
            chunks = tuple(n * int(rng.integers(1, 4)) for n in inner)
            codecs = [*filters] + ([] if serializer == "auto" else [serializer])
            if serializer == "auto":
                vlen = np.dtype(dtype).kind == "T"
                codecs.append(zarr.codecs.VLenUTF8Codec() if vlen else BytesCodec())
            serializer = ShardingCodec(
                chunk_shape=inner,
                codecs=[*codecs, *compressors],
                index_codecs=one_of(
                    rng,
                    [
                        [BytesCodec(), Crc32cCodec()],
                        [BytesCodec(endian="big")],
                    ],
                ),
                index_location=one_of(rng, ["start", "end"]),
            )
            filters, compressors = [], []
        elif sharded:
            extra["shards"] = tuple(n * int(rng.integers(1, 4)) for n in chunks)
        extra.update(serializer=serializer, filters=filters, compressors=compressors)
        names = one_of(rng, [None, [f"d{n}" for n in shape], [None if n % 2 else f"d{n}" for n in shape]])
        if names and rank:
            extra["dimension_names"] = names
    fill = fill_of(rng, dtype)
    if fill is not None:
        extra["fill_value"] = fill
    array = group.create_array(name, shape=shape, chunks=chunks, dtype=data.dtype, **extra)
    # Parts of it are written: chunks that nobody wrote are not there.
    if rng.random() < 0.7:
        array[...] = data
    elif 0 not in shape:
        part = tuple(slice(0, int(rng.integers(1, n + 1))) for n in shape)
        array[part] = data[part]
    return array


def expected(array, name, folder):
    """What zarr-python reads, as Rust can compare it."""
    read = np.asarray(array[...])
    kind = read.dtype.kind
    line = {"shape": list(array.shape), "chunks": list(array.chunks), "kind": kind}
    if kind in "TUO":
        line["texts"] = [str(text) for text in read.ravel()]
        line["kind"] = "text"
    elif kind == "S":
        line["texts"] = [bytes(text).decode("latin-1") for text in read.ravel()]
        line["kind"] = "text"
    else:
        if read.dtype.str.endswith("[D]"):
            days = read.astype(read.dtype.newbyteorder("=")).view("i8")
            nat = np.iinfo("i8").min
            read = np.where(days == nat, nat, np.where(days == nat, 0, days) * 86400)
        read = read.astype(read.dtype.newbyteorder("<"))
        file = f"{name}.bin"
        (folder / file).write_bytes(read.tobytes())
        line["values"] = file
    return line


def main():
    folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    random.seed(seed)
    lines = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        version = 2 + number % 2
        path = folder / f"{number}.zarr"
        root = zarr.create_group(store=path, zarr_format=version)
        root.attrs["title"] = f"store {number}"
        inner = root.create_group("inner/most")
        inner.attrs["level"] = 2
        made = []
        for place in range(6):
            group, prefix = (root, "") if place < 4 else (inner, "inner/most/")
            try:
                array = make(rng, group, f"a{place}", version)
            except Exception as error:
                raise RuntimeError(f"store {number}, array {place}") from error
            made.append((prefix + f"a{place}", array))
        if rng.random() < 0.5:
            zarr.consolidate_metadata(path, zarr_format=version)
        for place, (name, array) in enumerate(made):
            line = expected(array, f"{number}-{place}", folder)
            lines.append({"store": path.name, "path": "/" + name, **line})
    # A store that is one array.
    for version in (2, 3):
        path = folder / f"root{version}.zarr"
        array = zarr.create_array(
            store=path, data=np.arange(30, dtype="i4").reshape(5, 6), chunks=(2, 4), zarr_format=version
        )
        line = expected(array, f"root{version}", folder)
        lines.append({"store": path.name, "path": "/data", **line})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "expected.jsonl").write_text(text)


main()
