"""`Dataset.to_xarray` against `xarray.open_dataset` of the same real file."""

import random

import numpy as np
import pytest
import tarn as client
import xarray
from conftest import ROOT
from records import write_record
from tarn import _result, errors

FILES = [
    "A1B_north_america.nc",
    "SOI_Darwin.nc",
    "atlantic_profiles.nc",
    "nemo_1m_20150101-20150201_grid-T.nc",
    "rotated_pole.nc",
    "ubyte.nc",
    "orca2_votemper.nc",
    "toa_brightness_stereographic.nc",
    "hybrid_height.nc",
]


@pytest.fixture(scope="module")
def files(shared_data):
    """The files that are here; on a plain clone the one of the demo."""
    if shared_data is None:
        print("left out: no shared test data at ../shared/data or TARN_TEST_DATA")
        return [ROOT / "demo" / "data" / "llnl" / FILES[0]]
    return [shared_data / "netcdf" / name for name in FILES]


@pytest.fixture(scope="module")
def lake(module_lab, files, tmp_path_factory):
    """A lab with the files, each a dataset `f0`, `f1`, … in place."""
    lab = module_lab("ornl", start=True)
    folder = tmp_path_factory.mktemp("records")
    for number, file in enumerate(files):
        lab.run("register", write_record(folder / f"f{number}.yaml", [file], name=f"f{number}"))
        lab.run("ingest", file, "--dataset", f"f{number}", "--in-place")
    return client.connect(lab.flight_url)


@pytest.fixture
def asked(monkeypatch):
    """The SQL that leaves the client."""
    queries, plan = [], _result.Result._plan
    monkeypatch.setattr(_result.Result, "_plan", lambda self: queries.append(self._query) or plan(self))
    return queries


def same(ours, theirs):
    """Equal values of one dtype; NaN, NaT and dates too."""
    assert ours.dims == theirs.dims
    assert ours.dtype == theirs.dtype, (ours.name, ours.dtype, theirs.dtype)
    if theirs.dtype == object:
        assert ours.values.tolist() == theirs.values.tolist()
    else:
        np.testing.assert_array_equal(ours.values, theirs.values)


@pytest.mark.parametrize("number", range(len(FILES)), ids=FILES)
def test_every_variable_is_that_of_xarray_whole_and_in_parts(lake, files, number):
    if number >= len(files):
        return
    ours = lake.dataset(f"ornl.f{number}").to_xarray()
    draw = random.Random(number)
    with xarray.open_dataset(files[number]) as theirs:
        assert set(ours.variables) == set(theirs.variables)
        assert set(ours.coords) == set(theirs.coords)
        assert dict(ours.sizes) == dict(theirs.sizes)
        for name, variable in theirs.variables.items():
            same(ours[name], theirs[name])
            text = {key: value for key, value in variable.attrs.items() if isinstance(value, str)}
            assert text.items() <= {key: str(value) for key, value in ours[name].attrs.items()}.items()
            assert set(ours[name].attrs) == set(variable.attrs), name
            for _ in range(3):
                chosen = {dim: selection(draw, size) for dim, size in theirs[name].sizes.items()}
                same(ours[name].isel(chosen), theirs[name].isel(chosen))


def selection(draw, size):
    """A random index, slice (also backwards) or list (also with repetitions)."""
    kind = draw.randrange(4)
    if kind == 0:
        return draw.randrange(size)
    first, last = sorted(draw.randrange(size + 1) for _ in range(2))
    if kind == 1:
        return slice(first, last)
    if kind == 2:
        return slice(None, None, draw.choice([-1, 2, 3, -2]))
    return [draw.randrange(size) for _ in range(min(size, 4))]


def test_opening_reads_no_cells_and_a_selection_asks_for_its_coordinates_alone(lake, asked):
    found = lake.dataset("ornl.f0").to_xarray("time_latitude_longitude")
    assert not [query for query in asked if "air_temperature" in query]
    asked.clear()
    part = found["air_temperature"].isel(time=3, latitude=slice(5, 9), longitude=[2, 40]).load()
    [query] = asked
    assert part.shape == (4, 2)
    assert '"time" IN (' in query and '"latitude" BETWEEN' in query and '"longitude" IN (' in query
    assert lake.sql(query).arrow().num_rows == 8


def test_dask_reads_chunk_by_chunk(lake, files, asked):
    found = lake.dataset("ornl.f0").to_xarray("time_latitude_longitude", chunks={"time": 100})
    assert found["air_temperature"].chunks[0] == (100, 100, 40)
    asked.clear()
    mean = found["air_temperature"].isel(time=slice(0, 100)).mean("time").compute()
    assert len(asked) == 1
    with xarray.open_dataset(files[0]) as theirs:
        expected = theirs["air_temperature"].isel(time=slice(0, 100)).mean("time")
        np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_a_lazy_dataset_selects_by_label_and_can_be_pickled(lake, files):
    import pickle

    found = pickle.loads(pickle.dumps(lake.dataset("ornl.f0").to_xarray("time_latitude_longitude")))
    with xarray.open_dataset(files[0]) as theirs:
        place = {"latitude": 45.0, "longitude": 250.0}
        ours = found["air_temperature"].sel(place, method="nearest")
        np.testing.assert_array_equal(ours, theirs["air_temperature"].sel(place, method="nearest"))


def test_what_is_no_grid_is_refused_with_what_to_do(lake):
    dataset = lake.dataset("ornl.f0")
    with pytest.raises(errors.InvalidArgument, match="pass dims"):
        dataset.to_xarray("time_latitude_longitude", where="air_temperature > 300")
    with pytest.raises(errors.InvalidArgument, match="no column nothing"):
        dataset.to_xarray("time", dims=["nothing"])
    with pytest.raises(errors.NotFound, match="name one"):
        dataset.to_xarray("nothing")
    # With dims, cells without a row are missing values.
    dims = ["time", "latitude", "longitude"]
    warm = dataset.to_xarray("time_latitude_longitude", dims=dims, where="air_temperature > 300")
    whole = dataset.to_xarray("time_latitude_longitude")["air_temperature"].load()
    expected = whole.where(whole > 300, drop=True).sortby(dims)
    np.testing.assert_array_equal(warm["air_temperature"].sortby(dims), expected)


def test_a_delta_table_gives_what_the_file_gave(lake, module_lab, files, tmp_path):
    lab = module_lab("llnl", start=True)
    lab.run("register", write_record(tmp_path / "delta.yaml", files[:1]))
    lab.run("ingest", files[0], "--dataset", "data")
    ours = client.connect(lab.flight_url).dataset("llnl.data").to_xarray("time_latitude_longitude")
    with xarray.open_dataset(files[0]) as theirs:
        box = {"time": slice(3, 9), "latitude": [1, 30, 4], "longitude": 7}
        labels = {name: theirs[name].isel({name: part}).values for name, part in box.items()}
        np.testing.assert_array_equal(ours["air_temperature"].sel(labels), theirs["air_temperature"].isel(box))
