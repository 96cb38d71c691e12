"""Prints what zarr-python reads from the stores in a folder, one array a line.

    zarr_shared.py FOLDER
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import zarr

warnings.simplefilter("ignore")

for store in sorted(Path(sys.argv[1]).glob("*.zarr")):
    node = zarr.open(store, mode="r")
    if isinstance(node, zarr.Array):
        arrays = [("/data", node)]
    else:
        arrays = [("/" + name, array) for name, array in node.arrays()]
    for path, array in arrays:
        values = np.asarray(array[...])
        line = {"store": store.name, "path": path}
        if values.dtype.kind in "OUT":
            line["texts"] = [str(text) for text in values.ravel()]
        else:
            line["hex"] = values.astype(values.dtype.newbyteorder("<")).tobytes().hex()
        print(json.dumps(line))
