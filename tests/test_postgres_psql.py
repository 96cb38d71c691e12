"""psql and what people type in it; COPY to the client with other drivers too."""

import asyncio
import csv
import io
import struct
import subprocess

import asyncpg
import psycopg
import pytest
from postgres_wire import Wire, psql
from test_postgres import connect, extended, node, parse, bind, execute  # noqa: F401

# Commands of psql that list what a lab has none of.
EMPTY = r"""\dv \dv+ \di \di+ \df \df+ \ds \dm \dx \dT \dT+ \dD \dE \des \det \dew \deu \dC \da \dd \ddp \drds \dF \dFd \dFp
\dFt \dP \dRp \dRs \dy \do \dc \dO \dL \dl \dX \dAc \dAf \dAo \dAp \dconfig""".split()
# Those that list something, and a line of what they do.
LISTED = {
    r"\l": "ornl|tarn|UTF8|",
    r"\l+": "ornl|tarn|UTF8|",
    r"\dn": "open|tarn",
    r"\dn+": "open|tarn||",
    r"\dt": "open|t|table|tarn",
    r"\dt+": "open|t|table|tarn|permanent|",
    r"\d": "open|t|table|tarn",
    r"\d+": "open|t|table|tarn|permanent|",
    r"\du": "tarn|Cannot login|",
    r"\dp": "open|t|table||",
    r"\z open.*": "open|t|table||",
    r"\dT int4": "pg_catalog|integer|",
    r"\db": "pg_default|tarn|",
    r"\dA": "heap|Table",
    r"\d open.t": "dose|double precision|||",
    r"\d+ open.t": "dose|double precision||||plain|",
    r"\d+ open.*": "station|integer||||plain|",
}


@pytest.mark.parametrize("command", LISTED)
def test_what_is_there_is_listed(node, command):
    lines = psql(node.postgres, node.bob, command)
    assert any(line.startswith(LISTED[command]) for line in lines), lines


@pytest.mark.parametrize("command", EMPTY)
def test_what_is_not_there_is_not_listed(node, command):
    assert psql(node.postgres, node.bob, command) == []


def typed(node, lines, *options):
    """What psql prints when these lines are typed."""
    ended = subprocess.run(
        ["psql", "-X", "-w", "-h", "127.0.0.1", "-p", str(node.postgres), "-U", "bob", "-d", "ornl", *options],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        env={"PGPASSWORD": node.bob, "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_what_psql_does_with_a_statement(node):
    told = typed(node, [r"\conninfo", r"\encoding", r"SELECT 1 AS a, station FROM open.t \gdesc"], "-A", "-t")
    assert 'database "ornl" as user "bob"' in told
    assert told.splitlines()[1:] == ["UTF8", "a|bigint", "station|integer"]
    told = typed(node, [r"\x", "SELECT 1 AS one, 'b' AS two;", r"SELECT 7 AS seven \gset", r"\echo :seven"], "-A", "-t")
    assert told.splitlines()[1:] == ["one|1", "two|b", "7"]
    told = typed(node, [r"\set FETCH_COUNT 10", "SELECT value AS n FROM generate_series(1, 35) ORDER BY 1;"], "-A", "-t")
    assert told.split() == [str(number) for number in range(1, 36)]
    assert typed(node, ["SELECT 'SELECT 5' \\gexec"], "-A", "-t").split() == ["5"]
    assert "?column?" in typed(node, ["SELECT 1 + 1, (SELECT 2);"])


def test_psql_copies_into_a_file(node, tmp_path):
    file = tmp_path / "rows.csv"
    query = "SELECT station, lat, CAST(NULL AS VARCHAR) AS note FROM open.t ORDER BY station, lat"
    psql(node.postgres, node.bob, rf"\copy ({query}) TO '{file}' WITH (FORMAT csv, HEADER)")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    expected = node.rows.sort_values(["station", "lat"])
    assert [int(row["station"]) for row in rows] == list(expected.station)
    assert [float(row["lat"]) for row in rows] == list(expected.lat)
    assert {row["note"] for row in rows} == {""}
    assert psql(node.postgres, node.bob, rf"\copy open.t (station) TO '{file}'")[0] == f"COPY {len(expected)}"
    assert sorted(map(int, file.read_text().split())) == list(expected.station)


@pytest.mark.parametrize("options", ["", "(FORMAT binary)"])
def test_drivers_copy_to_themselves(node, options):
    query = "SELECT station::bigint, 'a\tb\\' || station, NULL::varchar FROM open.t ORDER BY station, visit"
    expected = [(station, f"a\tb\\{station}", None) for station in sorted(node.rows.station.tolist())]
    with connect(node, "bob") as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY ({query}) TO STDOUT {options}") as copy:
            copy.set_types(["int8", "text", "text"])
            assert list(copy.rows()) == expected
        with pytest.raises(psycopg.errors.UndefinedColumn), cursor.copy("COPY (SELECT nothing FROM open.t) TO STDOUT") as copy:
            list(copy)
    with connect(node, "bob", autocommit=True) as connection:
        for refused in (
            "COPY open.t FROM STDIN",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "COPY (DROP TABLE open.t) TO STDOUT",
            "COPY (CREATE VIEW open.v AS SELECT 1) TO STDOUT",
            "COPY (SELECT 1) TO STDOUT (FORMAT parquet)",
        ):
            with pytest.raises(psycopg.Error), connection.cursor() as cursor:
                if "STDOUT" in refused:
                    with cursor.copy(refused) as copy:
                        list(copy)
                else:
                    cursor.execute(refused)
        assert connection.execute("SELECT count(*) FROM open.t").fetchone() == (len(node.rows),)


def test_asyncpg_copies(node):
    async def run():
        connection = await asyncpg.connect(
            host="127.0.0.1", port=node.postgres, user="bob", password=node.bob, database="ornl", ssl=False
        )
        try:
            out = io.BytesIO()
            tag = await connection.copy_from_query("SELECT value FROM generate_series(1, 3) ORDER BY 1", output=out, format="csv")
            table = io.BytesIO()
            await connection.copy_from_table("t", schema_name="open", columns=["station"], output=table)
            return tag, out.getvalue(), table.getvalue()
        finally:
            await connection.close()

    tag, rows, table = asyncio.run(run())
    assert (tag, rows) == ("COPY 3", b"1\n2\n3\n")
    assert sorted(map(int, table.split())) == sorted(node.rows.station)


def test_a_copy_in_the_extended_protocol(node):
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    answer = extended(wire, parse("COPY (SELECT 7, NULL) TO STDOUT"), bind(), (b"D", b"P\0"), execute())
    assert [tag for tag, _ in answer] == [b"1", b"2", b"n", b"H", b"d", b"c", b"C", b"Z"]
    assert answer[3][1] == struct.pack("!bhhh", 0, 2, 0, 0)
    assert answer[4][1] == b"7\t\\N\n"
