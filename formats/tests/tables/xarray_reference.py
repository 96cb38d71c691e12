"""Writes NetCDF files and Zarr stores of random variables, and compares Tarn's columns with xarray and netCDF4.

usage: xarray_reference.py write FOLDER SEED    writes FOLDER/*.nc and *.zarr
       xarray_reference.py compare FOLDER       compares FOLDER/columns.arrows, listed in columns.jsonl
"""
import collections
import json
import pathlib
import sys
import warnings

import cftime
import h5py
import netCDF4
import numpy as np
import pyarrow as pa
import xarray as xr
import zarr
from xarray.backends.zarr import FillValueCoder
from xarray.conventions import decode_cf_variable, decode_cf_variables

warnings.simplefilter("ignore")
np.seterr(all="ignore")

# ---------------------------------------------------------------- random files

CELLS = 12
INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
CLASSIC = ["i1", "i2", "i4", "f4", "f8"]
CALENDARS = ["standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "all_leap", "360_day", "julian"]
UNITS = ["days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds", "d", "hrs", "min", "s", "Days", "months"]
REFERENCES = ["2000-01-01", "1850-01-01 00:00:00", "1-1-1", "1582-10-14", "1970-01-01T12:30:15.25Z", "2000-02-28 06:00 +02:00",
              "1700-01-01", "2000-01-01 15:00:06 0:00", "01-JAN-1990 00:00:00", "20000101 12:00", "1900-1-1 0:0:0.0", "0000-01-01", "10000-01-01"]


def some(rng, *choices):
    return choices[rng.integers(len(choices))]


def values_of(rng, dtype):
    """Random values with the corners of the dtype among them."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        values = rng.standard_normal(CELLS) * 10.0 ** rng.integers(-3, 9)
        corners = [np.nan, np.inf, 1e20, -9999.0, 9.969209968386869e36, 0.1, -0.0, 2.0**53 + 2, 7.0]
    else:
        info = np.iinfo(dtype)
        size = int(some(rng, 100, 2**15, info.max))
        values = rng.integers(max(info.min, -size), min(info.max, size), CELLS, endpoint=True, dtype=dtype)
        corners = [v for v in [info.min, info.max, info.min + 1, info.max - 1, 7, -9, -9999, 255, 2**53, 2**53 + 1, 2**24 + 1] if info.min <= v <= info.max]
    values = values.astype(dtype)
    for place in rng.integers(0, CELLS, rng.integers(0, 5)):
        values[place] = np.array(some(rng, *corners)).astype(dtype)
    return values


def fill_of(rng, values, dtype):
    """A fill that may occur among the values, in a dtype that may be another."""
    value = some(rng, *values.tolist(), 7, -9999, 1e20, np.nan, -1, 2**53 + 1)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return dtype.type(value)
    info = np.iinfo(dtype)
    if not np.isfinite(value) or not info.min <= value <= info.max:
        value = 7
    return dtype.type(int(value))


def number(rng, *dtypes):
    dtype = np.dtype(some(rng, *dtypes))
    return dtype.type(some(rng, 2, 0.01, 0.1, 1.5, 10, 1e-3, 273.15, 1, -3) if dtype.kind == "f" else some(rng, 1, 2, 3, 10))


def random_variable(rng, dtypes):
    """Values, and attributes that mean something to decoders."""
    dtype = some(rng, *dtypes)
    values, attributes = values_of(rng, dtype), {}
    chance = rng.random
    other = list(CLASSIC) if len(dtypes) < 8 else INTEGERS + ["f4", "f8"]
    if chance() < 0.5:
        attributes["_FillValue"] = fill_of(rng, values, dtype if chance() < 0.8 else some(rng, *other))
    if chance() < 0.35:
        kind = dtype if chance() < 0.6 else some(rng, *other)
        count = some(rng, 1, 1, 2, 3)
        fills = np.array([fill_of(rng, values, kind) for _ in range(count)])
        attributes["missing_value"] = fills if count > 1 else fills[0]
    if chance() < 0.04:
        attributes[some(rng, "missing_value", "_FillValue")] = "-9"
    if chance() < 0.4:
        attributes["scale_factor"] = number(rng, "f4", "f8", "f4", "f8", *other)
    if chance() < 0.3:
        attributes["add_offset"] = number(rng, "f4", "f8", "f4", "f8", *other)
    if chance() < 0.02:
        attributes["scale_factor"] = "0.1"
    if chance() < 0.25 and not isinstance(attributes.get("_FillValue"), str):
        attributes["_Unsigned"] = some(rng, "true", "true", "false", "True")
    if chance() < 0.1:
        attributes["valid_range"] = np.array([0, 50], dtype)
    if chance() < 0.05:
        attributes["dtype"] = "bool"
    elif chance() < 0.06:
        attributes["units"] = some(rng, "days", "hours", "seconds", "K")
        if chance() < 0.5:
            attributes["dtype"] = some(rng, "timedelta64[ns]", "timedelta64[s]", "timedelta64[ms]", "timedelta64[D]")
    return values, attributes


def random_time(rng, dtypes):
    dtype = some(rng, *dtypes)
    size = some(rng, 100, 100, 1000, 20_000, 120_000, 10**6, 10**9)
    values = (rng.random(CELLS) * 2 - some(rng, 0, 1)) * size
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        values = np.clip(values.round(), float(info.min), float(min(info.max, 2**53)))
    values = values.astype(dtype)
    attributes = {"units": f"{some(rng, *UNITS)} since {some(rng, *REFERENCES)}"}
    if rng.random() < 0.8:
        attributes["calendar"] = some(rng, *CALENDARS)
    if np.dtype(dtype).kind == "f" and rng.random() < 0.2:
        values[rng.integers(0, CELLS)] = some(rng, np.nan, np.nan, np.inf, 9.96921e36)
    if rng.random() < 0.3:
        attributes["_FillValue"] = fill_of(rng, values, dtype)
    if rng.random() < 0.1:
        attributes["scale_factor"] = number(rng, "f4", "f8")
        if rng.random() < 0.5:
            attributes["add_offset"] = number(rng, "f4", "f8")
    if rng.random() < 0.05:
        attributes["_Unsigned"] = "true"
    return values, attributes


def write_numbers(path, rng, file_format, dtypes, count):
    late = {}
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        file.createDimension("x", CELLS)
        for index in range(count):
            make = random_time if rng.random() < 0.3 else random_variable
            values, attributes = make(rng, dtypes)
            name = f"v{index}"
            fill = attributes.get("_FillValue")
            own = fill is not None and not isinstance(fill, str) and fill.dtype == values.dtype
            variable = file.createVariable(name, values.dtype, ("x",), fill_value=fill if own else None)
            variable.set_auto_maskandscale(False)
            if fill is not None and not own:
                late[name] = fill
            variable.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
            variable[:] = values
    # The C library writes no _FillValue of another type; other programs do.
    if file_format == "NETCDF4":
        with h5py.File(path, "r+") as file:
            for name, fill in late.items():
                file[name].attrs["_FillValue"] = fill if isinstance(fill, str) else np.array([fill])


def write_texts(path, rng, file_format, count):
    letters = [b"a", b"b", b"-", b" ", b"\0", b"\0", b"N", b"\xe9", b"1"]
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        file.createDimension("x", CELLS)
        file.createDimension("shared", 3)
        file.createDimension("named", 3)
        file.createVariable("named", "i4", ("named",))[:] = [1, 2, 3]
        file.createVariable("user_of_shared", "f4", ("shared",))[:] = [1, 2, 3]
        for index in range(count):
            width = int(rng.integers(1, 6))
            dimensions = some(rng, ("x", f"n{index}"), (f"n{index}",), ("x", f"n{index}"), ("x", "shared"), ("x", "named"), (f"n{index}", "x"), ("x",), ())
            if f"n{index}" in dimensions:
                file.createDimension(f"n{index}", width)
            fill = some(rng, None, None, b"-", b"\0", b"N")
            variable = file.createVariable(f"c{index}", "S1", dimensions, fill_value=fill)
            variable.set_auto_chartostring(False)
            encoding = some(rng, None, None, "utf-8", "latin-1", "ascii")
            known = letters if encoding in (None, "latin-1") else [c for c in letters if c < b"\x80"]
            cells = np.array([some(rng, *known) for _ in range(int(np.prod(variable.shape)))], "S1").reshape(variable.shape)
            for row in cells.reshape(-1, cells.shape[-1]) if cells.ndim else []:
                if fill and rng.random() < 0.3:
                    row[:] = fill
            variable[...] = cells
            if encoding:
                variable._Encoding = encoding
            if rng.random() < 0.2:
                variable.missing_value = some(rng, "N", "a", "--")
        if file_format == "NETCDF4":
            for index in range(8):
                variable = file.createVariable(f"s{index}", str, ("x",))
                for place in range(CELLS):
                    variable[place] = some(rng, "", "a", "NA", "höhe", "-")
                if rng.random() < 0.7:
                    variable.setncattr("missing_value", some(rng, "", "NA", "-"))


def json_of(value):
    """An attribute as JSON has it."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def write_zarr(path, rng, version, count):
    """Random variables as arrays of Zarr, with attributes that JSON can hold."""
    root = zarr.create_group(path, zarr_format=version)
    for index in range(count):
        kind = rng.random()
        if kind < 0.1:
            values, attributes = other_of_zarr(rng), {}
        elif kind < 0.35:
            values, attributes = random_time(rng, INTEGERS + ["f4", "f8"])
        else:
            values, attributes = random_variable(rng, INTEGERS + ["f4", "f8"])
        fill = attributes.pop("_FillValue", None)
        attributes = {key: json_of(value) for key, value in attributes.items()}
        extra = {}
        if version == 2:
            own = fill is not None and not isinstance(fill, str) and fill.dtype == values.dtype
            if values.dtype.kind in "TUS" and rng.random() < 0.5:
                fill, own = some(rng, "", "a") if values.dtype.kind != "S" else some(rng, b"", b"a"), True
            extra["fill_value"] = fill if own else None
            attributes["_ARRAY_DIMENSIONS"] = ["x"]
        else:
            extra["dimension_names"] = ["x"]
            if fill is not None and not isinstance(fill, str):
                if values.dtype.kind != "f":
                    fill = int(fill) if np.isfinite(fill) else 7
                attributes["_FillValue"] = FillValueCoder.encode(fill, values.dtype)
            if values.dtype.kind in "iu" and rng.random() < 0.5:
                extra["fill_value"] = int(values[0])
        array = root.create_array(f"v{index}", shape=values.shape, dtype=values.dtype, chunks=(5,), attributes=attributes, **extra)
        array[...] = values
    zarr.consolidate_metadata(path, zarr_format=version)


def other_of_zarr(rng):
    """What NetCDF does not have: times of NumPy, fixed texts, Booleans."""
    kind = some(rng, "M8[s]", "M8[ns]", "m8[ms]", "U3", "S3", "T", "?")
    if kind in ("U3", "S3", "T"):
        dtype = np.dtypes.StringDType() if kind == "T" else kind
        return np.array([some(rng, "", "a", "abc", "xy") for _ in range(CELLS)], dtype)
    if kind == "?":
        return rng.random(CELLS) < 0.5
    values = rng.integers(-(10**9), 10**9, CELLS).astype(kind)
    values[rng.integers(CELLS)] = "NaT"
    return values


def write(folder, seed):
    rng = np.random.default_rng(seed)
    write_numbers(folder / "numbers.nc", rng, "NETCDF4", INTEGERS + ["f4", "f8"], 600)
    write_numbers(folder / "classic.nc", rng, "NETCDF3_64BIT_OFFSET", CLASSIC, 150)
    write_texts(folder / "texts.nc", rng, "NETCDF4", 60)
    write_texts(folder / "texts_classic.nc", rng, "NETCDF3_CLASSIC", 60)
    write_zarr(folder / "two.zarr", rng, 2, 200)
    write_zarr(folder / "three.zarr", rng, 3, 200)


# ---------------------------------------------------------------- what xarray and netCDF4 say


class Group:
    """The variables of one group, as xarray reads them: stored, and decoded one by one."""

    def __init__(self, file, group):
        self.zarr = pathlib.Path(file).is_dir()
        if self.zarr:
            self.store = xr.backends.ZarrStore.open_group(file, group=group or None, mode="r")
        else:
            self.store = xr.backends.NetCDF4DataStore.open(file, group=group or None)
        self.stored, self.attributes = self.store.load()
        self.failed = {}
        while True:
            try:
                self.decoded, _, _ = decode_cf_variables(dict(self.stored), self.attributes, drop_variables=list(self.failed))
                return
            except Exception as error:
                # xarray adds a note that names the variable.
                name = error.__notes__[0].split("variable ", 1)[1].split(" with value", 1)[0].strip("'\"")
                assert name in self.stored and name not in self.failed, error.__notes__
                self.failed[name] = error

    def xarray(self, name):
        """Decoded values; raises where xarray does."""
        if name in self.failed:
            raise self.failed[name]
        return self.decoded[name].values

    def texts(self, name):
        """Characters as texts in arrow mode, along the dimension that xarray finds."""
        variable = self.stored[name]
        stacked = self.decoded[name].ndim < variable.ndim
        width = variable.shape[-1] if stacked else 1
        return [text_of(row, variable.attrs) for row in variable.values.reshape(-1, width).tolist()]

    def arrow(self, name):
        """Values by rule 16, and which of them are NULL; None where the rule is no matter of arrays."""
        variable = self.stored[name]
        raw = variable.values
        attributes = dict(variable.attrs)
        units = attributes.get("units")
        if raw.dtype.kind not in "iuf" or (isinstance(units, str) and "since" in units.lower()):
            return None
        null = masked(raw, attributes, default=not self.zarr)
        if not self.zarr:
            compare_with_netcdf4(self, name, raw, attributes, null)
        fills = [f for key in ("_FillValue", "missing_value") for f in np.ravel(attributes.get(key, []))]
        fills = [f for f in fills if not isinstance(f, str)]
        packed = "scale_factor" in attributes or "add_offset" in attributes
        nan_only = raw.dtype.kind == "f" and fills and all(np.isnan(f) for f in fills)
        if not (packed and nan_only):
            attributes.pop("_FillValue", None)
            attributes.pop("missing_value", None)
        scale = attributes.get("scale_factor")
        # Integers of JSON have 64 bits here.
        scale = np.int64(scale) if isinstance(scale, int) else scale
        if isinstance(scale, (int, np.integer)) and "add_offset" not in attributes and not nan_only:
            # Integers that do not fit are NULL and do not wrap.
            del attributes["scale_factor"]
            boolean = attributes.pop("dtype", None) == "bool"
            plain = decode_cf_variable(name, xr.Variable(variable.dims, raw, attributes), decode_times=False).values
            whole, null = whole_products(plain, scale, null)
            return (whole.astype(bool) if boolean else whole), null
        values = decode_cf_variable(name, xr.Variable(variable.dims, raw, attributes), decode_times=False).values
        return values, null


def text_of(characters, attributes):
    """A row of characters as text; None where it is no value."""
    fill, missing = attributes.get("_FillValue"), attributes.get("missing_value")
    if fill is not None and all(c == fill.rstrip(b"\0") for c in characters):
        return None
    data = b"".join(c or b"\0" for c in characters).rstrip(b"\0")
    encoding = attributes.get("_Encoding")
    if encoding == "latin-1":
        text = data.decode("latin-1")
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    return None if text == missing else text


def whole_products(values, scale, null):
    dtype, info = scale.dtype, np.iinfo(scale.dtype)
    out, null = np.zeros(values.shape, dtype), null.copy()
    for place in np.ndindex(values.shape):
        value = values[place].item()
        whole = int(value) if np.isfinite(value) else None
        if whole is None or not info.min <= whole <= info.max or not info.min <= whole * int(scale) <= info.max:
            null[place] = True
        else:
            out[place] = whole * int(scale)
    return out, null


def fill_members(attributes):
    for key in ("_FillValue", "missing_value"):
        for member in np.ravel(attributes.get(key, [])):
            if not isinstance(member, str):
                yield member


def masked(raw, attributes, default):
    """Rule 16: fills are compared with the stored value; in NetCDF the default fill counts where none is named."""
    null = np.zeros(raw.shape, bool)
    unsigned = {"true": ("i", "u"), "false": ("u", "i")}.get(attributes.get("_Unsigned"))
    view = raw.view(f"{unsigned[1]}{raw.dtype.itemsize}") if unsigned and raw.dtype.kind == unsigned[0] else None
    for member in fill_members(attributes):
        for data in [raw] if view is None else [raw, view]:
            if data.dtype.kind == "f":
                there = data.dtype.type(member)
                if np.dtype(member.dtype).kind != "f" and int(member) != float(there):
                    continue
                if np.isinf(there) and not np.isinf(member):
                    continue
                null |= np.isnan(data) if np.isnan(there) else data == there
            elif not np.isnan(member) and float(member).is_integer():
                null |= np.array([int(v) == int(member) for v in data.ravel()], bool).reshape(data.shape)
    named = [m for m in np.ravel(attributes.get("_FillValue", [])) if not isinstance(m, str)]
    own = "_FillValue" in attributes and any(representable(m, raw.dtype) or (view is not None and representable(m, view.dtype)) for m in named)
    if default and not own and raw.dtype.itemsize > 1 and view is None:
        null |= raw == raw.dtype.type(netCDF4.default_fillvals[raw.dtype.str[1:]])
    return null


def representable(member, dtype):
    if dtype.kind == "f":
        there = dtype.type(member)
        if np.dtype(member.dtype).kind == "f":
            return not (np.isinf(there) and not np.isinf(member))
        return int(member) == float(there)
    info = np.iinfo(dtype)
    return bool(np.isfinite(member)) and float(member).is_integer() and info.min <= int(member) <= info.max


def compare_with_netcdf4(group, name, raw, attributes, null):
    """The mask of netCDF4-python, where it takes all fills and no valid range."""
    if any(key.startswith("valid_") for key in attributes) or "_Unsigned" in attributes or isinstance(attributes.get("_FillValue"), str):
        return
    if not all(representable(m, raw.dtype) and raw.dtype.type(m) == m or (np.isnan(m) and raw.dtype.kind == "f") for m in fill_members(attributes)):
        return
    if isinstance(attributes.get("missing_value"), str):
        return
    variable = group.store.ds.variables[name]
    variable.set_auto_mask(True)
    variable.set_auto_scale(False)
    theirs = np.ma.getmaskarray(variable[...])
    variable.set_auto_maskandscale(False)
    if raw.dtype.itemsize == 1 and "_FillValue" not in attributes:
        # By the NetCDF Users Guide bytes have no default fill; netCDF4-python takes -127 and 255 for one.
        theirs = theirs & ((raw != netCDF4.default_fillvals[raw.dtype.str[1:]]) | null)
    assert np.array_equal(theirs, null), f"the rule of this script and netCDF4 differ on {name}: {null} {theirs}"


# ---------------------------------------------------------------- comparing

ARROW_TYPES = {"b": "bool", "f2": "halffloat", "f4": "float", "f8": "double"}


def type_name(dtype):
    if dtype.kind == "b":
        return "bool"
    if dtype.kind == "M":
        return f"timestamp[{np.datetime_data(dtype)[0]}]"
    if dtype.kind == "m":
        return f"duration[{np.datetime_data(dtype)[0]}]"
    if dtype.kind == "f":
        return ARROW_TYPES[dtype.str[1:]]
    return dtype.name


def bits(values):
    values = np.ascontiguousarray(values)
    return values.view(f"u{values.dtype.itemsize}") if values.dtype.kind == "f" else values


def differ_numbers(column, values, null=None):
    """What differs between a column and an array, bit for bit; None where nothing does."""
    values = np.ravel(values)
    if str(column.type) != type_name(values.dtype):
        return f"{column.type} in place of {values.dtype}"
    if len(column) != values.size:
        return f"{len(column)} values in place of {values.size}"
    if values.dtype.kind in "mM":
        null = np.isnat(values) if null is None else null
        values, column = values.view("i8"), column.view(pa.int64())
    null = np.zeros(values.shape, bool) if null is None else np.ravel(null)
    theirs = np.array(column.is_null())
    if not np.array_equal(null, theirs):
        return f"NULL at {np.flatnonzero(theirs)} in place of {np.flatnonzero(null)}"
    kept = ~null
    found = column.drop_null().to_numpy(zero_copy_only=False)
    if not np.array_equal(bits(found), bits(values[kept])):
        places = np.flatnonzero(bits(found) != bits(values[kept]))[:3]
        return f"{found[places]} in place of {values[kept][places]}"
    return None


def plain(value):
    """An object of xarray as Tarn writes it."""
    if isinstance(value, cftime.datetime):
        return value.isoformat()
    if isinstance(value, float) and np.isnan(value):
        return None
    return value


def differ(column, values):
    if values.dtype.kind in "biufmM":
        return differ_numbers(column, values)
    wanted = [plain(value) for value in values.ravel().tolist()]
    if values.dtype.kind == "S" and column.type == pa.string():
        # Plain HDF5 says that its strings are text.
        wanted = [value.decode("utf-8", "replace") for value in wanted]
    found = column.to_pylist()
    return None if found == wanted else f"{found[:5]} in place of {wanted[:5]}"


def compare(folder):
    counts, faults, groups, out = collections.Counter(), [], {}, collections.Counter()
    with open(folder / "columns.arrows", "rb") as streams, open(folder / "columns.jsonl") as listed:
        for line in map(json.loads, listed):
            column = None
            if "error" not in line:
                table = pa.ipc.open_stream(streams).read_all().combine_chunks()
                column = table.columns[-1].chunk(0) if table.num_rows else pa.array([], table.schema.types[-1])
            group, name = line["path"].rsplit("/", 1)
            key = (line["file"], group)
            if key not in groups:
                try:
                    groups[key] = Group(line["file"], group)
                except Exception as error:
                    groups[key] = None
                    print(f"left out: {key}: {error}")
            line["leading"] = table.column(0).chunk(0) if "tensors" in line["mode"] else None
            fault = check(groups[key], name, line, column, counts)
            if fault:
                faults.append(f"{line['mode']} {line['file']} {line['path']}: {fault}")
    print("\n".join(faults))
    print(json.dumps(counts))
    return len(faults)


def check(group, name, line, column, counts):
    """What is wrong with a column; None where nothing is, or where there is nothing to compare with."""
    if group is None or name not in group.stored:
        counts["left_out"] += 1
        return None
    try:
        raw = group.stored[name].values
    except RuntimeError:
        # A filter that the C library lacks.
        counts["left_out"] += 1
        return None
    checks = {"arrow": check_arrow, "xarray": check_xarray, "union": check_union}
    fault = checks.get(line["mode"], check_tensors)(group, name, line, column, counts)
    return fault and f"{fault}   [{raw.dtype} {dict(group.stored[name].attrs)} {raw.ravel()[:12]}]"


def check_union(group, name, line, column, counts):
    """Files that continue each other, in the order they were named."""
    counts["union"] += 1
    return differ(column, np.concatenate([Group(file, "").xarray(name) for file in line["files"]]))


def check_tensors(group, name, line, column, counts):
    """Shape, names, elements, NULLs and what lies under them, and the leading coordinate."""
    variable = group.stored[name]
    mode = line["mode"].split()[0]
    expected = group.arrow(name) if mode == "arrow" else (group.xarray(name), None)
    if expected is None or expected[0].dtype.kind not in "iuf":
        return None
    counts[line["mode"]] += 1
    values, null = expected
    kind = column.type
    if not isinstance(kind, pa.FixedShapeTensorType):
        return f"{kind} in place of tensors"
    if tuple(kind.shape) != variable.shape[1:]:
        return f"shape {kind.shape} in place of {variable.shape[1:]}"
    # Nameless dimensions of plain HDF5 have other names there.
    phony = any(name.startswith("phony_dim_") for name in variable.dims)
    if not phony and tuple(kind.dim_names) != variable.dims[1:]:
        return f"dim_names {kind.dim_names} in place of {variable.dims[1:]}"
    if len(column) != variable.shape[0]:
        return f"{len(column)} rows in place of {variable.shape[0]}"
    fault = differ_numbers(column.storage.flatten(), values, null)
    if fault:
        return fault
    shown = column.to_numpy_ndarray()
    wanted = values if null is None else np.where(null, np.nan if values.dtype.kind == "f" else 0, values).astype(values.dtype)
    if shown.shape != values.shape or not np.array_equal(shown, wanted, equal_nan=values.dtype.kind == "f"):
        return "pyarrow shows other elements"
    leading = variable.dims[0]
    coordinate = group.decoded.get(leading)
    if mode == "xarray" and coordinate is not None and coordinate.dims == (leading,):
        fault = differ(line["leading"], coordinate.values)
        return fault and f"leading coordinate: {fault}"
    return None


def check_arrow(group, name, line, column, counts):
    if column is None:
        counts["arrow_refused"] += 1
        attributes = group.stored[name].attrs
        numbers = all(isinstance(attributes.get(key, 0), (int, float, np.number)) for key in ("scale_factor", "add_offset"))
        return line["error"] if numbers else None
    if group.stored[name].dtype == "S1":
        counts["texts"] += 1
        found, wanted = column.to_pylist(), group.texts(name)
        return None if found == wanted else f"{found} in place of {wanted}"
    expected = group.arrow(name)
    if expected is None:
        return None
    counts["arrow"] += 1
    values, null = expected
    if column.type == pa.bool_() and values.dtype == np.int8:
        # An enumeration of FALSE and TRUE, which the C library shows as its integers.
        values = values.astype(bool)
    return differ_numbers(column, values, null)


def check_xarray(group, name, line, column, counts):
    try:
        expected = group.xarray(name)
    except Exception as error:
        counts["refused"] += 1
        return f"{column} where xarray fails: {error!r}" if column is not None else None
    if column is None:
        return line["error"]
    if expected.dtype.kind == "V" or (expected.dtype.kind == "O" and expected.size and isinstance(expected.ravel()[0], np.ndarray)):
        counts["structured"] += 1
        return None
    counts["xarray"] += 1
    return differ(column, expected)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "compare":
        sys.exit(1 if compare(pathlib.Path(sys.argv[2])) else 0)
