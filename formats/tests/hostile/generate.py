"""Writes small files that hold a little of everything, to be cut and damaged.

usage: generate.py FOLDER
"""
import pathlib
import sys

import h5py
import netCDF4
import numpy as np

folder = pathlib.Path(sys.argv[1])

for libver in ["earliest", "latest"]:
    with h5py.File(folder / f"{libver}.h5", "w", libver=libver) as f:
        f.attrs["title"] = "tiny"
        d = f.create_dataset("deflate", data=np.arange(60, dtype="<f4").reshape(10, 6), chunks=(4, 3), compression="gzip", shuffle=True, fletcher32=True)
        d.attrs["units"] = "m"
        f.create_dataset("lzf", data=np.arange(40, dtype="<i2"), chunks=(40,), compression="lzf")
        f.create_dataset("grows", data=np.arange(12), chunks=(3,), maxshape=(None,))
        f.create_dataset("grows_twice", data=np.eye(4), chunks=(2, 2), maxshape=(None, None))
        f.create_dataset("plain", data=np.arange(5, dtype=">f8"))
        f.create_dataset("scaled", data=np.arange(30, dtype="i4"), chunks=(30,), scaleoffset=0)
        f.create_dataset("texts", data=np.array(["a", "bb"], dtype=object), dtype=h5py.string_dtype())
        f.create_dataset("pairs", data=np.array([(1, 2.5), (3, 4.5)], [("i", "i2"), ("f", "f8")]))
        fills = f.create_dataset("fills", shape=(6,), maxshape=(None,), chunks=(2,), dtype=h5py.string_dtype(), fillvalue="none")
        fills[2:3] = ["some"]
        f["g/soft"] = h5py.SoftLink("/plain")
        f["g/back"] = f
        f.create_dataset("references", data=np.array([d.ref, f["g"].ref], dtype=h5py.ref_dtype))
        regions = f.create_dataset("regions", shape=(1,), dtype=h5py.regionref_dtype)
        regions[0] = d.regionref[2:4, 1]
        layout = h5py.VirtualLayout((4, 3), "<f4")
        layout[0:2, :] = h5py.VirtualSource(".", "deflate", (10, 6), "<f4")[4:8:2, 0:3]
        f.create_virtual_dataset("virtual", layout, fillvalue=1)

with netCDF4.Dataset(folder / "netcdf4.nc", "w") as f:
    f.createDimension("time", None)
    f.createDimension("x", 3)
    time = f.createVariable("time", "f8", ("time",))
    time.units = "days since 2000-01-01"
    time[:] = np.arange(4)
    f.createVariable("t", "i2", ("time", "x"), zlib=True, shuffle=True, chunksizes=(2, 3), fill_value=-9)[:] = np.arange(12).reshape(4, 3)

with netCDF4.Dataset(folder / "no_fills.nc", "w") as f:
    f.set_fill_off()
    f.createDimension("time", None)
    f.createDimension("x", 4)
    f.createVariable("time", "f8", ("time",))[:] = np.arange(5)
    f.createVariable("ends_before", "i4", ("time", "x"), chunksizes=(2, 2))[0:2] = 1
    f.createVariable("texts", str, ("time",), chunksizes=(2,), fill_value="none")[0:2] = np.array(["a", "b"], dtype=object)

for kind in ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]:
    with netCDF4.Dataset(folder / f"{kind}.nc", "w", format=kind) as f:
        f.createDimension("time", None)
        f.createDimension("x", 3)
        f.note = "tiny"
        f.createVariable("fixed", "f8", ("x",))[:] = np.arange(3)
        f.createVariable("a", "i2", ("time", "x"))[:] = np.arange(9).reshape(3, 3)
        f.createVariable("b", "f4", ("time",))[:] = np.arange(3)
