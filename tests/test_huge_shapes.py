"""Small files that declare enormous shapes: memory and time go with what is asked, not with what is declared."""

import resource
import subprocess
import time

import h5py
import pytest

ROWS = 2**44
CUBE = (2**21, 2**21, 2**20)
# Address space of the process: enough for threads and libraries, far too little for the shapes.
SPACE = 6 << 30
# Seconds in which a statement must answer on a busy machine; without end it would take days.
PROMPTLY = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("huge")
    for name, libver in [("huge.h5", None), ("huge_latest.h5", "latest")]:
        with h5py.File(folder / name, "w", libver=libver) as file:
            for group, shape, chunks, most, written in [
                ("chunked", (ROWS,), (1000,), None, libver is None),
                ("growing", (ROWS,), (1000,), (None,), True),
                ("never", (ROWS,), None, None, False),
                ("cube", CUBE, (1, 7, 100), None, libver is None),
                ("cube_never", CUBE, None, None, False),
            ]:
                data = file.create_dataset(
                    f"{group}/v", shape=shape, chunks=chunks, maxshape=most, dtype="i1", fillvalue=3
                )
                if written:
                    data[tuple(slice(0, 2) for _ in shape)] = 1
        assert (folder / name).stat().st_size < 50_000
    with h5py.File(folder / "axis.nc", "w") as file:
        axis = file.create_dataset("time", shape=(ROWS,), chunks=(1000,), maxshape=(None,), dtype="f8")
        axis[0:3] = [1, 2, 3]
        axis.attrs["units"] = "days since 2000-01-01"
        axis.make_scale("time")
        values = file.create_dataset("v", shape=(ROWS,), chunks=(1000,), maxshape=(None,), dtype="f4")
        values[0:3] = [1, 2, 3]
        values.dims[0].attach_scale(axis)
    return folder


def start(binary, *arguments):
    return subprocess.Popen(
        [binary, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE)),
    )


def answer(binary, *arguments):
    process = start(binary, *arguments)
    try:
        output, errors = process.communicate(timeout=PROMPTLY)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"{arguments} did not answer")
    assert process.returncode == 0, errors
    return output


def rows(binary, statement):
    lines = answer(binary, "sql", "--format", "csv", statement).splitlines()
    return [line.split(",") for line in lines[1:]]


SHAPES = [(group, ROWS, 1) for group in ["chunked", "growing", "never"]]
SHAPES += [(group, 2**62, 3) for group in ["cube", "cube_never"]]


@pytest.mark.parametrize("file", ["huge.h5", "huge_latest.h5"])
@pytest.mark.parametrize("group, count, rank", SHAPES)
def test_counts_and_first_rows_come_at_once(binary, folder, file, group, count, rank):
    table = f"read_hdf5('{folder / file}', '/{group}/v')"
    assert rows(binary, f"SELECT count(*) FROM {table}") == [[str(count)]]
    with h5py.File(folder / file) as opened:
        data = opened[f"{group}/v"]
        first = data[(0,) * (rank - 1) + (slice(0, 2),)].tolist()
    assert rows(binary, f"SELECT v FROM {table} LIMIT 2") == [[str(value)] for value in first]
    index = ["0"] * (rank - 1)
    whole = [[*index, "0", str(first[0])], [*index, "1", str(first[1])]]
    assert rows(binary, f"SELECT * FROM {table} LIMIT 2") == whole
    if first == [1, 1]:
        # Two rows are found at the beginning, and nobody reads on.
        assert rows(binary, f"SELECT * FROM {table} WHERE v = 1 LIMIT 2") == whole


def test_what_is_inside_is_said_at_once(binary, folder):
    for file in ["huge.h5", "huge_latest.h5", "axis.nc"]:
        assert str(ROWS) in answer(binary, "inspect", str(folder / file))
        grids = rows(binary, f"SELECT cells FROM grids('{folder / file}')")
        assert [str(ROWS)] in grids
        assert answer(binary, "record", "new", str(folder / file), "--name", "huge")


def test_a_long_axis_is_read_as_far_as_needed_or_refused(binary, folder):
    table = f"read_netcdf('{folder / 'axis.nc'}')"
    assert rows(binary, f"SELECT count(*) FROM {table}") == [[str(ROWS)]]
    found = rows(binary, f"SELECT v FROM {table} WHERE time > '2000-01-02' LIMIT 2")
    assert found == [["2.0"], ["3.0"]]
    process = start(binary, "sql", f"SELECT v FROM read_netcdf('{folder / 'axis.nc'}', NULL, '{{\"decode\": \"xarray\"}}') LIMIT 2")
    _, errors = process.communicate(timeout=PROMPTLY)
    assert process.returncode != 0
    for part in ["/time", str(ROWS), "limit"]:
        assert part in errors, errors


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sum(v) FROM {}",
        "SELECT sum(dim_0 + v) FROM {}",
        "SELECT dim_0 % 7, count(*) FROM {} GROUP BY 1",
        "SELECT * FROM {} ORDER BY v, dim_0 DESC LIMIT 3",
        "SELECT * FROM {} WHERE v = 5",
    ],
)
@pytest.mark.parametrize("group", ["chunked", "never", "cube"])
def test_a_whole_scan_runs_in_bounded_memory(binary, folder, statement, group):
    table = f"read_hdf5('{folder / 'huge.h5'}', '/{group}/v')"
    process = start(binary, "sql", statement.format(table))
    try:
        deadline = time.monotonic() + 2.5
        resident = 0
        while time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            with open(f"/proc/{process.pid}/status") as status:
                high = next((line for line in status if line.startswith("VmHWM")), "VmHWM: 0 kB")
            resident = max(resident, int(high.split()[1]) * 1024)
            time.sleep(0.1)
        assert resident < 1 << 30, resident
    finally:
        process.kill()
        process.wait()
