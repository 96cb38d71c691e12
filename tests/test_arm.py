"""Questions on real ARM files of the shared test data (they may not be copied into this repository)."""

import pytest

# Station, mean temperature (degC), precipitation (mm), pressure (kPa) of 2019-05-08 04:00-05:00 UTC.
SQUALL_LINE = [
    ("E31", 15.756667, 0.520, 96.168335),
    ("E15", 16.143333, 2.015, 96.256667),
    ("E32", 16.338333, 0.512, 97.041668),
    ("E37", 16.435, 1.571, 96.631666),
    ("E39", 19.84, 0, 97.206665),
    ("E9", 20.856667, 0.245, 96.281666),
    ("E34", 21.23, 0, 95.956665),
    ("E33", 21.708333, 0, 96.686666),
    ("E13", 21.968333, 0, 97.038334),
    ("E36", 22.256667, 0, 96.895),
    ("E38", 22.341666, 0, 96.673333),
    ("E40", 22.945, 0, 97.616669),
    ("E35", 23.033333, 0, 97.476669),
]


def test_a_squall_line_crosses_thirteen_stations(tarn, shared_data):
    if shared_data is None:
        print("left out: no shared test data at ../shared/data or TARN_TEST_DATA")
        return
    columns = '{"columns": {"station": "path:sgpmet(E[0-9]+)"}}'
    rows = tarn.sql(
        f"""SELECT station, count(*), avg(CAST(temp_mean AS DOUBLE)), sum(CAST(tbrg_precip_total_corr AS DOUBLE)),
                   avg(CAST(atmos_pressure AS DOUBLE))
            FROM read_netcdf('{shared_data}/arm/sgpmetE*.b1.20190508.000000.cdf', 'time', '{columns}')
            WHERE time >= TIMESTAMP '2019-05-08T04:00:00' AND time < TIMESTAMP '2019-05-08T05:00:00' AND qc_temp_mean = 0
            GROUP BY station ORDER BY 3"""
    ).rows
    assert [row[:2] for row in rows] == [[station, 6] for station, *_ in SQUALL_LINE]
    for row, (_, *expected) in zip(rows, SQUALL_LINE):
        assert row[2:] == [pytest.approx(value, rel=1e-6, abs=1e-6) for value in expected]


def test_temperatures_of_many_files_are_in_kelvin(tarn, shared_data):
    if shared_data is None:
        print("left out: no shared test data at ../shared/data or TARN_TEST_DATA")
        return
    kelvin = "convert_units(CAST(tdry AS DOUBLE), 'degC', 'K')"
    source = f"read_netcdf('{shared_data}/arm/sgpsondewnpnC1.b1.20190101.053200.cdf', 'time')"
    [row] = tarn.sql(f"SELECT count(tdry), min({kelvin}), max({kelvin}) FROM {source}").rows
    assert row == [4176, pytest.approx(205.33, abs=0.01), pytest.approx(275.71, abs=0.01)]
