"""What DBeaver, Metabase and Grafana ask on connecting and browsing."""

import pytest
from postgres_browsed import BROWSED
from test_postgres import connect, node  # noqa: F401


@pytest.mark.parametrize("asked", BROWSED)
def test_browsers_are_answered(node, asked):
    query, count, value = BROWSED[asked]
    with connect(node, "bob", autocommit=True) as connection:
        cursor = connection.execute(query)
        while cursor.nextset():
            pass
        rows = cursor.fetchall()
    assert len(rows) == count if count is not None else rows
    if value is not None:
        assert any(isinstance(found, str) and value in found for row in rows for found in row), rows
    if asked == "aggregated":
        assert sorted(rows[0][1]) == rows[0][1] and "dose" in rows[0][1]
