"""Drivers of PostgreSQL beside psycopg: asyncpg, pg8000, SQLAlchemy's reflection, pandas."""

import asyncio
import datetime
import decimal
import uuid

import asyncpg
import numpy as np
import pandas as pd
import pg8000.dbapi
import pg8000.native
import psycopg
import pytest
import sqlalchemy
from test_postgres import connect, node  # noqa: F401



def with_asyncpg(node, work):
    """The result of some work with a connection of asyncpg."""

    async def run():
        connection = await asyncpg.connect(
            host="127.0.0.1", port=node.postgres, user="bob", password=node.bob, database="ornl", ssl=False, timeout=30
        )
        try:
            return await asyncio.wait_for(work(connection), 60)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_asyncpg_binds_values_in_binary(node):
    rows = node.rows
    cases = [
        ("SELECT count(*) FROM open.t WHERE station = $1", (3,), (rows.station == 3).sum()),
        ("SELECT count(*) FROM open.t WHERE dose > $1", (3.5,), (rows.dose > 3.5).sum()),
        ("SELECT count(*) FROM (SELECT station FROM open.t LIMIT $1 OFFSET $2) AS x", (5, 2), 5),
        ("SELECT $1::int + 1", (41,), 42),
        ("SELECT $1::smallint", (-7,), -7),
        ("SELECT $1::bigint", (2**40,), 2**40),
        ("SELECT $1::real", (0.5,), 0.5),
        ("SELECT $1::float8", (0.1,), 0.1),
        ("SELECT $1::bool", (True,), True),
        ("SELECT $1::text", ("ü'",), "ü'"),
        ("SELECT $1::varchar", ("x",), "x"),
        ("SELECT $1::bytea", (b"\x00\xff",), b"\x00\xff"),
        ("SELECT $1::date", (datetime.date(1850, 1, 1),), datetime.date(1850, 1, 1)),
        ("SELECT $1::time", (datetime.time(23, 59, 59, 5),), datetime.time(23, 59, 59, 5)),
        ("SELECT $1::timestamp", (datetime.datetime(2020, 1, 2, 3),), datetime.datetime(2020, 1, 2, 3)),
        ("SELECT $1::interval", (datetime.timedelta(days=1, seconds=5),), datetime.timedelta(days=1, seconds=5)),
        ("SELECT $1::numeric(10, 2)", (decimal.Decimal("1.50"),), decimal.Decimal("1.50")),
        ("SELECT $1::int", (None,), None),
        ("SELECT upper($1)", ("a",), "A"),
    ]

    async def work(connection):
        return [await connection.fetchval(query, *values) for query, values, _ in cases]

    for (query, values, expected), got in zip(cases, with_asyncpg(node, work), strict=True):
        assert got == expected, (query, values)


UTC = datetime.UTC
# What is bound with a cast, and comes back as the same.
VALUES = [
    ("date", datetime.date(1850, 1, 1)),
    ("time", datetime.time(23, 59, 59, 5)),
    ("timestamp", datetime.datetime(1950, 1, 2, 3, 4, 5, 6)),
    ("timestamptz", datetime.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
    ("interval", datetime.timedelta(days=3, hours=4, microseconds=5)),
    ("numeric(12, 3)", decimal.Decimal("-123456789.125")),
    ("bytea", b"\x00\xff'\\"),
    ("bigint[]", [1, None, -(2**40)]),
    ("int[]", [1, 2, 3]),
    ("float8[]", [0.5, None]),
    ("text[]", ["a b", 'say "x"', None, ""]),
    ("date[]", [datetime.date(2000, 2, 29), None]),
    ("bool[]", [True, False]),
]


@pytest.mark.parametrize("form", ["%s", "%b", "%t"])
@pytest.mark.parametrize("in_binary", [False, True])
def test_psycopg_gets_back_what_it_binds(node, form, in_binary):
    with connect(node, "bob", autocommit=True) as connection:
        for kind, value in VALUES:
            cursor = connection.cursor(binary=in_binary)
            assert cursor.execute(f"SELECT {form}::{kind}", (value,)).fetchone() == (value,), kind
        cursor = connection.cursor(binary=in_binary)
        # A time of a clock is one of UTC.
        bare = datetime.datetime(2020, 1, 2, 3, 4, 5)
        assert cursor.execute(f"SELECT {form}::timestamptz", (bare,)).fetchone() == (bare.replace(tzinfo=UTC),)
        assert cursor.execute(f"SELECT {form}::timestamptz", ("2020-01-02 03:04:05",)).fetchone() == (bare.replace(tzinfo=UTC),)
        (ident,) = cursor.execute(f"SELECT {form}::uuid", (uuid.UUID(int=7),)).fetchone()
        assert uuid.UUID(str(ident)) == uuid.UUID(int=7)


def test_psycopg_writes_values_into_a_statement(node):
    with connect(node, "bob", autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        # A literal of a list stays one: it is not cast.
        for kind, value in (pair for pair in VALUES if not isinstance(pair[1], list)):
            assert connection.execute(f"SELECT %s::{kind}", (value,)).fetchone() == (value,), kind


def test_asyncpg_gets_back_what_it_binds(node):
    async def work(connection):
        got = [await connection.fetchval(f"SELECT $1::{kind}", value) for kind, value in VALUES]
        ident = await connection.fetchval("SELECT $1::uuid", uuid.UUID(int=7))
        some = await connection.fetchval("SELECT count(*) FROM open.t WHERE station = ANY($1::int[])", [1, 2])
        return got, str(ident), some, await connection.fetchval("SELECT make_array(1, 2)")

    got, ident, some, made = with_asyncpg(node, work)
    assert got == [value for _, value in VALUES]
    assert (ident, made) == (str(uuid.UUID(int=7)), [1, 2])
    assert some == node.rows.station.isin([1, 2]).sum()


def test_pg8000_gets_back_what_it_binds(node):
    login = {"host": "127.0.0.1", "port": node.postgres, "database": "ornl", "password": node.bob}
    connection = pg8000.native.Connection("bob", **login)
    for kind, value in VALUES:
        assert connection.run(f"SELECT CAST(:v AS {kind})", v=value) == [[value]], kind
    assert connection.run("SELECT CAST(:v AS uuid)", v=uuid.UUID(int=7)) in ([[str(uuid.UUID(int=7))]], [[uuid.UUID(int=7)]])
    connection.close()


def test_asyncpg_reads_cursors_and_goes_on_after_an_error(node):
    async def work(connection):
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.fetch("SELECT nothing FROM open.t")
        async with connection.transaction():
            numbers = [row[0] async for row in connection.cursor("SELECT value FROM generate_series(1, 200)", prefetch=50)]
        await connection.execute("SELECT 1; SELECT 2")
        prepared = await connection.prepare("SELECT station, lat FROM open.t WHERE lat > $1")
        names = [attribute.name for attribute in prepared.get_attributes()]
        return sorted(numbers), names, await connection.fetchval("SELECT current_user")

    assert with_asyncpg(node, work) == (list(range(1, 201)), ["station", "lat"], "bob")


def test_pg8000_asks_and_binds(node):
    rows = node.rows
    login = {"host": "127.0.0.1", "port": node.postgres, "database": "ornl", "password": node.bob}
    connection = pg8000.native.Connection("bob", **login)
    count = "SELECT count(*) FROM open.t WHERE "
    assert connection.run(count + "station = :s", s=3) == [[(rows.station == 3).sum()]]
    assert connection.run(count + "station = ANY(:s)", s=[1, 2]) == [[rows.station.isin([1, 2]).sum()]]
    assert connection.run("SELECT :s", s="it's") == [["it's"]]
    with pytest.raises(pg8000.native.DatabaseError) as refused:
        connection.run("SELECT nothing FROM open.t")
    assert refused.value.args[0]["C"] == "42703"
    assert connection.run("SELECT 1") == [[1]]
    connection.close()
    with pg8000.dbapi.connect("bob", **login) as dbapi:
        cursor = dbapi.cursor()
        cursor.execute("SELECT station FROM open.t WHERE station = %s LIMIT 2", (1,))
        assert cursor.fetchall() == ([1], [1])


@pytest.fixture
def engine(node):
    url = sqlalchemy.URL.create(
        "postgresql+psycopg", "bob", node.bob, "127.0.0.1", node.postgres, "ornl", query={"sslmode": "disable"}
    )
    engine = sqlalchemy.create_engine(url)
    yield engine
    engine.dispose()


def test_sqlalchemy_reflects_tables(node, engine):
    inspector = sqlalchemy.inspect(engine)
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("t", schema="open")}
    assert columns["station"] == "INTEGER"
    assert columns["dose"] == "DOUBLE PRECISION"
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine, schema="open")
    table = metadata.tables["open.t"]
    with engine.connect() as connection:
        query = sqlalchemy.select(table.c.station).order_by(table.c.station).fetch(2)
        assert connection.execute(query).scalars().all() == sorted(node.rows.station)[:2]
        both = sqlalchemy.text("SELECT sum(station), sum(dose), version() FROM open.t")
        assert list(connection.execute(both).keys()) == ["sum", "sum", "version"]


def test_pandas_reads_tables_and_cursors(node, engine):
    whole = pd.read_sql_table("t", engine, schema="open")
    assert sorted(whole.station) == sorted(node.rows.station)
    with engine.connect().execution_options(stream_results=True) as connection:
        chunks = list(pd.read_sql("SELECT * FROM open.t", connection, chunksize=30))
    assert [len(chunk) for chunk in chunks] == [30, 30, 30, 10]
    np.testing.assert_array_equal(np.sort(pd.concat(chunks).dose), np.sort(node.rows.dose))
    some = pd.read_sql(sqlalchemy.text("SELECT count(*) AS n FROM open.t WHERE station = ANY(:s)"), engine, params={"s": [1, 2]})
    assert some.n[0] == node.rows.station.isin([1, 2]).sum()


def test_psycopg_binds_intervals_lists_and_many_values(node):
    with connect(node, "bob", autocommit=True) as connection:
        ask = lambda query, *values: connection.execute(query, values).fetchone()[0]
        assert ask("SELECT now() - %s < now()", datetime.timedelta(days=1)) is True
        later = ask("SELECT TIMESTAMP '2020-01-02' - %s", datetime.timedelta(days=1))
        assert later == datetime.datetime(2020, 1, 1)
        numbers = [decimal.Decimal("1.5"), decimal.Decimal("20"), None]
        assert ask("SELECT %s", numbers) == numbers
        assert ask("SELECT %b", numbers) == numbers
        assert ask("SELECT count(*) FROM open.t WHERE station = ANY(%s)", []) == 0
        assert ask("SELECT %s", uuid.UUID(int=7)) in (uuid.UUID(int=7), str(uuid.UUID(int=7)))
        many = list(range(1001))
        with pytest.raises(psycopg.Error):
            ask(f"SELECT count(*) FROM open.t WHERE station IN ({', '.join(['%s'] * 1001)})", *many)
        assert ask("SELECT 1") == 1, "the connection is still there"


def test_cursors_of_sql_give_rows_forward(node):
    with connect(node, "bob") as connection, connection.cursor("few") as cursor:
        cursor.execute("SELECT value FROM generate_series(1, 100) WHERE value <= %s ORDER BY 1", (7,))
        assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
        assert cursor.fetchone() == (4,)
        assert cursor.fetchall() == [(5,), (6,), (7,)]
    with connect(node, "bob") as connection:
        connection.execute("DECLARE a CURSOR FOR SELECT value FROM generate_series(1, 3) ORDER BY 1")
        assert connection.execute("FETCH 2 FROM a").fetchall() == [(1,), (2,)]
        assert connection.execute("FETCH ALL FROM a").fetchall() == [(3,)]
        connection.execute("CLOSE a")
        with pytest.raises(psycopg.errors.InvalidCursorName):
            connection.execute("FETCH a")
