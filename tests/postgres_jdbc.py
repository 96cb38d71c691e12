"""PostgreSQL's JDBC driver: what DBeaver, Metabase, Tableau and other programs in Java ask through it.

Run by `test_postgres_jdbc.py`, in a process of its own.
"""

import threading
import time
from pathlib import Path

import jpype
import pytest
from test_postgres import SLOW, node  # noqa: F401

DRIVER = Path("/usr/share/java/postgresql.jar")


@pytest.fixture(scope="module")
def java():
    """A machine for Java, with the driver."""
    assert DRIVER.is_file(), "scripts/setup.sh installs libpostgresql-jdbc-java"
    if not jpype.isJVMStarted():
        # Away from UTC: what the driver sends has the zone of its machine then.
        jpype.startJVM("-Xmx256m", "-Duser.timezone=Europe/Berlin", classpath=[str(DRIVER)], convertStrings=True)
    return jpype.java.sql


@pytest.fixture
def jdbc(java, node):  # noqa: F811
    """Connects; with options of the driver."""
    made = []

    def make(**options):
        given = "&".join(f"{name}={value}" for name, value in {"sslmode": "disable", **options}.items())
        url = f"jdbc:postgresql://127.0.0.1:{node.postgres}/ornl?{given}"
        made.append(java.DriverManager.getConnection(url, "bob", node.bob))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def rows(result, *columns):
    """What an answer has in these columns, all as text."""
    found = []
    while result.next():
        found.append(tuple(result.getString(column) for column in columns))
    return found


def test_metadata_tells_what_there_is(jdbc):
    about = jdbc().getMetaData()
    assert about.getDatabaseProductName() == "PostgreSQL"
    assert rows(about.getCatalogs(), "TABLE_CAT") == [("ornl",)]
    assert ("open",) in rows(about.getSchemas(), "TABLE_SCHEM")
    assert rows(about.getSchemas(None, "op%"), "TABLE_SCHEM") == [("open",)]
    tables = rows(about.getTables(None, None, "%", None), "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE")
    assert {("open", "t", "TABLE"), ("doses", "visits", "TABLE")} <= set(tables)
    assert rows(about.getTables("ornl", "open", "t", ["TABLE", "VIEW"]), "TABLE_NAME") == [("t",)]
    columns = rows(about.getColumns(None, "open", "t", "%"), "COLUMN_NAME", "TYPE_NAME", "ORDINAL_POSITION", "IS_NULLABLE")
    assert [row[:2] for row in columns[-3:]] == [("station", "int4"), ("lat", "float8"), ("dose", "float8")]
    assert rows(about.getColumns(None, "open", "%", "do%"), "COLUMN_NAME") == [("dose",)]
    for none in (
        about.getPrimaryKeys(None, "open", "t"),
        about.getImportedKeys(None, "open", "t"),
        about.getExportedKeys(None, "open", "t"),
        about.getCrossReference(None, "open", "t", None, "open", "t"),
        about.getIndexInfo(None, "open", "t", False, False),
        about.getBestRowIdentifier(None, "open", "t", 0, True),
        about.getFunctions(None, None, "%"),
        about.getProcedures(None, None, "%"),
        about.getUDTs(None, None, "%", None),
        about.getTablePrivileges(None, "hidden", "t"),
        about.getColumnPrivileges(None, "hidden", "t", "%"),
    ):
        assert not none.next()
    types = rows(about.getTypeInfo(), "TYPE_NAME")
    assert {("int4",), ("float8",), ("text",), ("timestamptz",)} <= set(types)
    assert "TABLE" in {row[0] for row in rows(about.getTableTypes(), "TABLE_TYPE")}
    assert about.getSQLKeywords() and about.getMaxColumnNameLength() == 63


def test_prepared_statements_before_and_after_they_are_kept(jdbc, node):  # noqa: F811
    connection = jdbc(prepareThreshold=3)
    asked = connection.prepareStatement(
        "SELECT count(*), max(dose), CAST(? AS TIMESTAMP), DATE '2020-02-29', true, CAST(1.5 AS DECIMAL(5, 2)) "
        "FROM open.t WHERE station = ? AND dose > ?"
    )
    moment = jpype.java.sql.Timestamp.valueOf("1950-01-02 03:04:05.000006")
    for turn in range(8):
        station = turn % 4
        asked.setTimestamp(1, moment)
        asked.setInt(2, station)
        asked.setDouble(3, 0.25)
        answer = asked.executeQuery()
        assert answer.next()
        here = node.rows[(node.rows.station == station) & (node.rows.dose > 0.25)]
        assert answer.getLong(1) == len(here), turn
        assert answer.getDouble(2) == here.dose.max() if len(here) else answer.getObject(2) is None
        assert answer.getTimestamp(3).equals(moment), turn
        assert str(answer.getDate(4)) == "2020-02-29"
        assert answer.getBoolean(5)
        assert str(answer.getBigDecimal(6)) == "1.50"
    types = connection.prepareStatement("SELECT station FROM open.t WHERE lat > ?")
    assert types.getParameterMetaData().getParameterTypeName(1) == "float8"
    assert types.getMetaData().getColumnTypeName(1) == "int4"


def test_times_without_a_zone_are_what_the_clock_shows_there(jdbc):
    shown = "2020-01-01 00:30:00"
    for mode in ("extended", "extendedForPrepared", "extendedCacheEverything"):
        asked = jdbc(preferQueryMode=mode).prepareStatement(
            "SELECT d = ?, CAST(CAST(? AS DATE) AS VARCHAR), CAST(CAST(? AS TIMESTAMP) AS TIME) = TIME '00:30:00' "
            f"FROM (VALUES (TIMESTAMP '{shown}')) AS t(d)"
        )
        for place in (1, 2, 3):
            asked.setTimestamp(place, jpype.java.sql.Timestamp.valueOf(shown))
        answer = asked.executeQuery()
        assert answer.next()
        assert (answer.getBoolean(1), answer.getString(2), answer.getBoolean(3)) == (True, "2020-01-01", True), mode


@pytest.mark.parametrize("threshold", [0, 1, -1])
def test_values_of_each_type_are_bound_and_come_back(jdbc, threshold):
    java = jpype.java
    cases = [
        ("setShort", "SMALLINT", 7, "7"),
        ("setLong", "BIGINT", 2**40, str(2**40)),
        ("setBoolean", "BOOLEAN", True, "t"),
        ("setString", "VARCHAR", "it's ü", "it's ü"),
        ("setBigDecimal", "DECIMAL(10, 2)", java.math.BigDecimal("12.50"), "12.50"),
        ("setDate", "DATE", java.sql.Date.valueOf("1850-01-01"), "1850-01-01"),
        ("setTime", "TIME", java.sql.Time.valueOf("23:59:58"), "23:59:58"),
        ("setObject", "DATE", java.time.LocalDate.of(2020, 2, 29), "2020-02-29"),
        ("setObject", "TIMESTAMP", java.time.LocalDateTime.of(2020, 2, 29, 1, 2, 3), "2020-02-29 01:02:03"),
        ("setObject", "TIMESTAMPTZ", java.time.OffsetDateTime.parse("2020-02-29T01:02:03+02:00"), "2020-02-28 23:02:03+00"),
        ("setObject", "UUID", java.util.UUID.fromString("00000000-0000-0000-0000-000000000007"), None),
    ]
    connection = jdbc(prepareThreshold=threshold)
    for how, kind, value, expected in cases:
        statement = connection.prepareStatement(f"SELECT CAST(? AS {kind}) AS x")
        for _ in range(3):
            getattr(statement, how)(1, value)
            ((found,),) = rows(statement.executeQuery(), "x")
            if found != expected and expected is not None:
                # A day without a place is said in the zone of the machine; the instant is the same.
                assert kind == "TIMESTAMPTZ" and found.startswith("2020-02-2"), (how, kind, found)
    octets = connection.prepareStatement("SELECT CAST(? AS BYTEA)")
    for _ in range(3):
        octets.setBytes(1, bytes([0, 255]))
        answer = octets.executeQuery()
        assert answer.next() and bytes(value & 255 for value in answer.getBytes(1)) == b"\x00\xff"
    array = connection.prepareStatement("SELECT count(*) FROM open.t WHERE station = ANY(?)")
    for _ in range(3):
        array.setArray(1, connection.createArrayOf("int4", [jpype.JInt(1), jpype.JInt(2)]))
        assert int(rows(array.executeQuery(), 1)[0][0]) > 0
    lists = connection.prepareStatement("SELECT make_array(1, 2), make_array('a', NULL)").executeQuery()
    assert lists.next()
    assert [int(item) for item in lists.getArray(1).getArray()] == [1, 2]
    assert list(lists.getArray(2).getArray()) == ["a", None]


def test_rows_come_in_parts_or_not_all(jdbc):
    connection = jdbc()
    connection.setAutoCommit(False)
    statement = connection.createStatement()
    statement.setFetchSize(50)
    numbers = statement.executeQuery("SELECT value AS n FROM generate_series(1, 230) ORDER BY 1")
    assert [int(row[0]) for row in rows(numbers, "n")] == list(range(1, 231))
    connection.rollback()
    statement.setMaxRows(7)
    assert len(rows(statement.executeQuery("SELECT value AS n FROM generate_series(1, 230)"), "n")) == 7
    connection.commit()
    connection.setAutoCommit(True)
    connection.setReadOnly(True)
    connection.setTransactionIsolation(jpype.java.sql.Connection.TRANSACTION_SERIALIZABLE)
    assert connection.isValid(5)
    assert connection.getSchema() is None


def test_statements_are_cancelled_and_errors_told(jdbc, java):
    connection = jdbc()
    statement = connection.createStatement()
    timer = threading.Timer(1, statement.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(java.SQLException) as stopped:
        statement.executeQuery(SLOW)
    assert stopped.value.getSQLState() == "57014"
    assert time.monotonic() - began < 5
    statement.setQueryTimeout(1)
    with pytest.raises(java.SQLException) as stopped:
        statement.executeQuery(SLOW)
    assert stopped.value.getSQLState() == "57014"
    statement.setQueryTimeout(0)
    with pytest.raises(java.SQLException) as refused:
        statement.executeQuery("SELECT nothing FROM open.t")
    assert refused.value.getSQLState() == "42703"
    assert statement.execute("SELECT 1 AS x; SELECT 2 AS x")
    assert rows(statement.getResultSet(), "x") == [("1",)]
    assert statement.getMoreResults() and rows(statement.getResultSet(), "x") == [("2",)]


@pytest.mark.parametrize("mode", ["simple", "extended", "extendedForPrepared", "extendedCacheEverything"])
def test_each_way_to_ask(jdbc, mode, node):  # noqa: F811
    statement = jdbc(preferQueryMode=mode).prepareStatement("SELECT count(*) FROM open.t WHERE station = ? AND ? = 'it''s'")
    for _ in range(6):
        statement.setInt(1, 1)
        statement.setString(2, "it's")
        assert int(rows(statement.executeQuery(), 1)[0][0]) == (node.rows.station == 1).sum()


def test_rows_are_copied_into_a_file(jdbc):
    copies = jpype.JClass("org.postgresql.copy.CopyManager")(jdbc().unwrap(jpype.JClass("org.postgresql.core.BaseConnection")))
    out = jpype.java.io.ByteArrayOutputStream()
    assert copies.copyOut("COPY (SELECT value FROM generate_series(1, 3) ORDER BY 1) TO STDOUT CSV", out) == 3
    assert bytes(out.toByteArray()) == b"1\n2\n3\n"
