#!/usr/bin/env python3
"""The files of the benchmark: one field like a weather model's, stored in several ways.

    files.py KIND FOLDER MILLIONS        writes it (once) and prints its path, or a glob of paths

| kind | what |
|---|---|
| grid | NetCDF-4, float32, deflate 4 and shuffle, chunks of 1.5 MB |
| packed | the same values as int16 with scale_factor and add_offset |
| small | NetCDF-4, 100,000 chunks of 5 kB |
| plain | NetCDF-4 without chunks or filters |
| cdf5 | NetCDF-3 (CDF-5) |
| bslz4, zstd | HDF5, bitshuffle with LZ4; shuffle with Zstandard |
| days | 200 NetCDF-4 files of one day each |
"""

import os
import sys
from pathlib import Path

NY, NX = 361, 720
SHAPE_OF_CHUNK = (24, 90, 180)
FILL = -9999.0
DAYS = 200
SLAB = 24


def blocks(nt, ny=NY, nx=NX, seed=20261122):
    """The field, block of time by block of time; the last tenth of a percent is fill."""
    import numpy as np

    rng = np.random.default_rng(seed)
    lat, lon = np.linspace(90, -90, ny), np.arange(nx) * 360 / nx
    base = 255 + 40 * np.cos(np.deg2rad(lat))[:, None] + 4 * np.sin(np.deg2rad(lon))[None, :]
    for start in range(0, nt, SLAB):
        hours = np.arange(start, min(start + SLAB, nt)) * 6
        daily = 6 * np.sin(hours / 24 * 2 * np.pi)[:, None, None]
        field = base[None] + daily + rng.normal(0, 1, (len(hours), ny, nx))
        # Model output is rounded to its precision; that is what deflate lives on.
        stored = (np.rint(field * 64) / 64).astype("f4")
        stored[rng.random(stored.shape) < 0.01] = FILL
        yield start, stored


def netcdf(path, nt, kind, first=0, ny=NY, nx=NX, seed=20261122):
    """One NetCDF file; `first` is the number of its first step."""
    import netCDF4
    import numpy as np

    lat, lon = np.linspace(90, -90, ny), np.arange(nx) * 360 / nx
    form = "NETCDF3_64BIT_DATA" if kind == "cdf5" else "NETCDF4"
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.Conventions = "CF-1.8"
        for name, size in (("time", nt), ("lat", ny), ("lon", nx)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "hours since 2000-01-01", "standard"
        time[:] = (first + np.arange(nt)) * 6.0
        for name, units, values in (("lat", "degrees_north", lat), ("lon", "degrees_east", lon)):
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = values
        chunk = (1, max(1, ny // 19), max(1, nx // 11)) if kind == "small" else SHAPE_OF_CHUNK
        options = {} if kind in ("plain", "cdf5") else {"zlib": True, "complevel": 4, "shuffle": True}
        if options:
            options["chunksizes"] = tuple(map(min, chunk, (nt, ny, nx)))
        dtype, fill = ("i2", np.int16(-32768)) if kind == "packed" else ("f4", np.float32(FILL))
        t2m = file.createVariable("t2m", dtype, ("time", "lat", "lon"), fill_value=fill, **options)
        t2m.units, t2m.standard_name = "K", "air_temperature"
        if kind == "packed":
            t2m.scale_factor, t2m.add_offset = np.float32(1 / 256), np.float32(250)
        t2m.set_auto_maskandscale(False)
        for start, stored in blocks(nt, ny, nx, seed):
            if kind == "packed":
                stored = np.where(stored == FILL, -32768, np.rint((stored - 250) * 256)).astype("i2")
            t2m[start : start + len(stored)] = stored


def hdf5(path, nt, kind):
    """One HDF5 file, as instruments and simulations write them."""
    import h5py
    import hdf5plugin

    filters = hdf5plugin.Bitshuffle(cname="lz4") if kind == "bslz4" else hdf5plugin.Zstd(clevel=3)
    with h5py.File(path, "w") as file:
        chunks = tuple(map(min, SHAPE_OF_CHUNK, (nt, NY, NX)))
        data = file.create_dataset("t2m", (nt, NY, NX), "f4", chunks=chunks, shuffle=kind == "zstd", **filters)
        data.attrs["_FillValue"] = data.dtype.type(FILL)
        for start, stored in blocks(nt):
            data[start : start + len(stored)] = stored


def make(kind, folder, millions):
    """Writes (once) the file or files of a kind, of about so many million cells."""
    nt = max(SLAB, round(millions * 1e6 / (NY * NX)))
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    if kind == "days":
        days = folder / f"days_{millions:g}"
        if not days.exists():
            part = days.with_suffix(".part")
            part.mkdir(exist_ok=True)
            for day in range(DAYS):
                netcdf(part / f"t2m_{day:03}.nc", 4, "grid", first=4 * day, seed=day)
            os.replace(part, days)
        return days / "*.nc"
    if kind == "small":
        # 19 × 11 or so chunks a step.
        nt = max(2, round(100_000 / 240))
    path = folder / f"t2m_{kind}_{nt}x{NY}x{NX}.{'h5' if kind in ('bslz4', 'zstd') else 'nc'}"
    if not path.exists():
        part = path.with_suffix(".part")
        if kind in ("bslz4", "zstd"):
            hdf5(part, nt, kind)
        else:
            netcdf(part, nt, kind)
        os.replace(part, path)
    return path


if __name__ == "__main__":
    print(make(sys.argv[1], sys.argv[2], float(sys.argv[3])))
