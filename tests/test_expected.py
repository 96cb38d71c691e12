"""The demo's expected answers, computed without Tarn: netCDF4 and h5py read, DuckDB asks the same SQL."""

import re
from datetime import datetime
from pathlib import Path

import duckdb
import h5py
import netCDF4
import numpy as np
import pandas
import pytest
from story import check, questions

DEMO = Path(__file__).resolve().parent.parent / "demo"
DATA = DEMO / "data"


def cells(path, variable):
    """One row a cell: coordinates, masked values as NULL, year and month of the file's calendar."""
    with netCDF4.Dataset(path) as file:
        field = file[variable][:]
        axes = [np.asarray(file[name][:]) for name in file[variable].dimensions]
        time = file["time"]
        dates = netCDF4.num2date(axes[0], time.units, time.calendar)
        places = np.indices(field.shape).reshape(field.ndim, -1)
        frame = {name: axis[place] for name, axis, place in zip(file[variable].dimensions, axes, places)}
        frame["year"] = np.array([d.year for d in dates])[places[0]]
        frame["month"] = np.array([d.month for d in dates])[places[0]]
        frame[variable] = pandas.arrays.FloatingArray(np.ma.getdata(field).ravel(), np.ma.getmaskarray(field).ravel())
        return pandas.DataFrame(frame), getattr(file, "source_id", None), time.calendar


def cmip(lab):
    """The table `cmip6.ta` of a lab."""
    frames = []
    for path in sorted((DATA / lab).glob("ta_*.nc")):
        frame, model, calendar = cells(path, "ta")
        frames.append(frame.assign(model=model, calendar=calendar, file=path.name))
    return pandas.concat(frames)[["model", "calendar", "year", "month", "plev", "lat", "lon", "ta", "file"]]


def scenarios():
    """The table `scenarios.annual`."""
    frames = []
    for path in sorted((DATA / "llnl").glob("*_north_america.nc")):
        frame, _, _ = cells(path, "air_temperature")
        frames.append(
            frame.rename(columns={"latitude": "lat", "longitude": "lon"}).assign(scenario=path.name.split("_")[0])
        )
    return pandas.concat(frames)


def reduced():
    """The table `usaxs.reduced`."""
    frames = []
    for path in sorted((DATA / "anl").glob("*.h5")):
        scan, sample = re.fullmatch(r"S([0-9]+)_(.*)", path.stem).groups()
        with h5py.File(path) as file:
            group = file["entry/flyScan_reduced_250"]
            frames.append(
                pandas.DataFrame(
                    {
                        "scan": int(scan),
                        "sample": sample,
                        "bin": np.arange(len(group["Q"])),
                        "q": group["Q"][:],
                        "r": group["R"][:],
                    }
                )
            )
    return pandas.concat(frames)


def scans():
    """The table `usaxs.scans`, from the text."""
    rows = []
    for line in (DATA / "anl" / "02_03_setup.dat").read_text(encoding="latin-1").splitlines():
        if line.startswith("#S "):
            _, number, macro, *arguments = line.split()
            rows.append([int(number), macro, " ".join(arguments), None])
        elif line.startswith("#D ") and rows and rows[-1][3] is None:
            rows[-1][3] = datetime.strptime(line[3:].strip(), "%a %b %d %H:%M:%S %Y")
    return pandas.DataFrame(rows, columns=["scan", "macro", "args", "started"])


@pytest.fixture(scope="module")
def duck():
    """DuckDB with the tables of all labs under their names."""
    connection = duckdb.connect()
    connection.execute("SET integer_division = true")
    tables = {
        "ornl.cmip6.ta": cmip("ornl"),
        "llnl.cmip6.ta": cmip("llnl"),
        "llnl.scenarios.annual": scenarios(),
        "anl.usaxs.reduced": reduced(),
        "anl.usaxs.scans": scans(),
    }
    for name, frame in tables.items():
        lab, dataset, _ = name.split(".")
        connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {lab}; CREATE SCHEMA IF NOT EXISTS {lab}.{dataset}")
        connection.register("frame", frame)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM frame")
    return connection


def plain(value):
    """A value as JSON would hold it."""
    return value.isoformat(" ") if isinstance(value, datetime) else value


@pytest.mark.parametrize(
    "question",
    [
        questions.Q1,
        questions.Q2,
        questions.Q3,
        questions.Q3_WITHOUT,
        questions.Q4,
        questions.Q5,
        questions.Q6,
        questions.Q7,
    ],
    ids=lambda q: q.id,
)
def test_duckdb_gives_the_expected_answer(duck, question):
    cursor = duck.execute(question.sql)
    columns = [column[0] for column in cursor.description]
    rows = [[plain(value) for value in row] for row in cursor.fetchall()]
    expected = check.load(DEMO)[question.id]
    verdicts, right = check.rows(columns, rows, expected)
    assert right, (columns, rows, verdicts)


def test_the_expected_numbers_of_the_other_chapters_are_those_of_the_files(duck):
    expected = check.load(DEMO)
    for name, n, low, high in expected["Q8"]["rows"]:
        column = name.rpartition(".")[2] if name.endswith(".ta") else "air_temperature"
        got = duck.execute(f"SELECT count({column}), min({column}), max({column}) FROM {name}").fetchone()
        assert all(check.same(*pair) for pair in zip(got, (n, low, high))), (name, got)
    for scenario, samples, years, mean in expected["stream"]["rows"]:
        got = duck.execute(
            f"SELECT count(DISTINCT year), avg(air_temperature) FROM llnl.scenarios.annual WHERE scenario = '{scenario}'"
        ).fetchone()
        assert (samples, years) == (got[0], got[0])
        assert check.same(got[1], mean), got
    partial = duck.execute(questions.Q2.sql.replace(questions.CMIP, "ornl.cmip6.ta")).fetchall()
    _, right = check.rows(expected["partial"]["columns"], [list(row) for row in partial], expected["partial"])
    assert right, partial
    from story.main import TABLES

    for lab, dataset, table, _, rows, _, _ in TABLES:
        if table != "fields":
            assert duck.execute(f"SELECT count(*) FROM {lab}.{dataset}.{table}").fetchone() == (rows,)


def test_the_comparison_tells_wrong_from_right():
    expected = {"columns": ["a", "b"], "rows": [["x", 1.5], ["y", 2]]}
    assert check.rows(["a", "b"], [["x", 1.5000001], ["y", 2]], expected)[1]
    for wrong in (
        [["x", 1.501], ["y", 2]],
        [["x", 1.5]],
        [["x", None], ["y", 2]],
        [["y", 2], ["x", 1.5]],
        [["x", 1.5], ["y", 3]],
        [["x", float("nan")], ["y", 2]],
        [],
    ):
        assert not check.rows(["a", "b"], wrong, expected)[1], wrong
    assert not check.rows(["a", "c"], expected["rows"], expected)[1]
