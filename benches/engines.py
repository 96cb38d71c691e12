#!/usr/bin/env python3
"""The questions, by each library as its users write it, and in SQL.

    engines.py ENGINE QUESTION FILE        prints JSON: the answer, seconds and CPU seconds

Libraries are imported before the clock starts. The best of three runs in one process is given, so the
libraries are warm; Tarn is measured as a process from its start to its end, and beside it in one
process as they are (see run.py).

| question | what |
|---|---|
| scan | every cell in memory, decoded; the answer is their sum |
| whole | count, sum, minimum and maximum of every cell |
| by_lat | mean by latitude (the answer: how many, and their mean) |
| box | count and mean in a box of time, latitude and longitude |
| series | every value in one cell of the grid (the answer: count and mean) |
| count | the number of cells |
"""

import glob
import json
import resource
import sys
import time

TIMES = ("2000-01-02T00:00:00", "2000-01-07T00:00:00")
LATS, LONS = (20.0, 70.0), (10.0, 30.0)
CELL = (40.0, 30.0)
RUNS = 3


def sql(question, path):
    """The question for the engines of SQL."""
    source = f"read_netcdf('{path}')"
    lats, lons = f"lat BETWEEN {LATS[0]} AND {LATS[1]}", f"lon BETWEEN {LONS[0]} AND {LONS[1]}"
    times = f"time >= TIMESTAMP '{TIMES[0]}' AND time < TIMESTAMP '{TIMES[1]}'"
    mean = "avg(CAST(t2m AS DOUBLE))"
    return {
        "whole": f"SELECT count(t2m), sum(CAST(t2m AS DOUBLE)), min(t2m), max(t2m) FROM {source}",
        "by_lat": f"SELECT {mean} FROM {source} GROUP BY lat",
        "box": f"SELECT count(t2m), {mean} FROM {source} WHERE {times} AND {lats} AND {lons}",
        "series": f"SELECT count(t2m), {mean} FROM {source} WHERE lat = {CELL[0]} AND lon = {CELL[1]}",
        "count": f"SELECT count(*) FROM {source}",
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

    def run():
        files = sorted(glob.glob(path))
        if len(files) > 1:
            data = xarray.concat([xarray.open_dataset(file) for file in files], "time")
        else:
            data = xarray.open_dataset(path)
        with data:
            field = data["t2m"]
            if question == "count":
                return [field.size]
            if question == "scan":
                return [float(np.nansum(field.values, dtype="f8"))]
            if question == "whole":
                cells = field.load()
                total = float(cells.sum(dtype="f8"))
                return [int(cells.count()), total, float(cells.min()), float(cells.max())]
            if question == "by_lat":
                means = field.mean(("time", "lon"), dtype="f8").values
                return [means.size, float(means.mean())]
            if question == "series":
                cells = field.sel(lat=CELL[0], lon=CELL[1])
            else:
                until = np.datetime64(TIMES[1]) - np.timedelta64(1, "s")
                # Latitude descends.
                cells = field.sel(time=slice(TIMES[0], until), lat=slice(*reversed(LATS)), lon=slice(*LONS))
            cells = cells.load()
            return [int(cells.count()), float(cells.mean(dtype="f8"))]

    return run


def selection(question, times, lats, lons):
    """Index ranges of the box or the cell from raw coordinates."""
    import numpy as np

    if question == "series":
        return slice(None), int(np.argmin(abs(lats - CELL[0]))), int(np.argmin(abs(lons - CELL[1])))
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

    def run():
        with netCDF4.Dataset(path) as file:
            field = file["t2m"]
            if question == "count":
                return [field.size]
            if question == "scan":
                return [float(field[:].sum(dtype="f8"))]
            if question == "whole":
                cells = field[:]
                return [int(cells.count()), float(cells.sum(dtype="f8")), float(cells.min()), float(cells.max())]
            if question == "by_lat":
                means = field[:].mean((0, 2), dtype="f8")
                return [means.size, float(means.mean())]
            for name in ("time", "lat", "lon"):
                file[name].set_auto_mask(False)
            cells = field[selection(question, file["time"][:], file["lat"][:], file["lon"][:])]
            return [int(cells.count()), float(cells.mean(dtype="f8"))]

    return run


def by_h5py(question, path):
    """h5py by hand: slabs of whole chunks, so that memory stays small."""
    import h5py
    import hdf5plugin  # noqa: F401
    import numpy as np

    def run():
        with h5py.File(path) as file:
            field, fill = file["t2m"], file["t2m"].attrs["_FillValue"].ravel()[0]
            scale = float(field.attrs.get("scale_factor", [1.0])[0]) if "scale_factor" in field.attrs else 1.0
            offset = float(field.attrs["add_offset"][0]) if "add_offset" in field.attrs else 0.0
            unpack = lambda cells: cells if scale == 1.0 and offset == 0.0 else cells * scale + offset  # noqa: E731
            if question == "count":
                return [field.size]
            if question == "scan":
                cells = field[...]
                valid = cells != fill
                return [float(unpack(cells).sum(dtype="f8", where=valid))]
            if question in ("box", "series"):
                cells = field[selection(question, file["time"][:], file["lat"][:], file["lon"][:])]
                valid = cells != fill
                return [int(valid.sum()), float(unpack(cells[valid]).mean(dtype="f8"))]
            total, count = np.zeros(field.shape[1]), np.zeros(field.shape[1], "i8")
            low, high = np.inf, -np.inf
            step = max(field.chunks[0], 24)
            for start in range(0, field.shape[0], step):
                cells = field[start : start + step]
                valid = cells != fill
                cells = unpack(cells)
                total += np.where(valid, cells, 0).sum((0, 2), dtype="f8")
                count += valid.sum((0, 2))
                low, high = min(low, cells[valid].min()), max(high, cells[valid].max())
            if question == "by_lat":
                means = total / count
                return [means.size, float(means.mean())]
            return [int(count.sum()), float(total.sum()), float(low), float(high)]

    return run


def by_beacondb(question, path):
    """beacondb, the closest rival, in this process."""
    import beacondb

    connection = beacondb.connect(":memory:")

    def run():
        table = connection.sql(sql(question, path)).arrow()
        table = table.read_all() if hasattr(table, "read_all") else table
        return reduce_rows([list(row.values()) for row in table.to_pylist()])

    return run


ENGINES = {"xarray": by_xarray, "netcdf4": by_netcdf4, "h5py": by_h5py, "beacondb": by_beacondb}


def cpu():
    """User and system time of all threads of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    run, wall, used, answer = ENGINES[sys.argv[1]](*sys.argv[2:]), [], [], None
    for _ in range(RUNS):
        began, before = time.perf_counter(), cpu()
        answer = run()
        wall.append(time.perf_counter() - began)
        used.append(cpu() - before)
    print(json.dumps({"answer": answer, "wall": min(wall), "cpu": min(used)}))


if __name__ == "__main__":
    main()
