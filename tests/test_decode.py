"""Both ways of decoding through `tarn sql`, beside xarray and cftime."""

import cftime
import netCDF4
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
import xarray

FORMATS = ["NETCDF4", "NETCDF3_64BIT"]


def arrow(tarn, query, path):
    """The answer as an Arrow table."""
    tarn.run("sql", query, "--format", "arrow", "--output", path)
    with pa.ipc.open_stream(path) as reader:
        return reader.read_all()


def read(path, grid, options="{}"):
    return f"read_netcdf('{path}', '{grid}', '{options}')"


@pytest.fixture
def path(tmp_path, request):
    """A file as xarray writes it: packed values, a fill, texts as characters, times, lead times."""
    values = np.random.default_rng(5).random((3, 2)).astype("f4") * 30
    values[1, 1] = np.nan
    data = xarray.Dataset(
        {
            "t": (("time", "station"), values, {"units": "K"}),
            "n": (("time", "station"), np.array([[1, 2], [3, -9], [5, 6]], "i2")),
            "name": ("station", np.array([b"ORNL", b"LBL"], "S4")),
            "lead": ("time", np.array([1, 6, 36], "m8[h]").astype("m8[ns]")),
        },
        {"time": np.array(["2000-01-01", "2000-01-02T12", "2000-03-01"], "M8[ns]")},
    )
    encoding = {
        "t": {"dtype": "i2", "scale_factor": np.float32(0.01), "add_offset": np.float32(10), "_FillValue": np.int16(-32768)},
        "n": {"_FillValue": np.int16(-9)},
        "time": {"units": "hours since 1999-12-31", "dtype": "i4"},
        "lead": {"units": "hours", "dtype": "i4"},
    }
    data.to_netcdf(tmp_path / "f.nc", format=request.param, engine="netcdf4", encoding=encoding)
    return tmp_path / "f.nc"


@pytest.mark.parametrize("path", FORMATS, indirect=True)
def test_xarray_mode_is_open_dataset(tarn, tmp_path, path):
    options = '{"decode": "xarray"}'
    query = f"SELECT * FROM {read(path, 'time_station', options)} ORDER BY time, station"
    table = arrow(tarn, query, tmp_path / "out.arrow")
    leads = arrow(tarn, f"SELECT time, lead FROM {read(path, 'time', options)} ORDER BY time", tmp_path / "lead.arrow")
    names = arrow(tarn, f"SELECT name FROM {read(path, 'station', options)} ORDER BY station", tmp_path / "name.arrow")
    with xarray.open_dataset(path) as data:
        for name in ["t", "n"]:
            assert data[name].dtype == np.float32
            got = table[name].combine_chunks()
            assert got.type == pa.float32() and got.null_count == 0
            np.testing.assert_array_equal(got.to_numpy().view("u4"), data[name].values.ravel().view("u4"))
        assert table.schema.field("time").type == pa.timestamp("ns")
        np.testing.assert_array_equal(table["time"].to_numpy(), np.repeat(data["time"].values, 2))
        assert leads.schema.field("lead").type == pa.duration("ns")
        np.testing.assert_array_equal(leads["lead"].to_numpy(), data["lead"].values)
        assert names["name"].to_pylist() == data["name"].values.tolist() == [b"ORNL", b"LBL"]


@pytest.mark.parametrize("path", FORMATS, indirect=True)
def test_arrow_mode_has_nulls_integers_and_texts(tarn, tmp_path, path):
    query = f"SELECT time, n, t FROM {read(path, 'time_station')} ORDER BY time, station"
    table = arrow(tarn, query, tmp_path / "out.arrow")
    assert table.schema.field("n").type == pa.int16()
    assert table["n"].to_pylist() == [1, 2, 3, None, 5, 6]
    assert table["t"].null_count == 1 and table.schema.field("t").type == pa.float32()
    names = arrow(tarn, f"SELECT name FROM {read(path, 'station')} WHERE name LIKE 'L%'", tmp_path / "name.arrow")
    assert names.schema.field("name").type == pa.string()
    assert names["name"].to_pylist() == ["LBL"]


@pytest.mark.parametrize("path", FORMATS, indirect=True)
def test_tensors_are_the_arrays_of_xarray(tarn, tmp_path, path):
    for decode in ["xarray", "arrow"]:
        options = f'{{"decode": "{decode}", "layout": "tensors"}}'
        query = f"SELECT time, t, n FROM {read(path, 'time_station', options)} ORDER BY time"
        table = arrow(tarn, query, tmp_path / "out.arrow")
        with xarray.open_dataset(path) as data:
            np.testing.assert_array_equal(table["time"].to_numpy(), data["time"].values)
            tensors = table["t"].combine_chunks()
            tensors = tensors.chunk(0) if isinstance(tensors, pa.ChunkedArray) else tensors
            assert tensors.type.shape == [2] and tensors.type.dim_names == ["station"]
            np.testing.assert_array_equal(tensors.to_numpy_ndarray(), data["t"].values)


@pytest.mark.parametrize("calendar", ["noleap", "all_leap", "360_day", "julian", "standard", "proleptic_gregorian"])
def test_dates_of_every_calendar_are_those_of_cftime(tarn, tmp_path, calendar):
    path, units = tmp_path / "f.nc", "days since 1582-10-01"
    values = np.array([-400.25, 0.0, 3.0, 3.5, 13.75, 14.0, 59.1, 60.000001, 151000.3])
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(values))
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = units, calendar
        time[:] = values
        file.createVariable("v", "i4", ("time",))[:] = np.arange(len(values))
    table = arrow(
        tarn,
        f"SELECT cf_date(time) AS date, cf_year(time) AS year, cf_month(time) AS month, cf_day(time) AS day FROM read_netcdf('{path}') ORDER BY v",
        tmp_path / "out.arrow",
    )
    dates = cftime.num2date(values, units, calendar, only_use_cftime_datetimes=True)
    assert table["date"].to_pylist() == [date.isoformat() for date in dates]
    for part in ["year", "month", "day"]:
        assert table[part].to_pylist() == [getattr(date, part) for date in dates]
