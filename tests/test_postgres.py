"""Clients of PostgreSQL: psql, psycopg and SQLAlchemy, against the same statements over HTTP."""

import datetime
import decimal
import io
import math
import socket
import struct
import threading
import time

import psycopg
import pyarrow as pa
import pytest
import requests
import sqlalchemy
from postgres_asked import ASKED, TYPES
from postgres_wire import Wire, psql, state
from records import write_record
from story.labs import free_ports
from test_access import TIER, header, token
from test_oai import RESTRICTED
from test_obligations import POLICY, people
from test_queries import table
from test_tls import Authority

SLOW = "SELECT count(*) FROM generate_series(1,1000000) a, generate_series(1,1000000) b WHERE (a.value*b.value)%7=3"


def register(lab, tmp_path, name, **changes):
    path = tmp_path / f"{name}.nc"
    rows = table(path, len(name), 100)
    lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, **changes))
    lab.run("ingest", path, "--dataset", name, "--table", "t")
    return rows


@pytest.fixture(scope="module")
def node(module_lab, tmp_path_factory):
    """A lab with `open` for everyone, `doses` with rows and masks for the south, and `hidden`."""
    tmp_path = tmp_path_factory.mktemp("files")
    (port,) = free_ports(1)
    lab = module_lab("ornl")
    config = lab.home / "tarn.toml"
    config.write_text(f'postgres = "0.0.0.0:{port}"\n' + config.read_text(encoding="utf-8"), encoding="utf-8")
    lab.postgres, lab.files = port, tmp_path
    lab.rows = register(lab, tmp_path, "open")
    register(lab, tmp_path, "hidden", **RESTRICTED, exposure="none")
    path = tmp_path / "doses.nc"
    lab.doses = people(path, 0)
    record = write_record(tmp_path / "doses.yaml", [path], name="doses", tier="controlled", exposure="full", **TIER)
    lab.run("register", record)
    lab.run("ingest", path, "--dataset", "doses", "--table", "visits")
    (lab.home / "policies").mkdir()
    (lab.home / "policies" / "south.cedar").write_text(POLICY)
    lab.run("user", "create", "ann", "--group", "south", "--assurance", "low")
    lab.ann, lab.bob, lab.root = token(lab, "ann"), token(lab, "bob"), token(lab, "root", "admin")
    lab.start()
    return lab


def connect(lab, who="ann", **options):
    password = {"ann": lab.ann, "bob": lab.bob, "root": lab.root}.get(who)
    return psycopg.connect(
        host="127.0.0.1", port=lab.postgres, dbname="ornl", user=who, password=password, sslmode="disable", **options
    )


def arrow(lab, query, text=None):
    """The answer over HTTP, as Arrow."""
    accept = {"Accept": "application/vnd.apache.arrow.stream", **header(text)}
    answer = requests.post(f"{lab.http_url}/api/v1/sql", json={"query": query}, headers=accept, timeout=60)
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()


# ---------------------------------------------------------------------------------------------- psql


def test_psql_shows_what_there_is(node):
    run = lambda *commands: psql(node.postgres, node.bob, *commands)
    assert run("SELECT version()")[0].startswith("PostgreSQL 15.0 (Tarn ")
    assert run("SELECT current_database(), current_user, current_schema() IS NULL") == ["ornl|bob|t"]
    assert run(r"\l")[0].startswith("ornl|tarn|UTF8|")
    assert run(r"\dn") == ["doses|tarn", "open|tarn"]
    assert run(r"\dt") == ["doses|visits|table|tarn", "open|t|table|tarn"]
    assert run(r"\dt open.*") == ["open|t|table|tarn"]
    assert run(r"\d") == run(r"\dt")
    assert run(r"\dv") == []
    assert run(r"\di") == run(r"\df") == run(r"\dx") == []
    columns = run(r"\d open.t")
    assert columns[0] == "visit|bigint||not null|" or columns[0].startswith("visit|"), columns
    assert [line.split("|")[:2] for line in columns][-3:] == [
        ["station", "integer"],
        ["lat", "double precision"],
        ["dose", "double precision"],
    ]
    assert run("SHOW server_encoding") == ["UTF8"]
    assert run(r"\encoding") == ["UTF8"]


def test_psql_has_the_rows_and_several_statements_run_one_after_the_other(node):
    station = node.rows.groupby("station").size()
    rows = psql(node.postgres, node.bob, "SELECT station, count(*) FROM open.t GROUP BY 1 ORDER BY 1")
    assert rows == [f"{key}|{count}" for key, count in station.items()]
    rows = psql(node.postgres, node.bob, "BEGIN; SELECT 1 AS x; SELECT 'a;b'; COMMIT")
    assert rows == ["BEGIN", "1", "a;b", "COMMIT"]
    told = psql(node.postgres, node.bob, "SELECT 1", "SELECT nothing FROM open.t", code=1)
    assert "ERROR" in told and "there is no column" in told


def test_without_a_password_one_is_nobody_and_with_a_wrong_one_nothing(node):
    assert psql(node.postgres, None, r"\dn", user="anonymous") == ["doses|tarn", "open|tarn"]
    refused = "FATAL"
    began = time.monotonic()
    assert refused in psql(node.postgres, "wrong", "SELECT 1", code=2)
    assert time.monotonic() - began >= 1, "who guesses waits"
    assert "no password" in psql(node.postgres, None, "SELECT 1", code=2)
    assert "the database is the lab" in psql(node.postgres, node.ann, "SELECT 1", database="llnl", code=2)


# ------------------------------------------------------------------------------- what may be known


def test_rows_and_masks_are_those_of_http(node):
    query = "SELECT patient, lat, dose FROM doses.visits ORDER BY dose, lat"
    over_http = arrow(node, query, node.ann)
    with connect(node) as connection:
        assert connection.execute(query).fetchall() == [tuple(row.values()) for row in over_http.to_pylist()]
        south = (node.doses["lat"] < 0).sum()
        assert connection.execute("SELECT count(*) FROM visits").fetchone() == (south,)
    with connect(node, "bob") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(query)


CATALOG = [
    "SELECT oid, nspname FROM pg_namespace ORDER BY 1",
    "SELECT oid, relname, relnamespace FROM pg_catalog.pg_class ORDER BY 1",
    "SELECT attrelid, attname, atttypid FROM pg_attribute ORDER BY 1, 2",
    "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2",
    "SELECT table_schema, column_name FROM information_schema.columns ORDER BY 1, 2",
    "SELECT schema_name FROM information_schema.schemata ORDER BY 1",
    "SELECT count(*) FROM pg_views",
    "SELECT 'secret.t'::regclass",
    "SELECT to_regclass('secret.t')",
    "SELECT pg_get_viewdef(1)",
    "SELECT has_table_privilege('secret.t', 'SELECT')",
    "SELECT datname FROM pg_database",
    "SHOW TABLES",
]


def told(node, who, query):
    try:
        with connect(node, who) as connection:
            return connection.execute(query).fetchall()
    except psycopg.Error as error:
        return error.sqlstate, str(error)


@pytest.mark.parametrize("who", ["anonymous", "bob"])
def test_what_is_hidden_is_as_if_it_were_not_there(node, who):
    secret = f"secret_{who}"
    probes = [
        *CATALOG,
        "SELECT * FROM secret.t",
        "SELECT * FROM pg_catalog.pg_class c JOIN secret.t s ON true",
        "SELECT * FROM t, secret",
        "SELECT $1::regclass",
    ]
    probes = [probe.replace("secret", secret) for probe in probes]
    before = [told(node, who, query) for query in probes]
    register(node, node.files, secret, **RESTRICTED, exposure="none")
    assert [told(node, who, query) for query in probes] == before
    assert all(secret not in str(told(node, who, query)) for query in CATALOG[:7])


def test_settings_and_files_of_the_node_stay_hidden(node):
    with connect(node) as connection:
        for query in (
            "SELECT * FROM read_netcdf('/etc/passwd')",
            "COPY (SELECT 1) TO '/tmp/x'",
            "SELECT * FROM information_schema.df_settings",
            "SET datafusion.execution.batch_size = 1; SHOW datafusion.catalog.location",
            "INSERT INTO open.t VALUES (1)",
            "EXPLAIN VERBOSE SELECT * FROM open.t",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            with pytest.raises(psycopg.Error) as refused:
                connection.execute(query)
            assert str(node.home) not in str(refused.value)
            connection.rollback()


# ------------------------------------------------------------------------------------------- types

def expected(value, kind):
    """What psycopg gives for a value of pyarrow."""
    if kind == 1184:
        return value.astimezone(datetime.UTC)
    if kind == 1700 and value is not None:
        return decimal.Decimal(value)
    return value


@pytest.mark.parametrize("in_binary", [False, True])
def test_values_are_those_of_arrow(node, in_binary):
    with connect(node) as connection:
        for expression, kind in TYPES.items():
            query = f"SELECT {expression} AS x"
            cursor = connection.cursor(binary=in_binary)
            try:
                cursor.execute(query)
            except psycopg.Error as error:
                raise AssertionError(f"{query}: {error}") from error
            assert cursor.description[0].type_code == kind, expression
            (value,) = cursor.fetchone()
            (over_http,) = arrow(node, query).column("x").to_pylist()
            if kind == 700:
                # Text has the digits that mean the number of four bytes.
                value, over_http = struct.pack("f", value), struct.pack("f", over_http)
            assert value == expected(over_http, kind), expression


@pytest.mark.parametrize("in_binary", [False, True])
def test_intervals_and_numbers_that_are_none(node, in_binary):
    with connect(node) as connection:
        cursor = connection.cursor(binary=in_binary)
        cursor.execute("SELECT INTERVAL '3 days 4 hours 5 minutes 6.5 seconds', INTERVAL '-1 day'")
        assert cursor.fetchone() == (
            datetime.timedelta(days=3, hours=4, minutes=5, seconds=6.5),
            datetime.timedelta(days=-1),
        )
        cursor.execute("SELECT CAST('NaN' AS DOUBLE), CAST('-inf' AS DOUBLE), arrow_cast('inf', 'Float32')")
        nan, low, high = cursor.fetchone()
        assert math.isnan(nan) and low == -math.inf and high == math.inf
        cursor.execute("SELECT named_struct('a', 1, 'b', make_array('x')), make_array(make_array(1, 2), make_array(3))")
        assert cursor.fetchone() == ({"a": 1, "b": ["x"]}, [[1, 2], [3]])


def test_a_tensor_is_an_array_with_its_sides(node):
    path = node.files / "cube.nc"
    import netCDF4
    import numpy as np

    values = np.arange(24, dtype="f8").reshape(2, 3, 4) / 8
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 2), ("lat", 3), ("lon", 4)):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = range(size)
        field = file.createVariable("field", "f8", ("time", "lat", "lon"))
        field[:] = values
        field.units = "1"
        field.long_name = "field"
    node.run("register", write_record(node.files / "cube.yaml", [path], name="cube"))
    node.run("ingest", path, "--dataset", "cube", "--table", "t", "--layout", "tensors")
    with connect(node, "bob") as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            cursor.execute("SELECT field FROM cube.t ORDER BY time")
            assert cursor.description[0].type_code == 1022
            assert [row[0] for row in cursor.fetchall()] == values.tolist()


def test_a_text_with_a_zero_and_a_time_beyond_are_refused(node):
    with connect(node, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.CharacterNotInRepertoire):
            connection.execute("SELECT chr(0)").fetchall()
        with pytest.raises(psycopg.errors.DatetimeFieldOverflow):
            connection.execute("SELECT arrow_cast(9223372036854775807, 'Timestamp(Second, None)')").fetchall()
        assert connection.execute("SELECT 1").fetchone() == (1,)


# -------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("form", ["%s", "%b", "%t"])
def test_values_are_bound_and_never_read_as_sql(node, form):
    rows = node.rows
    with connect(node, "bob") as connection:

        def count(where, *values):
            query = f"SELECT count(*) FROM open.t WHERE {where.replace('?', form)}"
            return connection.execute(query, values).fetchone()[0]

        assert count("station = ?", 3) == (rows.station == 3).sum()
        assert count("lat < ?", 0.5) == (rows.lat < 0.5).sum()
        assert count("station = ? OR station = ?", 1, 2) == rows.station.isin([1, 2]).sum()
        assert count("'x'' OR 1=1' = ?", "x' OR 1=1") == len(rows)
        assert count("? IS NULL", None) == len(rows)
        echo = connection.execute(
            f"SELECT CAST({form} AS BIGINT), CAST({form} AS VARCHAR), CAST({form} AS BOOLEAN), CAST({form} AS DOUBLE)",
            (2**40, "ü'", True, 0.1),
        )
        assert echo.fetchone() == (2**40, "ü'", True, 0.1)
        times = connection.execute(
            f"SELECT CAST({form} AS DATE), CAST({form} AS TIMESTAMP), {form} < now()",
            (datetime.date(2000, 2, 29), datetime.datetime(1950, 1, 2, 3, 4, 5, 6), datetime.datetime.now(datetime.UTC)),
        )
        assert times.fetchone() == (datetime.date(2000, 2, 29), datetime.datetime(1950, 1, 2, 3, 4, 5, 6), True)
        number = decimal.Decimal("-12345678901234567890.125")
        assert connection.execute(f"SELECT {form} * 2", (number,)).fetchone()[0] == number * 2
        assert connection.execute(f"SELECT {form}", (b"\x00\xff",)).fetchone()[0] == b"\x00\xff"
        assert connection.execute(f"SELECT {form}", ([1, None, 3],)).fetchone()[0] == [1, None, 3]


def test_prepared_statements_are_kept_until_they_are_closed(node):
    with connect(node, "bob", autocommit=True, prepare_threshold=1) as connection:
        for number in range(5):
            assert connection.execute("SELECT count(*) FROM open.t WHERE station = %s", (number,)).fetchone()[0] == (
                node.rows.station == number
            ).sum()
        connection.execute("DEALLOCATE ALL")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            connection.execute("SELECT count(*) FROM open.t WHERE station = %s", (1,))


def extended(wire, *messages):
    for tag, body in messages:
        wire.send(tag, body)
    wire.send(b"S")
    return wire.until(b"Z")


def parse(sql, name=b"", types=()):
    return b"P", name + b"\0" + sql.encode() + b"\0" + struct.pack(f"!h{len(types)}I", len(types), *types)


def bind(portal=b"", statement=b""):
    return b"B", portal + b"\0" + statement + b"\0" + struct.pack("!hhh", 0, 0, 0)


def execute(rows=0, portal=b""):
    return b"E", portal + b"\0" + struct.pack("!i", rows)


def test_a_portal_gives_so_many_rows_at_a_time(node):
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    numbers = parse("SELECT value FROM generate_series(1, 5) ORDER BY 1")
    answer = extended(wire, numbers, bind(), execute(2), execute(2), execute(2), execute(2))
    assert b"".join(tag for tag, _ in answer) == b"12DDsDDsDCCZ"
    assert [body for tag, body in answer if tag == b"C"] == [b"SELECT 1\0", b"SELECT 0\0"]
    # Without a transaction, what is left is gone; in one it stays.
    assert state(dict(extended(wire, execute(2)))[b"E"]) == "34000"
    extended(wire, parse("BEGIN"), bind(), execute())
    answer = extended(wire, numbers, bind(b"p"), execute(3, b"p"))
    assert answer[-1] == (b"Z", b"T")
    answer = extended(wire, execute(0, b"p"))
    assert [tag for tag, _ in answer] == [b"D", b"D", b"C", b"Z"]
    extended(wire, parse("COMMIT"), bind(), execute())
    assert state(dict(extended(wire, execute(0, b"p")))[b"E"]) == "34000"


def test_after_an_error_a_series_is_read_over_until_its_end(node):
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    answer = extended(wire, parse("SELECT nothing FROM open.t"), bind(), execute(), parse("SELECT 1"), bind(), execute())
    assert [tag for tag, _ in answer] == [b"1", b"2", b"E", b"Z"]
    assert state(dict(answer)[b"E"]) == "42703"
    assert state(dict(extended(wire, parse("SELEC 1")))[b"E"]) == "42601"
    answer = extended(wire, parse("SELECT 1", types=()), bind(), execute())
    assert [tag for tag, _ in answer] == [b"1", b"2", b"D", b"C", b"Z"]
    answer = extended(wire, parse("   "), bind(), (b"D", b"P\0"), execute())
    assert [tag for tag, _ in answer] == [b"1", b"2", b"n", b"I", b"Z"]
    answer = extended(wire, parse("SELECT $1 + 1, $2", b"s", (23, 25)), (b"D", b"Ss\0"))
    assert answer[1] == (b"t", struct.pack("!hII", 2, 23, 25))
    assert answer[2][0] == b"T"


# ------------------------------------------------------------------------------- session and errors


def test_transactions_are_harmless_and_settings_are_kept(node):
    with connect(node, "bob") as connection:
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        connection.execute("SELECT 1")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        connection.execute("SET application_name = 'x y'")
        assert connection.execute("SHOW application_name").fetchone() == ("x y",)
        assert connection.info.parameter_status("application_name") == "x y"
        assert connection.info.parameter_status("TimeZone") == "UTC"
        assert connection.execute("SELECT current_setting('application_name')").fetchone() == ("x y",)
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SET client_encoding = 'LATIN1'")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere.t", "42P01"),
        ("SELECT nothing FROM open.t", "42703"),
        ("SELECT no_function(1)", "42883"),
        ("SELECT 1/0", "22012"),
        ("SELECT CAST('x' AS INT)", "22P02"),
        ("UPDATE open.t SET lat = 1", "0A000"),
        ("SHOW no_setting", "42704"),
        ("EXPLAIN VERBOSE SELECT 1", "42501"),
        ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, "54001"),
    ],
)
def test_errors_have_their_code(node, query, code):
    with connect(node, "bob") as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(query).fetchall()
    assert refused.value.sqlstate == code, refused.value


def test_a_statement_is_stopped_within_a_second(node):
    with connect(node, "bob", autocommit=True) as connection:
        for stop in ("cancel", "timeout"):
            if stop == "cancel":
                timer = threading.Timer(1, connection.cancel)
                timer.start()
            else:
                connection.execute("SET statement_timeout = '1s'")
            began = time.monotonic()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute(SLOW)
            assert 0.8 < time.monotonic() - began < 3, stop
        connection.execute("RESET ALL")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_key_of_another_stops_nothing_and_who_goes_stops_their_own(new_lab):
    (port,) = free_ports(1)
    lab = new_lab("ornl", settings=f'postgres = "127.0.0.1:{port}"\n[limits]\nqueries_each = 1\n', start=True)
    ann = token(lab, "ann")
    wire = Wire(port)
    process, secret = struct.unpack("!ii", dict(wire.begin(ann))[b"K"])
    wire.send(b"Q", SLOW.encode() + b"\0")
    time.sleep(1)
    for key in ((process, secret ^ 1), (process ^ 1, secret)):
        Wire(port).send(b"", struct.pack("!iii", 80877102, *key))
    with psycopg.connect(f"host=127.0.0.1 port={port} dbname=ornl user=ann password={ann}") as other:
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(other.execute("SELECT 7").fetchone()))
        waiting.start()
        waiting.join(2)
        assert waiting.is_alive(), "it still runs, and one query at a time does"
        wire.socket.close()
        waiting.join(5)
        assert answers == [(7,)]


def test_standing_is_asked_again_for_each_statement(node):
    text = token(node, "eve")
    ident = next(entry["id"] for entry in node.run("token", "list", "--json").json() if entry["name"] == "eve")
    connection = psycopg.connect(host="127.0.0.1", port=node.postgres, dbname="ornl", user="eve", password=text, autocommit=True)
    assert connection.execute("SELECT 1").fetchone() == (1,)
    node.run("token", "revoke", ident)
    with pytest.raises(psycopg.OperationalError) as refused:
        connection.execute("SELECT 1")
    assert "revoked" in str(refused.value)
    assert connection.closed


def test_tables_and_views_are_made_as_over_http(node):
    register(node, node.files, "made")
    with connect(node, "root", autocommit=True) as connection:
        connection.execute("CREATE TABLE made.few AS SELECT station, count(*) AS n FROM open.t GROUP BY station")
        rows = connection.execute("SELECT sum(n) FROM made.few").fetchone()
        assert rows == (len(node.rows),)
        connection.execute("CREATE VIEW made.v WITH (security_invoker = true) AS SELECT * FROM open.t")
        assert psql(node.postgres, node.root, r"\dv") == ["made|v|view|tarn"]
        (definition,) = psql(node.postgres, node.root, "SELECT pg_get_viewdef('made.v'::regclass, true)")
        assert definition == 'SELECT * FROM "ornl".open.t'
        connection.execute("DROP VIEW made.v")
        connection.execute("DROP TABLE made.few")
    with connect(node, "bob", autocommit=True) as connection, pytest.raises(psycopg.Error):
        connection.execute("CREATE TABLE made.few AS SELECT 1 AS x")


# --------------------------------------------------------------------------------------- hostility


def test_what_is_no_message_ends_the_connection(node):
    wire = Wire(node.postgres)
    wire.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert wire.is_closed(5)
    for tag, body in ((b"?", b""), (b"P", b"x"), (b"B", b"\0\0" + b"\xff" * 9), (b"Q", b"no end"), (b"p", b"again\0")):
        wire = Wire(node.postgres)
        wire.begin(node.bob)
        wire.send(tag, body)
        assert state(dict(wire.until(b"E"))[b"E"]) == "08P01", tag
        assert wire.is_closed(5)
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    wire.socket.sendall(b"Q\x7f\xff\xff\xff")
    assert state(dict(wire.until(b"E"))[b"E"]) == "08P01"
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    wire.send(b"Q", b"SELECT '" + b"x" * 1_000_000 + b"'\0")
    assert [tag for tag, _ in wire.until(b"Z")] == [b"T", b"D", b"C", b"Z"]


def test_who_does_not_say_who_they_are_is_sent_away(node):
    silent, half, waiting = Wire(node.postgres), Wire(node.postgres), Wire(node.postgres)
    half.socket.sendall(b"\0\0\0\x20\0\x03")
    waiting.send(b"", struct.pack("!i", 196608) + b"user\0ann\0\0")
    assert waiting.message() == (b"R", struct.pack("!i", 3))
    began = time.monotonic()
    assert all(wire.is_closed(20) for wire in (silent, half, waiting))
    assert 10 < time.monotonic() - began < 20


def test_a_client_that_stops_reading_harms_nobody(node):
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    wire.send(b"Q", b"SELECT value, md5(CAST(value AS VARCHAR)) FROM generate_series(1, 20000000)\0")
    time.sleep(2)
    with connect(node, "bob") as connection:
        began = time.monotonic()
        assert connection.execute("SELECT count(*) FROM open.t").fetchone() == (len(node.rows),)
        assert time.monotonic() - began < 10


# --------------------------------------------------------------------------------------------- TLS


def own_address():
    """An address of this machine that is not of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def test_passwords_travel_in_secret_or_not_at_all(new_lab, tmp_path, node):
    authority = Authority(tmp_path)
    (port,) = free_ports(1)
    settings = f'postgres = "0.0.0.0:{port}"\n[tls]\ncertificate = "node.pem"\nkey = "node.key"\n'
    lab = new_lab("ornl", settings=settings)
    authority.issue(lab.home / "node.pem", lab.home / "node.key")
    ann = token(lab, "ann")
    lab.http_scheme = "https"
    lab.ready = lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0
    lab.start()
    verified = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(authority.path)}
    assert psql(port, ann, "SELECT 7", **verified) == ["7"]
    assert psql(port, ann, "SELECT 7", PGSSLMODE="disable") == ["7"], "nobody listens on the way"
    here = own_address()
    assert psql(port, ann, "SELECT 7", host=here, PGSSLMODE="require") == ["7"]
    told = psql(port, ann, "SELECT 7", host=here, PGSSLMODE="disable", code=2)
    assert "sslmode=require" in told
    assert psql(port, None, "SELECT 7", host=here, user="anonymous", PGSSLMODE="disable") == ["7"]
    told = psql(node.postgres, node.ann, "SELECT 7", host=here, code=2)
    assert "clear text" in told, "a node without TLS takes none from elsewhere"


# ----------------------------------------------------------------------------------------- others


def test_sqlalchemy_lists_what_there_is_and_asks_it(node):
    url = sqlalchemy.URL.create(
        "postgresql+psycopg", "bob", node.bob, "127.0.0.1", node.postgres, "ornl", query={"sslmode": "disable"}
    )
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    assert {"doses", "open"} <= set(inspector.get_schema_names())
    assert "t" in inspector.get_table_names(schema="open")
    assert inspector.get_pk_constraint("t", schema="open")["constrained_columns"] == []
    assert inspector.get_foreign_keys("t", schema="open") == []
    station = sqlalchemy.Column("station", sqlalchemy.Integer)
    made = sqlalchemy.Table("t", sqlalchemy.MetaData(), station, schema="open")
    with engine.connect() as connection:
        query = sqlalchemy.select(sqlalchemy.func.count()).where(made.c.station == 3)
        assert connection.execute(query).scalar() == (node.rows.station == 3).sum()


@pytest.mark.parametrize("asked", ASKED)
def test_dashboards_are_answered(node, asked):
    with connect(node, "bob") as connection:
        rows = connection.execute(ASKED[asked]).fetchall()
    if asked == "jdbc keys":
        assert rows == []
        return
    assert len(rows) == 1, rows
    row = [value for value in rows[0] if isinstance(value, str)]
    match asked:
        case "grafana tables":
            assert row == ["t"]
        case "grafana columns":
            assert row == ["dose", "double precision"]
        case "jdbc tables":
            assert row == ["open", "t", "TABLE"]
        case "jdbc columns":
            assert row[:3] == ["open", "t", "dose"]
