"""Writes small files whose metadata or parts grow without end when they are taken at their word.

usage: bombs.py FOLDER
"""
import pathlib
import struct
import sys

import h5py
import numpy as np

folder = pathlib.Path(sys.argv[1])

# One dataset with long attributes under many names.
for kind in ["hard", "soft"]:
    with h5py.File(folder / f"{kind}_links.h5", "w", libver="latest") as f:
        d = f.create_dataset("d", data=np.arange(3))
        for i in range(3):
            d.attrs[f"a{i}"] = "x" * 60_000
        many = f.create_group("many")
        for i in range(20_000):
            many[f"{i}"] = d if kind == "hard" else h5py.SoftLink("/d")

# Many names below a long path.
with h5py.File(folder / "paths.h5", "w", libver="latest") as f:
    group = f
    for i in range(60):
        group = group.create_group("n" * 20_000)
    d = f.create_dataset("d", data=0)
    for i in range(20_000):
        group[f"{i}"] = d

# References to one long text.
with h5py.File(folder / "texts.h5", "w") as f:
    f.attrs.create("many", ["x" * 1_000_000] + ["y"] * 3_000, dtype=h5py.string_dtype())
path = folder / "texts.h5"
content = bytearray(path.read_bytes())
start = content.index(struct.pack("<I", 1_000_000))
reference = bytes(content[start : start + 16])
while struct.unpack_from("<I", content, start)[0] in (1_000_000, 1):
    content[start : start + 16] = reference
    start += 16
path.write_bytes(content)

# Virtual datasets whose parts lie one over the other, and are made of such parts.
with h5py.File(folder / "layers.h5", "w", libver="latest") as f:
    f["v0"] = np.arange(1000)
    for level in range(1, 8):
        layout = h5py.VirtualLayout((1000,), "i8")
        space = h5py.h5s.create_simple((1000,))
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        for _ in range(40):
            properties.set_virtual(space, b".", f"v{level - 1}".encode(), space)
        h5py.h5d.create(f.id, f"v{level}".encode(), h5py.h5t.NATIVE_INT64, space, properties)

# CDF-1: variables over a thousand dimensions of a long name.
def text(word):
    return struct.pack(">I", len(word)) + word + b"\0" * (-len(word) % 4)

dimensions = struct.pack(">II", 10, 1) + text(b"d" * 1_000_000) + struct.pack(">I", 1)
variables = struct.pack(">II", 11, 20)
for i in range(20):
    variables += text(b"v%d" % i) + struct.pack(">I", 1000) + b"\0" * 4000 + struct.pack(">IIIII", 0, 0, 1, 4, 0)
(folder / "names.nc").write_bytes(b"CDF\x01" + struct.pack(">I", 0) + dimensions + struct.pack(">II", 0, 0) + variables)
