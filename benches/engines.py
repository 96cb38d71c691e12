#!/usr/bin/env python3
"""The three questions, by each Python library as its users write it, and in SQL.

    engines.py ENGINE QUESTION FILE        prints the answer as a JSON list of numbers

| question | what |
|---|---|
| whole | count, mean, minimum and maximum of every cell |
| by_lat | mean by latitude (the answer: how many, and their mean) |
| box | count and mean in a box of time, latitude and longitude |
"""

import importlib.metadata
import json
import sys

QUESTIONS = ("whole", "by_lat", "box")
TIMES = ("2000-01-02T00:00:00", "2000-01-07T00:00:00")
LATS, LONS = (40.0, 60.0), (10.0, 30.0)


def sql(question, path):
    """The question for Tarn."""
    source = f"read_netcdf('{path}')"
    return {
        "whole": f"SELECT count(t2m), avg(CAST(t2m AS DOUBLE)), min(t2m), max(t2m) FROM {source}",
        "by_lat": f"SELECT avg(CAST(t2m AS DOUBLE)) FROM {source} GROUP BY lat",
        "box": f"""SELECT count(t2m), avg(CAST(t2m AS DOUBLE)) FROM {source}
                   WHERE time >= TIMESTAMP '{TIMES[0]}' AND time < TIMESTAMP '{TIMES[1]}'
                   AND lat BETWEEN {LATS[0]} AND {LATS[1]} AND lon BETWEEN {LONS[0]} AND {LONS[1]}""",
    }[question]


def reduce_rows(rows):
    """Many rows become their number and mean, so that answers compare."""
    if len(rows) == 1:
        return rows[0]
    return [len(rows), sum(row[0] for row in rows) / len(rows)]


def by_xarray(question, path):
    """xarray with its defaults."""
    import numpy as np
    import xarray

    with xarray.open_dataset(path) as data:
        field = data["t2m"]
        if question == "whole":
            return [int(field.count()), float(field.mean(dtype="f8")), float(field.min()), float(field.max())]
        if question == "by_lat":
            means = field.mean(("time", "lon"), dtype="f8").values
            return [means.size, float(means.mean())]
        until = np.datetime64(TIMES[1]) - np.timedelta64(1, "s")
        cells = field.sel(time=slice(TIMES[0], until), lat=slice(*reversed(LATS)), lon=slice(*LONS))  # lat descends
        return [int(cells.count()), float(cells.mean(dtype="f8"))]


def ranges(times, lats, lons):
    """Index ranges of the box from raw coordinates."""
    import numpy as np

    hours = [(np.datetime64(t) - np.datetime64("2000-01-01")) / np.timedelta64(1, "h") for t in TIMES]
    inside = [
        (times >= hours[0]) & (times < hours[1]),
        (lats >= LATS[0]) & (lats <= LATS[1]),
        (lons >= LONS[0]) & (lons <= LONS[1]),
    ]
    found = [np.flatnonzero(hit) for hit in inside]
    return tuple(slice(hit[0], hit[-1] + 1) for hit in found)


def by_netcdf4(question, path):
    """netCDF4, masked arrays."""
    import netCDF4

    with netCDF4.Dataset(path) as file:
        field = file["t2m"]
        if question == "whole":
            cells = field[:]
            return [int(cells.count()), float(cells.mean(dtype="f8")), float(cells.min()), float(cells.max())]
        if question == "by_lat":
            means = field[:].mean((0, 2), dtype="f8")
            return [means.size, float(means.mean())]
        for name in ("time", "lat", "lon"):
            file[name].set_auto_mask(False)
        cells = field[ranges(file["time"][:], file["lat"][:], file["lon"][:])]
        return [int(cells.count()), float(cells.mean(dtype="f8"))]


def by_h5py(question, path):
    """h5py by hand: slabs of whole chunks, so that memory stays small."""
    import h5py
    import numpy as np

    with h5py.File(path) as file:
        field, fill = file["t2m"], file["t2m"].attrs["_FillValue"].ravel()[0]
        if question == "box":
            cells = field[ranges(file["time"][:], file["lat"][:], file["lon"][:])]
            valid = cells != fill
            return [int(valid.sum()), float(cells[valid].mean(dtype="f8"))]
        total, count = np.zeros(field.shape[1]), np.zeros(field.shape[1], "i8")
        low, high = np.inf, -np.inf
        for start in range(0, field.shape[0], field.chunks[0]):
            cells = field[start : start + field.chunks[0]]
            valid = cells != fill
            total += np.where(valid, cells, 0).sum((0, 2), dtype="f8")
            count += valid.sum((0, 2))
            low, high = min(low, cells[valid].min()), max(high, cells[valid].max())
        if question == "by_lat":
            means = total / count
            return [means.size, float(means.mean())]
        return [int(count.sum()), float(total.sum() / count.sum()), float(low), float(high)]


ENGINES = {"xarray": by_xarray, "netcdf4": by_netcdf4, "h5py": by_h5py}


def versions():
    """Versions of the libraries."""
    return {name: importlib.metadata.version(name) for name in ("numpy", "h5py", "netCDF4", "xarray")}


if __name__ == "__main__":
    print(json.dumps(ENGINES[sys.argv[1]](*sys.argv[2:])))
