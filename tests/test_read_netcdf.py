"""`tarn sql` over files it has never seen, beside netCDF4, xarray and h5py."""

import csv
import json
import subprocess

import h5py
import netCDF4
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
import xarray
from fields import FORMATS, random_hdf5, random_netcdf, read_masked

SEEDS = range(3)


def arrow(tarn, query, path):
    """The answer as an Arrow table."""
    tarn.run("sql", query, "--format", "arrow", "--output", path)
    with pa.ipc.open_stream(path) as reader:
        return reader.read_all()


def in_order(table):
    """Rows by time, lat and lon, as numpy columns with their validity."""
    table = table.sort_by([("time", "ascending"), ("lat", "ascending"), ("lon", "ascending")])
    valid = {name: np.asarray(table[name].is_valid()) for name in table.column_names}
    return table, valid


def flat(field, axes):
    """A masked grid in the order of in_order."""
    order = np.ix_(np.argsort(axes["time"], kind="stable"), np.argsort(axes["lat"]), np.argsort(axes["lon"]))
    return field[order].ravel()


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_cell_is_what_netcdf4_reads(tarn, tmp_path, file_format, seed):
    path = random_netcdf(tmp_path / "f.nc", seed * 100 + FORMATS.index(file_format), file_format)
    fields, axes, _, _ = read_masked(path)
    table, valid = in_order(arrow(tarn, f"SELECT * FROM read_netcdf('{path}', 'time_lat_lon')", tmp_path / "out.arrow"))
    assert table.num_rows == fields["temp"].size
    for name, field in fields.items():
        want = flat(field, axes)
        present = ~np.ma.getmaskarray(want)
        got = table[name].to_numpy(zero_copy_only=False) if name == "plain" else table[name]
        if name == "plain":
            # NaN is a value in a file that names no fill; netCDF4 keeps it.
            np.testing.assert_array_equal(got, want.filled(np.nan))
            continue
        np.testing.assert_array_equal(valid[name], present, err_msg=name)
        values = np.asarray(got.drop_null())
        expected = want.compressed()
        if name == "packed":
            np.testing.assert_allclose(values, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(values, expected, err_msg=name)


@pytest.mark.parametrize("file_format", FORMATS)
def test_integers_stay_integers_and_packed_values_take_the_dtype_of_xarray(tarn, tmp_path, file_format):
    path = random_netcdf(tmp_path / "f.nc", 7, file_format)
    table = arrow(tarn, f"SELECT * FROM read_netcdf('{path}')", tmp_path / "out.arrow")
    with xarray.open_dataset(path, decode_times=False) as data:
        assert table.schema.field("packed").type == pa.from_numpy_dtype(data["packed"].dtype)
        assert table.schema.field("temp").type == pa.from_numpy_dtype(data["temp"].dtype)
    assert table.schema.field("count").type == pa.int32()
    assert table.schema.field("flag").type == pa.int8()


def test_packed_values_are_those_of_xarray_to_the_bit(tarn, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 11, "NETCDF4")
    table, _ = in_order(
        arrow(tarn, f"SELECT time, lat, lon, packed FROM read_netcdf('{path}')", tmp_path / "out.arrow")
    )
    _, axes, _, _ = read_masked(path)
    with xarray.open_dataset(path, decode_times=False) as data:
        want = flat(data["packed"].values, axes)
    np.testing.assert_array_equal(table["packed"].to_numpy(zero_copy_only=False), want)


@pytest.mark.parametrize("file_format", ["NETCDF4", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_box_of_coordinates_is_cut_exactly(tarn, tmp_path, file_format, seed):
    path = random_netcdf(tmp_path / "f.nc", 40 + seed, file_format)
    fields, axes, _, _ = read_masked(path)
    rng = np.random.default_rng(seed)
    south, north = np.sort(rng.choice(axes["lat"], 2, replace=False))
    east = float(rng.choice(axes["lon"]))
    inside = (axes["lat"] >= south) & (axes["lat"] <= north)
    box = fields["temp"][:, inside, :][:, :, axes["lon"] > east]
    query = f"""SELECT count(*), count(temp), sum(temp), min(temp), max(temp) FROM read_netcdf('{path}')
                WHERE lat BETWEEN {float(south)!r} AND {float(north)!r} AND lon > {east!r}"""
    rows, present, total, low, high = tarn.sql(query).rows[0]
    assert (rows, present) == (box.size, int(box.count()))
    if present:
        assert total == pytest.approx(float(box.astype("f8").sum()), rel=1e-6)
        assert (low, high) == (pytest.approx(float(box.min())), pytest.approx(float(box.max())))


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day", "julian", "proleptic_gregorian", "all_leap"])
def test_dates_are_those_of_the_file_s_own_calendar(tarn, tmp_path, calendar):
    path = random_netcdf(tmp_path / "f.nc", 5, "NETCDF4", calendar)
    _, axes, units, _ = read_masked(path)
    dates = netCDF4.num2date(axes["time"], units, calendar)
    want = sorted({(d.year, d.month, d.day) for d in dates})
    options = '{"columns": {"y": "cf_year(time)", "m": "cf_month(time)", "d": "cf_day(time)"}}'
    query = f"SELECT DISTINCT y, m, d FROM read_netcdf('{path}', 'time_lat_lon', '{options}') ORDER BY y, m, d"
    assert [tuple(row) for row in tarn.sql(query).rows] == want


def test_time_of_a_standard_calendar_is_a_timestamp(tarn, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 6, "NETCDF4", "standard")
    table = arrow(tarn, f"SELECT DISTINCT time FROM read_netcdf('{path}') ORDER BY time", tmp_path / "out.arrow")
    assert pa.types.is_timestamp(table.schema.field("time").type)
    with xarray.open_dataset(path) as data:
        np.testing.assert_array_equal(table["time"].to_numpy().astype("M8[ns]"), np.sort(data["time"].values))


def test_attributes_travel_with_their_columns(tarn, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 8, "NETCDF4")
    table = arrow(tarn, f"SELECT temp FROM read_netcdf('{path}')", tmp_path / "out.arrow")
    metadata = table.schema.field("temp").metadata
    assert metadata[b"units"] == b"K"
    assert metadata[b"standard_name"] == b"air_temperature"


def test_many_files_are_one_table_that_knows_which_is_which(tarn, tmp_path):
    counts = {}
    for seed in range(4):
        path = random_netcdf(tmp_path / f"run_{seed}.nc", seed, FORMATS[seed], "standard")
        counts[f"seed-{seed}"] = int(read_masked(path)[0]["temp"].count())
    options = '{"columns": {"model": "attribute:source_id", "run": "path:run_([0-9]+)"}}'
    query = f"SELECT model, run, count(temp) FROM read_netcdf('{tmp_path}/run_*.nc', 'time_lat_lon', '{options}') GROUP BY 1, 2 ORDER BY 1"
    rows = tarn.sql(query).rows
    assert rows == [[f"seed-{seed}", seed, counts[f"seed-{seed}"]] for seed in range(4)]


@pytest.mark.parametrize("seed", SEEDS)
def test_plain_hdf5_is_what_h5py_reads(tarn, tmp_path, seed):
    path = tmp_path / "f.h5"
    values = random_hdf5(path, seed)
    grids = {v: g["name"] for g in tarn.run("inspect", path, "--json").json()[0]["grids"] for v in g["variables"]}
    with h5py.File(path) as file:
        for name, want in values.items():
            grid = grids.get("/" + name) or grids[name]
            column = name.rpartition("/")[2]
            query = f"SELECT dim_0, dim_1, {column} AS v FROM read_hdf5('{path}', '{grid}') ORDER BY dim_0, dim_1"
            got = np.array([row[2] for row in tarn.sql(query).rows]).reshape(want.shape)
            np.testing.assert_allclose(got, file[name][()], rtol=1e-7, err_msg=name)


def test_an_empty_unlimited_dimension_gives_no_rows(tarn, tmp_path):
    path = tmp_path / "empty.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 3)
        file.createVariable("v", "f4", ("time", "x"))
    assert tarn.sql(f"SELECT count(*), count(v) FROM read_netcdf('{path}', 'time_x')").rows == [[0, 0]]


def test_groups_are_grids_of_their_own(tarn, tmp_path):
    path = tmp_path / "groups.nc"
    with netCDF4.Dataset(path, "w") as file:
        for group, size in (("north", 3), ("south", 5)):
            part = file.createGroup(group)
            part.createDimension("x", size)
            part.createVariable("v", "i4", ("x",))[:] = np.arange(size)
    found = {g["name"]: g["rows"] for g in tarn.run("inspect", path, "--json").json()[0]["grids"]}
    assert found == {"north_x": 3, "south_x": 5}
    assert tarn.sql(f"SELECT sum(v) FROM read_netcdf('{path}', 'south_x')").rows == [[10]]


def test_the_formats_of_an_answer_hold_the_same_values(tarn, tmp_path):
    import pandas

    path = random_netcdf(tmp_path / "f.nc", 9, "NETCDF4", "standard")
    query = f"SELECT lat, lon, temp, count FROM read_netcdf('{path}') ORDER BY time, lat, lon"
    truth = arrow(tarn, query, tmp_path / "a.arrow").to_pandas()
    for name, read in (("a.parquet", pandas.read_parquet), ("a.csv", pandas.read_csv)):
        tarn.run("sql", query, "--output", tmp_path / name)
        pandas.testing.assert_frame_equal(read(tmp_path / name), truth, check_dtype=False, rtol=1e-6)
    rows = tarn.sql(query).rows
    assert len(rows) == len(truth)
    assert [row[3] for row in rows] == [None if pandas.isna(v) else int(v) for v in truth["count"]]


def test_sql_needs_no_home_and_leaves_none(tarn, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 1, "NETCDF3_CLASSIC")
    before = sorted(tmp_path.iterdir())
    tarn.sql(f"SELECT count(*) FROM read_netcdf('{path}')")
    assert sorted(tmp_path.iterdir()) == before


def test_the_tensor_layout_has_a_row_for_each_leading_index(tarn, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 12, "NETCDF4", "noleap")
    fields, axes, _, _ = read_masked(path)
    query = f"""SELECT * FROM read_netcdf('{path}', 'time_lat_lon', '{{"layout": "tensors"}}') ORDER BY time"""
    table = arrow(tarn, query, tmp_path / "out.arrow")
    assert table.num_rows == len(axes["time"])
    column = table["plain"].combine_chunks()
    assert isinstance(column.type, pa.FixedShapeTensorType)
    assert tuple(column.type.shape) == fields["plain"].shape[1:]
    np.testing.assert_array_equal(column.to_numpy_ndarray(), fields["plain"].filled(np.nan))


def test_a_prompt_answers_statements_until_the_end_of_its_input(tarn, tmp_path):
    path = random_netcdf(tmp_path / "f.nc", 3, "NETCDF4")
    done = subprocess.run(
        tarn.command("sql"),
        input=f"SELECT count(*) AS n\nFROM read_netcdf('{path}');\n",
        capture_output=True,
        text=True,
        timeout=60,
        env=tarn.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(read_masked(path)[0]["temp"].size) in done.stdout


def test_times_on_several_dimensions_reach_past_what_nanoseconds_hold(tarn, tmp_path):
    path = tmp_path / "bounds.nc"
    days = np.array([[0, 30], [163985, 164015]])
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", 2)
        file.createDimension("bnds", 2)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.bounds = "days since 1850-01-01", "time_bnds"
        time[:] = [0, 164000]
        bounds = file.createVariable("time_bnds", "f8", ("time", "bnds"))
        bounds.units = time.units
        bounds[:] = days
    query = f"SELECT time_bnds FROM read_netcdf('{path}', 'time_bnds') ORDER BY time_bnds"
    got = arrow(tarn, query, tmp_path / "out.arrow")["time_bnds"].to_pylist()
    want = netCDF4.num2date(days.ravel(), "days since 1850-01-01", only_use_cftime_datetimes=False)
    assert [str(one).replace("T", " ")[:19] for one in got] == [str(one)[:19] for one in want]
def test_a_detectors_master_file_is_read_with_the_files_beside_it(tarn, tmp_path):
    """Frames lie in files of their own, behind external links and one virtual dataset."""
    rng = np.random.default_rng(5)
    frames = rng.integers(0, 2**16, (6, 20, 30)).astype("u2")
    layout = h5py.VirtualLayout((9, 20, 30), "u2")
    with h5py.File(tmp_path / "run_master.h5", "w") as master:
        for i in range(3):
            name = f"run_data_{i + 1:06}.h5"
            if i < 2:  # the last file has not arrived
                with h5py.File(tmp_path / name, "w") as data:
                    data.create_dataset("entry/data/data", data=frames[3 * i : 3 * i + 3], chunks=(1, 20, 30), compression="gzip")
            master[f"entry/data/data_{i + 1:06}"] = h5py.ExternalLink(name, "/entry/data/data")
            layout[3 * i : 3 * i + 3] = h5py.VirtualSource(name, "entry/data/data", (3, 20, 30), "u2")
        master.create_virtual_dataset("entry/all", layout, fillvalue=7)
        master["entry/out"] = h5py.ExternalLink("/etc/passwd", "/x")
    path = tmp_path / "run_master.h5"
    out = tmp_path / "out.arrow"
    table = arrow(tarn, f'SELECT "all" FROM read_hdf5(\'{path}\', \'/entry/all\') ORDER BY dim_0, dim_1, dim_2', out)
    expected = np.full((9, 20, 30), 7, "u2")
    expected[:6] = frames
    np.testing.assert_array_equal(np.asarray(table["all"]), expected.ravel())
    linked = arrow(tarn, f"SELECT sum(data_000002) AS s, count(*) AS n FROM read_hdf5('{path}', '/entry/data/data_000002')", out)
    assert linked.to_pylist() == [{"s": int(frames[3:].sum()), "n": frames[3:].size}]
    listed = arrow(tarn, f"SELECT * FROM variables('{path}')", out).to_pylist()
    reasons = {row["path"]: row["unreadable"] for row in listed}
    assert "there is no such file" in reasons["/entry/data/data_000003"], reasons
    assert "may not be opened" in reasons["/entry/out"], reasons


def test_every_nan_is_one_nan(tarn, tmp_path):
    """Processors make a negative NaN of 0/0, and SQL orders NaNs by their bits."""
    values = np.array([np.nan, 1, np.nan, 2, -np.inf, np.nan], "f8")
    values.view("u8")[[0, 2, 5]] = [0xFFF8000000000000, 0x7FF8000000000000, 0x7FF4000000000001]
    path = tmp_path / "nan.h5"
    singles = values.astype("f4")
    singles.view("u4")[[0, 2, 5]] = [0xFFC00000, 0x7FC00000, 0x7FA00001]
    with h5py.File(path, "w") as file:
        file["double"], file["single"] = values, singles
    for name in ["double", "single"]:
        rows = arrow(
            tarn, f"SELECT {name} AS v, count(*) AS n FROM read_hdf5('{path}') GROUP BY 1 ORDER BY 1", tmp_path / "out.arrow"
        )
        np.testing.assert_array_equal(rows["v"], [-np.inf, 1, 2, np.nan])
        assert rows["n"].to_pylist() == [1, 1, 1, 3]


def test_nested_columns_are_json_in_csv(tarn, tmp_path):
    done = tarn.run("sql", "--format", "csv", "SELECT make_array(1, NULL, 3) AS a, named_struct('b', 'x') AS s, 2 AS n")
    lines = list(csv.reader(done.out.splitlines()))
    assert lines[0] == ["a", "s", "n"]
    assert json.loads(lines[1][0]) == [1, None, 3] and lines[1][2] == "2"
    assert json.loads(lines[1][1]) == {"b": "x"}
