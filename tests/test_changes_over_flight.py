"""Tables and views that clients of Flight SQL make: with ADBC as queries and as updates, each done once."""

import time

import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from adbc_driver_flightsql import DatabaseOptions
from test_access import sql, token
from test_derived import lab, own  # noqa: F401 (a fixture)


def connected(node, text):
    """A connection of ADBC with a token."""
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {text}"}
    return flightsql.connect(node.flight_url, db_kwargs=options, autocommit=True)


@pytest.fixture
def people(lab):  # noqa: F811
    """A writer with a dataset of her own, a reader, and another writer."""
    for name in ("ann", "bob"):
        lab.run("user", "create", name, "--group", "all", "--assurance", "low")
    ann, reads, bob = token(lab, "ann", "write"), token(lab, "ann"), token(lab, "bob", "write")
    lab.start()
    own(lab, "hers", ann, exposure="full")
    return lab, ann, reads, bob


def test_adbc_makes_tables_and_views_and_takes_them_away(people):
    node, ann, _, _ = people
    expected = node.rows["open"].groupby("station")["dose"].count()
    with connected(node, ann) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE hers.n AS SELECT station, count(dose) AS n FROM open.t GROUP BY station")
        ((rows, done),) = cursor.fetchall()
        assert rows == len(expected) and "hers.n" in done
        cursor.execute("SELECT station, n FROM hers.n ORDER BY station")
        assert cursor.fetchall() == [(station, n) for station, n in expected.items()]
        cursor.execute("CREATE VIEW hers.v WITH (security_invoker = true) AS SELECT sum(n) AS n FROM hers.n")
        assert cursor.fetchall()[0][0] is None
        cursor.execute("SELECT n FROM hers.v")
        assert cursor.fetchall() == [(int(expected.sum()),)]
        cursor.execute("DROP VIEW hers.v")
        assert "hers.v" in cursor.fetchall()[0][1]
        # As updates, which tell how many rows were made.
        statement = cursor.adbc_statement
        statement.set_sql_query("CREATE TABLE hers.again AS SELECT * FROM open.t")
        assert statement.execute_update() == len(node.rows["open"])
        statement.set_sql_query("DROP TABLE hers.again")
        assert statement.execute_update() == -1
        cursor.execute("DROP TABLE hers.n")
        cursor.fetchall()
        with pytest.raises(adbc_driver_manager.Error, match="hers.n"):
            cursor.execute("SELECT * FROM hers.n")
    log = node.run("audit", "list", "--dataset", "hers", "--json").out
    assert "drop-table" in log and "made_from" in log and node.run("audit", "verify").code == 0


def test_who_may_not_change_something_does_not_and_nothing_else_is_changed(people):
    node, ann, reads, bob = people
    wanted = "CREATE TABLE hers.n AS SELECT * FROM open.t"
    for text in (reads, bob):
        with connected(node, text) as connection, connection.cursor() as cursor:
            with pytest.raises(adbc_driver_manager.Error):
                cursor.execute(wanted)
                cursor.fetchall()
            statement = cursor.adbc_statement
            statement.set_sql_query(wanted)
            with pytest.raises(adbc_driver_manager.Error):
                statement.execute_update()
    with connected(node, ann) as connection, connection.cursor() as cursor:
        statement = cursor.adbc_statement
        for other in ("INSERT INTO open.t VALUES (1)", "DELETE FROM open.t", "COPY open.t TO '/tmp/x.csv'", "SELECT 1"):
            statement.set_sql_query(other)
            with pytest.raises(adbc_driver_manager.Error, match="only reads"):
                statement.execute_update()
        cursor.execute("CREATE TABLE hers.a AS SELECT station FROM open.t")
        cursor.fetchall()
        with pytest.raises(adbc_driver_manager.Error, match="another dataset"):
            cursor.execute("CREATE TABLE hers.b AS SELECT * FROM hers.a")
            cursor.fetchall()
    assert sql(node, "SELECT count(*) FROM hers.n", ann).status_code == 404


def test_a_ticket_changes_something_once_and_only_when_it_is_read(people):
    node, ann, _, bob = people
    with connected(node, ann) as connection, connection.cursor() as cursor:
        cursor.adbc_prepare("CREATE TABLE hers.once AS SELECT station FROM open.t")
        partitions, _ = cursor.adbc_execute_partitions("CREATE TABLE hers.once AS SELECT station FROM open.t")
    assert sql(node, "SELECT count(*) FROM hers.once", ann).status_code == 404
    client = flight.connect(node.flight_url)
    (endpoint,) = flight.FlightInfo.deserialize(partitions[0]).endpoints
    options = {name: flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {text}".encode())]) for name, text in (("ann", ann), ("bob", bob))}
    with pytest.raises(flight.FlightError):
        client.do_get(endpoint.ticket, options["bob"]).read_all()
    told = client.do_get(endpoint.ticket, options["ann"]).read_all().to_pylist()
    assert told[0]["rows"] == len(node.rows["open"])
    with pytest.raises(pa.ArrowException):
        client.do_get(endpoint.ticket, options["ann"]).read_all()
    assert sql(node, "SELECT count(*) AS n FROM hers.once", ann).json()["rows"] == [{"n": len(node.rows["open"])}]


def test_a_prepared_statement_is_decided_anew_where_it_is_run_later(people):
    """The plan that its preparation made is good for a second, and for one run."""
    node, _, _, bob = people
    with connected(node, bob) as connection, connection.cursor() as cursor:
        query = "SELECT count(*) FROM open.t"
        cursor.adbc_prepare(query)
        for _ in range(2):
            cursor.adbc_statement.execute_query()
            cursor.execute(query)
            assert cursor.fetchall() == [(len(node.rows["open"]),)]
        cursor.adbc_prepare(query)
        node.run("retract", "open", "--reason", "wrong calibration")
        time.sleep(1.2)
        with pytest.raises(adbc_driver_manager.Error, match="wrong calibration"):
            cursor.adbc_statement.execute_query()
