"""Clients of PostgreSQL that mean no good, and what only looks like it."""

import datetime
import struct
import time

import psycopg
import pytest
from postgres_wire import Wire, state
from story.labs import free_ports
from test_access import token
from test_postgres import SLOW, bind, connect, execute, extended, node, parse  # noqa: F401

# Texts that leave their quotes where somebody writes them down wrongly.
TEXTS = [
    "\\' UNION ALL SELECT patient FROM doses.visits --",
    "\\' OR 1=1 --",
    "'' OR 1=1 --",
    "it's",
    "a''b",
    "'",
    "''",
    "\\",
    "\\\\'",
    '"',
    "$1",
    "/*",
    "--",
    "tarn_argument",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_literal_stays_one_whatever_is_in_it(node, text):
    with connect(node, "bob", autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        ask = lambda query, *values: connection.execute(query, values).fetchall()
        literal = "'" + text.replace("'", "''") + "'"
        # Each has something that is put in other words.
        for beside in ("current_user", "1::oid", "1 = ANY('{1}')", "'a' LIKE 'a' ESCAPE '!'", "quote_ident('a')"):
            rows = connection.execute(f"SELECT {literal} AS x, {beside}".encode()).fetchall()
            assert [row[0] for row in rows] == [text], beside
        assert ask("SELECT count(*) FROM open.t WHERE CAST(station AS VARCHAR) = %s AND 1 = ANY('{1}')", text) == [(0,)]
        assert ask("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", text) == []
        assert ask("SELECT to_regclass(%s), %s = ANY(ARRAY['x', %s])", text, text, text) == [(None, True)]


def test_views_keep_what_is_in_quotes(node):
    with connect(node, "root", autocommit=True) as connection:
        for text in ("it's", "\\' UNION ALL SELECT 'x' --"):
            literal = "'" + text.replace("'", "''") + "'"
            made = f"CREATE VIEW open.quoted WITH (security_invoker = true) AS SELECT {literal} AS x FROM open.t LIMIT 1"
            try:
                connection.execute(made.encode())
            except psycopg.Error as refused:
                assert "cannot be written down" in str(refused)
                continue
            assert connection.execute("SELECT x FROM open.quoted").fetchall() == [(text,)]
            connection.execute("DROP VIEW open.quoted")


def test_calls_within_calls_do_not_grow(node):
    deep = "quote_ident(" * 40 + "'a'" + ")" * 40
    regtypes = "SELECT 25" + "::regtype" * 60
    with connect(node, "anonymous", autocommit=True) as connection:
        for query, code in ((f"SELECT {deep}", None), (regtypes, None), ("SELECT " + "to_regclass('a'), " * 300 + "1", "54001")):
            began = time.monotonic()
            if code:
                with pytest.raises(psycopg.Error) as refused:
                    connection.execute(query)
                assert refused.value.sqlstate == code
            else:
                try:
                    connection.execute(query)
                except psycopg.Error as error:
                    assert error.sqlstate != "XX000", error
            assert time.monotonic() - began < 10


def test_what_failed_is_told_before_the_end_of_a_series(node):
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    wire.socket.settimeout(10)
    for message in (parse("SELECT nothing FROM open.t"), (b"D", b"S\0"), (b"H", b"")):
        wire.send(*message)
    assert state(dict(wire.until(b"E"))[b"E"]) == "42703"
    wire.send(b"S")
    assert wire.until(b"Z")[-1] == (b"Z", b"I")
    with connect(node, "bob", autocommit=True) as connection, connection.pipeline():
        cursor = connection.execute("SELECT nothing FROM open.t")
        with pytest.raises(psycopg.errors.UndefinedColumn):
            cursor.fetchall()


def test_answers_are_sent_before_they_are_many(node):
    wire = Wire(node.postgres)
    wire.begin(None, b"anonymous")
    wire.socket.settimeout(10)
    wire.send(*parse("SET application_name = '" + "x" * 4000 + "'", b"s"))
    for _ in range(40):
        wire.send(*bind(statement=b"s"))
        wire.send(*execute())
    # Nobody asked for them yet.
    assert wire.until(b"S")[-1][1].startswith(b"application_name\0xxx")


@pytest.mark.parametrize("queued", [30, 500])
def test_who_goes_is_noticed_whatever_they_sent_before(new_lab, queued):
    (port,) = free_ports(1)
    lab = new_lab("ornl", settings=f'postgres = "127.0.0.1:{port}"\n[limits]\nqueries_each = 1\n', start=True)
    ann = token(lab, "ann")
    wire = Wire(port)
    wire.begin(ann)
    wire.send(b"Q", SLOW.encode() + b"\0")
    for _ in range(queued):
        wire.send(b"S")
    time.sleep(1)
    wire.socket.close()
    began = time.monotonic()
    with psycopg.connect(f"host=127.0.0.1 port={port} dbname=ornl user=ann password={ann}") as other:
        assert other.execute("SELECT 7").fetchone() == (7,)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("queued", [3_000, 800_000])
def test_who_goes_with_more_on_the_way_than_is_read_is_noticed(new_lab, queued):
    (port,) = free_ports(1)
    lab = new_lab("ornl", settings=f'postgres = "127.0.0.1:{port}"\n[limits]\nqueries_each = 1\n', start=True)
    ann = token(lab, "ann")
    wire = Wire(port)
    wire.begin(ann)
    wire.send(b"Q", SLOW.encode() + b"\0")
    wire.socket.settimeout(2)
    try:
        # The last is more than either machine holds for a client that is not read.
        wire.socket.sendall((b"S" + struct.pack("!i", 4)) * queued)
    except TimeoutError:
        assert queued > 3_000
    time.sleep(1)
    # A client that is there is asked, and stays.
    wire.socket.setblocking(False)
    assert b"in_hot_standby" in wire.socket.recv(65536)
    with psycopg.connect(f"host=127.0.0.1 port={port} dbname=ornl user=ann password={ann}") as other:
        wire.socket.close()
        began = time.monotonic()
        assert other.execute("SELECT 7").fetchone() == (7,)
    assert time.monotonic() - began < 4


def test_answers_that_wait_hold_no_places(node):
    wire = Wire(node.postgres)
    wire.begin(node.bob)
    wire.socket.settimeout(20)
    extended(wire, parse("BEGIN"), bind(), execute())
    names = [b"p%d" % number for number in range(12)]
    for name in names:
        answer = extended(wire, parse("SELECT value FROM generate_series(1, 100000) ORDER BY 1"), bind(name), execute(2, name))
        assert [tag for tag, _ in answer] == [b"1", b"2", b"D", b"D", b"s", b"Z"], name
    with connect(node, "bob") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    for name in names:
        answer = extended(wire, execute(1, name))
        assert answer[0] == (b"D", struct.pack("!hi", 1, 1) + b"3"), name
    answer = extended(wire, execute(0, names[0]))
    assert sum(tag == b"D" for tag, _ in answer) == 100_000 - 3


def test_settings_of_a_transaction_end_with_it(node):
    with connect(node, "bob") as connection:
        shown = lambda: connection.execute("SHOW application_name").fetchone()[0]
        connection.execute("SET application_name = 'before'")
        connection.commit()
        connection.execute("SET application_name = 'lost'")
        assert shown() == "lost"
        connection.rollback()
        assert shown() == "before"
        connection.execute("SET LOCAL application_name = 'within'")
        assert shown() == "within"
        connection.execute("SET extra_float_digits = 2")
        connection.commit()
        assert shown() == "before"
        assert connection.info.parameter_status("application_name") == "before"
        assert connection.execute("SHOW extra_float_digits").fetchone() == ("2",)


def test_who_one_is_and_what_one_may_do_is_not_what_one_says(node):
    with psycopg.connect(
        host="127.0.0.1", port=node.postgres, dbname="ornl", user="root", password=node.bob, autocommit=True
    ) as connection:
        assert connection.execute("SELECT current_user, session_user").fetchone() == ("bob", "bob")
        privileges = connection.execute(
            "SELECT has_table_privilege('open.t', 'SELECT'), has_table_privilege('open.t', 'INSERT'), "
            "has_schema_privilege('open', 'CREATE'), has_schema_privilege('open', 'USAGE')"
        )
        assert privileges.fetchone() == (True, False, False, True)
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT has_table_privilege('no.such', 'SELECT')").fetchone()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT 'a!b' LIKE 'a!!b' ESCAPE '!'", True),
        ("SELECT 'axb' LIKE 'a!_b' ESCAPE '!'", False),
        ("SELECT 'A_b' ILIKE 'a!_b' ESCAPE '!'", True),
        ("SELECT 'a b' = ANY('{\"a b\",c}')", True),
        ("SELECT 1 = ANY('{}')", False),
        ("SELECT 2 = ANY('{1,2}')", True),
        ("SELECT 1 <> ALL(ARRAY[2, 3])", True),
        ("SELECT ARRAY(SELECT value FROM generate_series(1, 3) ORDER BY 1) AS name", [1, 2, 3]),
        ("SELECT 'name, any, reg, oid, version' AS version", "name, any, reg, oid, version"),
        ("SELECT E'a\\nb'", "a\nb"),
        ("SELECT quote_ident('a b')", '"a b"'),
        ("SELECT format_type(23, -1)", "integer"),
        ("SELECT map(make_array(1), make_array('v'))", {"1": "v"}),
        ("SELECT count(*) > 9 FROM pg_get_keywords()", True),
        ("SELECT array_upper(ARRAY[5, 6], 1)", 2),
    ],
)
def test_statements_mean_what_they_do_in_postgresql(node, query, expected):
    with connect(node, "bob") as connection:
        assert connection.execute(query).fetchone() == (expected,)


def test_columns_may_have_one_name_and_times_know_their_zone(node):
    with connect(node, "bob") as connection:
        cursor = connection.execute("SELECT sum(station), sum(dose), version(), 1 AS a, 2 AS a, count(*), count(*) FROM open.t")
        names = [column.name for column in cursor.description]
        assert names == ["sum", "sum", "version", "a", "a", "count", "count"]
        row = cursor.fetchone()
        assert (row[0], row[3:]) == (node.rows.station.sum(), (1, 2, len(node.rows), len(node.rows)))
        (now,) = connection.execute("SELECT now()").fetchone()
        assert now.tzinfo is not None
        assert abs(now - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
        assert connection.execute("TABLE open.t").rowcount == len(node.rows)


def test_many_statements_of_one_message_take_no_longer_than_one_by_one(node):
    with connect(node, "anonymous", autocommit=True) as connection:

        def seconds(message):
            began = time.monotonic()
            assert connection.pgconn.exec_(message).status == psycopg.pq.ExecStatus.TUPLES_OK
            return time.monotonic() - began

        singly = sum(seconds(b"SELECT 1") for _ in range(100))
        assert seconds(b";".join([b"SELECT 1"] * 500)) < 5 * 2 * singly + 1


def test_a_connection_without_a_password_leaves_others_their_places(node):
    held = []
    try:
        while len(held) < 700:
            wire = Wire(node.postgres)
            wire.send(b"", struct.pack("!i", 196608) + b"user\0anonymous\0database\0ornl\0\0")
            tag, body = wire.message()
            if tag == b"E":
                assert state(body) == "53300"
                break
            held.append(wire)
        assert 8 <= len(held) < 700
    finally:
        for wire in held:
            wire.socket.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            with connect(node, "bob") as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            return
        except psycopg.OperationalError:
            time.sleep(0.2)
    pytest.fail("places are not given back")
