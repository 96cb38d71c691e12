#!/usr/bin/env python3
"""The file of the benchmark: a field like a weather model's, deflated and shuffled.

grid.py FOLDER MILLIONS        writes it (once) and prints its path
"""

import os
import sys
from pathlib import Path

SHAPE_OF_CHUNK = (24, 90, 180)
FILL = -9999.0


def make_grid(folder, millions):
    """Writes (once) a NetCDF-4 file of about so many million cells and gives its path."""
    import netCDF4
    import numpy as np

    ny, nx = 361, 720
    nt = max(2, round(millions * 1e6 / (ny * nx)))
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    path = folder / f"t2m_{nt}x{ny}x{nx}.nc"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    rng = np.random.default_rng(20261122)
    lat, lon = np.linspace(90, -90, ny), np.arange(nx) * 360 / nx
    base = 255 + 40 * np.cos(np.deg2rad(lat))[:, None] + 4 * np.sin(np.deg2rad(lon))[None, :]
    with netCDF4.Dataset(part, "w") as file:
        file.Conventions = "CF-1.8"
        for name, size in (("time", nt), ("lat", ny), ("lon", nx)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "hours since 2000-01-01", "standard"
        time[:] = np.arange(nt) * 6.0
        for name, units, values in (("lat", "degrees_north", lat), ("lon", "degrees_east", lon)):
            axis = file.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = values
        t2m = file.createVariable(
            "t2m",
            "f4",
            ("time", "lat", "lon"),
            zlib=True,
            complevel=4,
            shuffle=True,
            chunksizes=tuple(map(min, SHAPE_OF_CHUNK, (nt, ny, nx))),
            fill_value=np.float32(FILL),
        )
        t2m.units, t2m.standard_name = "K", "air_temperature"
        t2m.set_auto_maskandscale(False)
        for start in range(0, nt, 24):
            hours = np.arange(start, min(start + 24, nt)) * 6
            field = (
                base[None] + 6 * np.sin(hours / 24 * 2 * np.pi)[:, None, None] + rng.normal(0, 1, (len(hours), ny, nx))
            )
            # Model output is rounded to its precision; that is what deflate lives on.
            stored = (np.rint(field * 64) / 64).astype("f4")
            stored[rng.random(stored.shape) < 0.01] = FILL
            t2m[start : start + len(hours)] = stored
    os.replace(part, path)
    return path


if __name__ == "__main__":
    print(make_grid(sys.argv[1], float(sys.argv[2])))
