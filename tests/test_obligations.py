"""What policies ask for before data leave, through every door: against pandas over the same numbers."""

import adbc_driver_flightsql.dbapi as adbc
import netCDF4
import numpy as np
import pandas as pd
import pytest
import requests
from records import write_record
from test_access import REFUSED, TIER, call, header, sql, stream, token

POLICY = """
@id("south")
@obligation("rows: lat < 0; mask: patient; round: dose to 10; coarsen: lat to 30")
permit (principal, action == Action::"read", resource == Dataset::"ornl.doses")
when { principal.groups.contains("south") };

@id("numbers")
@obligation("aggregates")
permit (principal, action == Action::"read", resource == Dataset::"ornl.survey")
when { principal.groups.contains("south") };
"""


def people(path, seed):
    """A file of one row a visit, and its rows."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "patient": rng.integers(0, 400, 3000),
            "year": rng.integers(2000, 2006, 3000),
            "lat": rng.choice([-45.0, -10.0, 20.0, 60.0], 3000, p=[0.5, 0.3, 0.19, 0.01]),
            "dose": rng.uniform(0, 100, 3000).round(3),
        }
    )
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("visit", len(rows))
        for name, kind in {"patient": "i4", "year": "i4", "lat": "f8", "dose": "f8"}.items():
            variable = file.createVariable(name, kind, ("visit",))
            variable[:] = rows[name].to_numpy()
            variable.long_name = name
            variable.units = {"lat": "degrees_north", "dose": "mg"}.get(name, "1")
    return rows


@pytest.fixture
def clinic(new_lab, tmp_path):
    """A lab with `doses` (rows and masks for the south) and `survey` (aggregates), and their rows."""
    lab = new_lab("ornl")
    rows = {}
    for seed, (name, tier) in enumerate({"doses": "controlled", "survey": "aggregates_only"}.items()):
        path = tmp_path / f"{name}.nc"
        rows[name] = people(path, seed)
        more = {
            "unit": "patient",
            "minimum_cell": 11,
            "functions": ["count", "sum", "avg"],
            "group_by": ["year", "lat"],
        }
        disclosure = {"disclosure": more} if tier == "aggregates_only" else {}
        record = write_record(
            tmp_path / f"{name}.yaml", [path], name=name, tier=tier, exposure="full", **TIER, **disclosure
        )
        lab.run("register", record)
        lab.run("ingest", path, "--dataset", name, "--table", "visits")
    (lab.home / "policies").mkdir()
    (lab.home / "policies" / "south.cedar").write_text(POLICY)
    lab.run("user", "create", "ann", "--group", "south", "--assurance", "low")
    lab.start()
    return lab, rows, token(lab, "ann"), token(lab, "bob")


def test_rows_and_columns_are_those_of_the_policy_at_every_door(clinic):
    lab, rows, ann, bob = clinic
    seen = rows["doses"].query("lat < 0").copy()
    seen["dose"] = (seen["dose"] / 10).round() * 10
    seen["lat"] = np.floor(seen["lat"] / 30) * 30 + 15
    expected = seen.groupby(["year", "lat"])["dose"].agg(["count", "sum"]).reset_index()
    query = (
        "SELECT year, lat, count(*) AS count, sum(dose) AS sum FROM doses.visits GROUP BY year, lat ORDER BY 1, 2"
    )
    answer = sql(lab, query, ann)
    assert answer.status_code == 200, answer.text
    answered = pd.DataFrame(answer.json()["rows"])
    pd.testing.assert_frame_equal(answered, expected, check_dtype=False)

    address = lab.flight_url
    options = {"adbc.flight.sql.authorization_header": f"Bearer {ann}"}
    with adbc.connect(address, db_kwargs=options) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) AS n, count(patient) AS named, max(lat) AS lat FROM ornl.doses.visits")
        assert cursor.fetchall() == [(len(seen), 0, -15.0)]
        # A predicate on a column that is coarsened sees the coarse value.
        cursor.execute("SELECT count(*) FROM doses.visits WHERE lat = -45")
        assert cursor.fetchall() == [((seen["lat"] == -45).sum(),)]

    table = requests.get(
        f"{lab.http_url}/api/v1/datasets/ornl/doses/tables/visits.csv", headers=header(ann), timeout=60
    )
    assert table.status_code == 200 and len(table.text.splitlines()) == len(seen) + 1
    shown = call(lab, "GET", "/api/v1/datasets/ornl/doses", ann).json()
    assert shown["may_read"] and shown["tables"][0].get("rows") is None
    assert call(lab, "GET", "/api/v1/datasets/ornl/doses/files/0/doses.nc", ann).status_code == 403
    with pytest.raises(REFUSED, match="only SQL"):
        stream(lab, "ornl.doses.visits", ann)
    # Nobody else has them, and the owner has all.
    assert sql(lab, query, bob).status_code == 403
    assert lab.sql("SELECT count(*) AS n FROM doses.visits").rows == [[len(rows["doses"])]]
    logged = lab.run("audit", "list", "--dataset", "doses", "--json").out
    assert "mask" in logged and "person:ann" in logged


def test_only_numbers_of_many_leave(clinic):
    lab, rows, ann, bob = clinic
    survey = rows["survey"]
    cells = survey.groupby(["year", "lat"]).agg(
        units=("patient", "nunique"), count=("dose", "count"), sum=("dose", "sum")
    )
    assert (cells["units"] < 11).any(), "some cells are small"
    told = cells[cells["units"] >= 11].reset_index()
    query = "SELECT year, lat, count(*) AS count, sum(dose) AS sum FROM survey.visits GROUP BY year, lat ORDER BY 1, 2"
    answer = sql(lab, query, ann)
    assert answer.status_code == 200, answer.text
    answered = pd.DataFrame(answer.json()["rows"])
    pd.testing.assert_frame_equal(answered, told[["year", "lat", "count", "sum"]], check_dtype=False)

    whole = sql(lab, "SELECT count(*) AS n, avg(dose) AS dose FROM survey.visits WHERE lat > 0", ann).json()["rows"][0]
    north = told[told["lat"] > 0]
    assert whole["n"] == north["count"].sum()
    assert whole["dose"] == pytest.approx(north["sum"].sum() / north["count"].sum())
    for refused in [
        "SELECT * FROM survey.visits",
        "SELECT count(*) FROM survey.visits WHERE patient = 3",
        "SELECT count(*) FROM survey.visits WHERE dose > 99",
        "SELECT patient, count(*) FROM survey.visits GROUP BY patient",
        "SELECT max(dose) FROM survey.visits",
    ]:
        answer = sql(lab, refused, ann)
        assert answer.status_code == 403, f"{refused}: {answer.text}"
    assert sql(lab, query, bob).status_code == 403
    with pytest.raises(REFUSED):
        stream(lab, "ornl.survey.visits", ann)


def test_what_tells_of_single_rows_is_told_to_nobody_who_reads_none(clinic):
    lab, rows, ann, bob = clinic
    path = lab.home.parent / "heat.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("visit", 40)
        for name, values in {"patient": np.arange(40), "ward": np.arange(40) % 2, "fever": np.linspace(310.0, 314.159, 40)}.items():
            variable = file.createVariable(name, "f8", ("visit",))
            variable[:] = values
            variable.long_name, variable.units = name, "1"
        file["fever"].standard_name, file["fever"].units = "air_temperature", "K"
    disclosure = {"unit": "patient", "minimum_cell": 11, "functions": ["count"], "group_by": ["ward"]}
    record = write_record(
        path.with_suffix(".yaml"), [path], name="heat", tier="aggregates_only", exposure="full", disclosure=disclosure, **TIER
    )
    lab.run("register", record)
    for text in (None, ann, bob):
        for name in ["survey", "heat"]:
            shown = call(lab, "GET", f"/api/v1/datasets/ornl/{name}", text).json()
            for file in shown["files"]:
                assert not file["sha256"] and not file["bytes"]
                for variable in file["variables"]:
                    assert "min" not in variable and "max" not in variable and not variable["shape"]
            assert all(table["rows"] is None for table in shown["tables"])
        for value in ["300 K", "314.15 K", "314.16 K"]:
            found = call(lab, "GET", f"/api/v1/search?q=air_temperature > {value}", text).json()
            assert found["total"] == 0 and found["hits"] == [], "a search that bisects would tell the greatest"
        assert call(lab, "GET", "/api/v1/search?standard_name=air_temperature", text).json()["total"] == 1
    # The owner, who reads all rows, is told.
    assert lab.run("search", "air_temperature > 314.15 K", "--json").json()["total"] == 1
    assert lab.run("search", "air_temperature > 314.16 K", "--json").json()["total"] == 0


def test_a_policy_that_cannot_be_kept_to_lets_nothing_leave(clinic):
    lab, _, ann, _ = clinic
    for obligation in ["rows: nobody > 1", "rows: dose", "mask: nobody", "hash: dose", "round: dose to day"]:
        lab.stop()
        (lab.home / "policies" / "south.cedar").write_text(
            f'@id("broken") @obligation("{obligation}") permit (principal, action == Action::"read", '
            'resource == Dataset::"ornl.doses") when { principal.groups.contains("south") };'
        )
        lab.start()
        answer = sql(lab, "SELECT count(*) FROM doses.visits", ann)
        assert answer.status_code == 403 and "cannot be kept to" in answer.text, obligation
        assert "nobody" not in answer.text
    lab.stop()
    (lab.home / "policies" / "south.cedar").write_text('@obligation("drop: x") permit (principal, action, resource);')
    refused = lab.run("sql", "SELECT 1", code=None)
    assert refused.code != 0 and "not known" in refused.err
