//! HDF5, and NetCDF-4 on top of it.
