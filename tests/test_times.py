"""Times that nanoseconds cannot hold, in variables that are too large to be looked at as a matter of course."""

import cftime
import netCDF4
import numpy as np
import pytest

CELLS = 2**20 + 1000


def write(path, dimensions, values, units, dtype, **options):
    with netCDF4.Dataset(path, "w") as file:
        for number, length in enumerate(dimensions):
            file.createDimension(f"d{number}", length)
        names = tuple(f"d{number}" for number in range(len(dimensions)))
        time = file.createVariable("t", dtype, names, **options)
        time.units = units
        time.calendar = "proleptic_gregorian"
        time[...] = values.reshape(dimensions)


CASES = {
    # Found by looking: one time in the last chunk, of a year that nanoseconds do not reach.
    "floats": ("f8", "days since 2000-01-01", {-1: 400_000.5}, "µs"),
    "floats of seconds": ("f8", "seconds since 1970-01-01", {-7: 4e11}, "µs"),
    "before": ("f8", "hours since 1800-01-01", {5: -3e6}, "µs"),
    # Integers of such units may be anything, and microseconds hold them exactly.
    "days": ("i4", "days since 2000-01-01", {-1: 400_000}, "µs"),
    "seconds": ("i8", "seconds since 1970-01-01", {-1: 10**11}, "µs"),
    # Nanoseconds hold all that the type does, and all that is there.
    "short days": ("i2", "days since 2000-01-01", {-1: 32_000}, "ns"),
    "unix": ("i4", "seconds since 1970-01-01", {-1: 2**31 - 1}, "ns"),
    "nanoseconds": ("i8", "nanoseconds since 1970-01-01", {-1: 2**62 + 1}, "ns"),
    "fine floats": ("f8", "seconds since 2020-01-01", {-1: 0.125e-6}, "ns"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(CELLS,), (2, CELLS // 2)], ids=["one", "two"])
def test_every_time_of_a_large_variable_is_there(tarn, tmp_path, name, shape):
    dtype, units, special, unit = CASES[name]
    values = np.arange(CELLS, dtype="i8") % 20_000
    values = values.astype(dtype)
    for place, value in special.items():
        values[place] = value
    write(tmp_path / "t.nc", shape, values, units, dtype, zlib=True, chunksizes=tuple(min(n, 65_536) for n in shape))
    table = f"read_netcdf('{tmp_path / 't.nc'}')"
    least, greatest = values.min(), values.max()
    found = tarn.sql(
        f"SELECT count(t), count(*), min(t)::varchar, max(t)::varchar, arrow_typeof(min(t)), "
        f"sum(arrow_cast(t, 'Int64') % 1000) FROM {table}"
    ).rows[0]
    assert found[:2] == [CELLS, CELLS]
    assert found[4] == f"Timestamp({unit})"
    if "nanoseconds" in units or special.get(-1) == 0.125e-6:
        # Python's dates end at microseconds: what is below is compared as a number.
        below = values % 1000 if "nanoseconds" in units else np.round(values * 1e9) % 1000
        assert found[5] == below.sum()
    else:
        for text, value in zip(found[2:4], [least, greatest]):
            date = cftime.num2date(value.item(), units, "proleptic_gregorian")
            assert cftime_of(text) == date.isoformat(), name


def cftime_of(text):
    """As cftime writes it."""
    return text.lstrip("+").rstrip("0").rstrip(".") if "." in text else text.lstrip("+")
