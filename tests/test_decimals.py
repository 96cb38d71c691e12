"""Decimals compared with constants, against Python's decimal: a constant is the number that was written."""

import decimal
import random


def test_a_constant_is_the_number_that_was_written(tarn):
    chosen = random.Random(7)
    values = [f"{chosen.randrange(1, 200_000) / 100:.2f}" for _ in range(150)]
    values += ["136.67", "575.33", "1041.36", "123456789012.34", "-0.07", "0.00"]
    rows = ", ".join(f"(CAST('{value}' AS DECIMAL(15, 2)))" for value in values)
    exact = [decimal.Decimal(value) for value in values]
    for value in random.Random(8).sample(values, 25) + values[-6:]:
        limit = decimal.Decimal(value)
        conditions = {
            f"d = {value}": lambda d, limit=limit: d == limit,
            f"d > {value}": lambda d, limit=limit: d > limit,
            f"{value} >= d": lambda d, limit=limit: d <= limit,
            f"d IN ({value}, 7.5)": lambda d, limit=limit: d in (limit, decimal.Decimal("7.5")),
            f"d BETWEEN {value} AND {value}": lambda d, limit=limit: d == limit,
            f"NOT d BETWEEN {value} AND 1e6": lambda d, limit=limit: not limit <= d <= 1_000_000,
            f"d <> {value}": lambda d, limit=limit: d != limit,
        }
        query = "SELECT " + ", ".join(
            f"count(*) FILTER (WHERE {condition}) AS c{place}" for place, condition in enumerate(conditions)
        )
        found = tarn.run("sql", "--json", f"{query} FROM (VALUES {rows}) t(d)").json()["rows"][0]
        for place, (condition, holds) in enumerate(conditions.items()):
            assert found[f"c{place}"] == sum(map(holds, exact)), condition
