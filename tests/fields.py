"""Random NetCDF and HDF5 files, made with the C libraries, that cover what real files do."""

import h5py
import netCDF4
import numpy as np

FORMATS = ["NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
CALENDARS = ["standard", "proleptic_gregorian", "noleap", "360_day", "julian", "all_leap"]


def random_netcdf(path, seed, file_format, calendar=None):
    """A grid (time, lat, lon) with every kind of variable that CF decoding knows.

    time is unlimited and of a random calendar, lat descends, lon ascends.
    temp: float with a fill of its own; packed: int16 with scale and offset; count: int32 that has
    cells never written; flag: int8 with missing_value; plain: double with NaN.
    """
    rng = np.random.default_rng(seed)
    nt, ny, nx = (int(rng.integers(low, high)) for low, high in ((1, 40), (2, 20), (2, 24)))
    hdf5 = file_format.startswith("NETCDF4")
    storage = {}
    if hdf5 and rng.random() < 0.7:
        chunks = tuple(int(rng.integers(1, n + 1)) for n in (nt, ny, nx))
        storage = {
            "chunksizes": chunks,
            "zlib": bool(rng.random() < 0.7),
            "shuffle": bool(rng.random() < 0.6),
            "fletcher32": bool(rng.random() < 0.3),
        }
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        file.source_id = f"seed-{seed}"
        file.createDimension("time", None)
        file.createDimension("lat", ny)
        file.createDimension("lon", nx)
        time = file.createVariable("time", "f8", ("time",))
        time.units = str(rng.choice(["days since 1950-01-01", "hours since 1999-12-31 12:00:00"]))
        time.calendar = calendar or str(rng.choice(CALENDARS))
        lat = file.createVariable("lat", "f4", ("lat",))
        lat.units, lat.standard_name = "degrees_north", "latitude"
        lon = file.createVariable("lon", "f8", ("lon",))
        lon.units, lon.standard_name = "degrees_east", "longitude"
        lat[:] = np.linspace(85.5, -60.25, ny)
        lon[:] = np.arange(nx) * 1.25
        shape, grid = (nt, ny, nx), ("time", "lat", "lon")
        time[:] = np.arange(nt) * float(rng.choice([1.0, 30.0, 0.25]))

        temp = file.createVariable("temp", "f4", grid, fill_value=np.float32(-9999), **storage)
        temp.units, temp.standard_name = "K", "air_temperature"
        temp[:] = np.ma.masked_where(rng.random(shape) < 0.1, rng.normal(280, 20, shape).astype("f4"))

        packed = file.createVariable("packed", "i2", grid, fill_value=np.int16(-32768), **storage)
        packed.set_auto_maskandscale(False)
        packed.scale_factor, packed.add_offset = 0.01, 280.0
        stored = rng.integers(-3000, 3000, shape).astype("i2")
        stored[rng.random(shape) < 0.1] = -32768
        packed[:] = stored

        # No fill is named: what is never written holds NetCDF's default fill, and is missing.
        count = file.createVariable("count", "i4", grid, **storage)
        count.set_auto_maskandscale(False)
        values = rng.integers(-1000, 1000, shape).astype("i4")
        values[rng.random(shape) < 0.05] = netCDF4.default_fillvals["i4"]
        count[:] = values

        flag = file.createVariable("flag", "i1", grid, **storage)
        flag.missing_value = np.int8(-1)
        flag.set_auto_maskandscale(False)
        flag[:] = rng.integers(-1, 5, shape).astype("i1")

        plain = file.createVariable("plain", "f8", grid, **storage)
        values = rng.normal(0, 1, shape)
        values[rng.random(shape) < 0.05] = np.nan
        plain[:] = values

        scalar = file.createVariable("height", "f8", ())
        scalar.units = "m"
        scalar[...] = 1.5
    return path


def read_masked(path):
    """What netCDF4 sees: name → masked array of the grid, and the raw time, lat, lon."""
    with netCDF4.Dataset(path) as file:
        file.set_always_mask(True)
        fields = {name: file[name][:] for name in ("temp", "packed", "count", "flag", "plain")}
        axes = {name: np.asarray(file[name][:]) for name in ("time", "lat", "lon")}
        return fields, axes, file["time"].units, file["time"].calendar


def random_hdf5(path, seed):
    """Plain HDF5 without dimension scales, in groups, under several filters and layouts."""
    rng = np.random.default_rng(seed)
    ny, nx = int(rng.integers(3, 60)), int(rng.integers(3, 60))
    chunks = (int(rng.integers(1, ny + 1)), int(rng.integers(1, nx + 1)))
    kinds = {
        "contiguous": {},
        "gzip": {"chunks": chunks, "compression": "gzip", "shuffle": True},
        "lzf": {"chunks": chunks, "compression": "lzf"},
        "checked": {"chunks": chunks, "fletcher32": True},
        "growing": {"chunks": chunks, "maxshape": (None, None)},
    }
    values = {}
    with h5py.File(path, "w", libver=str(rng.choice(["earliest", "v110"]))) as file:
        for at, (name, options) in enumerate(kinds.items()):
            kind = ["f4", ">f8", "i4", "u2", "<i8"][at]
            data = (rng.normal(0, 100, (ny, nx)) if "f" in kind else rng.integers(0, 1000, (ny, nx))).astype(kind)
            file.create_dataset(f"run{at}/{name}", data=data, **options)
            values[f"run{at}/{name}"] = data
        file["run0"].attrs["sample"] = "glass"
    return values
