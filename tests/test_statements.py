"""Flight SQL statements by real clients: parameters, cancellation, renewal, sessions, and what is malformed."""

import threading
import time

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from adbc_driver_flightsql import ConnectionOptions, DatabaseOptions
from test_limits import SILENT, rests

SQL = "type.googleapis.com/arrow.flight.protocol.sql."


@pytest.fixture(scope="module")
def served(module_lab):
    """A running lab and two tokens."""
    lab = module_lab("ornl", start=True)
    tokens = [
        lab.run("token", "create", "--name", name, "--scope", "read", "--quiet").out.strip() for name in ["ann", "bob"]
    ]
    return lab, *tokens


@pytest.fixture
def adbc(served):
    lab, token, _ = served
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    with flightsql.connect(lab.flight_url, db_kwargs=options) as connection:
        yield connection


def field(number, data):
    """A length-delimited field of protobuf."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def command(kind, *fields):
    return field(1, (SQL + kind).encode()) + field(2, b"".join(fields))


def read_field(data, at=0):
    """A length-delimited field and where the next one begins."""
    length, shift, at = 0, 0, at + 1
    while True:
        byte, at = data[at], at + 1
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return data[at : at + length], at + length


def first_field(data):
    return read_field(data)[0]


def second_field(data):
    return read_field(data, read_field(data)[1])[0]


def options(token):
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())], timeout=30)


def plan(lab, token, sql):
    client = flight.connect(lab.flight_url)
    text = command("CommandStatementQuery", field(1, sql.encode()))
    return client, client.get_flight_info(flight.FlightDescriptor.for_command(text), options(token))


def test_parameters_are_bound_by_their_types(adbc):
    with adbc.cursor() as cursor:
        cursor.execute("SELECT ? + 1 AS n, ? AS t, ? AS x, ? AS nothing", (41, "it's; DROP", 0.5, None))
        assert cursor.fetchone() == (42, "it's; DROP", 0.5, None)
        cursor.execute("SELECT value FROM generate_series(1, 10) WHERE value BETWEEN $2 AND $1 ORDER BY value", (5, 3))
        assert cursor.fetchall() == [(3,), (4,), (5,)]
        cursor.execute("SELECT value FROM generate_series(1, 10) ORDER BY value LIMIT ? OFFSET ?", (2, 4))
        assert cursor.fetchall() == [(5,), (6,)]
        hostile = "x' OR '1'='1"
        cursor.execute("SELECT count(*) FROM (VALUES ('a'), ('b')) t(c) WHERE c = ?", (hostile,))
        assert cursor.fetchone() == (0,)


def test_a_prepared_statement_tells_what_it_takes_and_gives(adbc):
    with adbc.cursor() as cursor:
        taken = cursor.adbc_prepare("SELECT value FROM generate_series(1, 10) WHERE value > $1 AND 'a' = $2")
        assert taken.types == [pa.int64(), pa.string()]
        assert cursor.adbc_prepare("SELECT 1").names == []


def test_many_rows_of_values_give_the_answers_of_all_in_their_order(adbc):
    with adbc.cursor() as cursor:
        sql = "SELECT ? AS k, count(*) AS n FROM generate_series(1, 10) WHERE value < ?"
        rows = pa.record_batch({"k": ["b", "a", "c"], "below": pa.array([3, 11, 1], pa.int32())})
        cursor.adbc_statement.set_sql_query(sql)
        cursor.adbc_statement.prepare()
        cursor.adbc_statement.bind(rows)
        stream, _ = cursor.adbc_statement.execute_query()
        answer = pa.RecordBatchReader._import_from_c(stream.address).read_all()
        assert answer.to_pydict() == {"k": ["b", "a", "c"], "n": [2, 10, 0]}


@pytest.mark.parametrize(
    ("sql", "values", "text"),
    [
        ("SELECT 1 FROM generate_series(1, 2) WHERE value = ?", ("one",), "asks for Int64"),
        ("SELECT ? + ?", (1,), "2 parameter"),
        ("SELECT ?, $1", (1, 2), "all parameters as"),
        ("SELECT $1, $3", (1, 2), "leave numbers out"),
        ("SELECT $name", (1,), "not understood"),
        ("SELECT 1 FROM nothing WHERE a = ?", (1,), "nothing"),
    ],
)
def test_values_that_do_not_fit_are_refused(adbc, sql, values, text):
    with adbc.cursor() as cursor, pytest.raises(Exception, match=f"(?s){text}.*invalid_argument|{text}"):
        cursor.execute(sql, values)


def test_a_running_statement_is_cancelled(served):
    lab, token, other = served
    for action in ["CancelFlightInfo", "CancelQuery"]:
        client, info = plan(lab, token, SILENT["nested loop"])
        failure = []

        def read(client=client, info=info, failure=failure):
            try:
                client.do_get(info.endpoints[0].ticket, options(token)).read_all()
            except Exception as error:
                failure.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(1)
        message = field(1, info.serialize())
        body = message if action == "CancelFlightInfo" else command("ActionCancelQueryRequest", message)
        second = flight.connect(lab.flight_url)
        refused = list(second.do_action(flight.Action(action, body), options(other)))
        assert refused[0].body.to_pybytes()[-1] == 3, "not cancellable by another"
        assert reader.is_alive()
        began = time.monotonic()
        done = list(second.do_action(flight.Action(action, body), options(token)))
        assert done[0].body.to_pybytes()[-1] == 1
        reader.join(5)
        assert time.monotonic() - began < 20
        assert "cancelled" in str(failure[0])
    rests(lab)


def test_a_client_that_cancels_its_call_stops_the_work(served):
    lab, token, _ = served
    client, info = plan(lab, token, SILENT["hash join"])
    # pyarrow waits for the schema, which comes with the first rows: its deadline cancels the call.
    impatient = flight.FlightCallOptions(timeout=2, headers=[(b"authorization", f"Bearer {token}".encode())])
    with pytest.raises(flight.FlightTimedOutError):
        client.do_get(info.endpoints[0].ticket, impatient)
    rests(lab)


def test_a_ticket_expires_may_be_renewed_and_read_again(served):
    lab, token, other = served
    client, info = plan(lab, token, "SELECT count(*) AS n FROM generate_series(1, 7)")
    endpoint = info.endpoints[0]
    assert endpoint.expiration_time is not None
    assert client.do_get(endpoint.ticket, options(token)).read_all().to_pydict() == {"n": [7]}
    body = field(1, endpoint.serialize())
    renewed = list(client.do_action(flight.Action("RenewFlightEndpoint", body), options(token)))
    renewed = flight.FlightEndpoint.deserialize(renewed[0].body.to_pybytes())
    assert renewed.expiration_time.value >= endpoint.expiration_time.value
    assert client.do_get(renewed.ticket, options(token)).read_all().to_pydict() == {"n": [7]}
    with pytest.raises(pa.ArrowInvalid):
        list(client.do_action(flight.Action("RenewFlightEndpoint", body), options(other)))


def test_the_schema_of_a_prepared_statement_is_told(served):
    lab, token, other = served
    client = flight.connect(lab.flight_url)
    body = command("ActionCreatePreparedStatementRequest", field(1, b"SELECT value AS v FROM generate_series(1, 3)"))
    [made] = client.do_action(flight.Action("CreatePreparedStatement", body), options(token))
    handle = first_field(second_field(made.body.to_pybytes()))
    descriptor = flight.FlightDescriptor.for_command(command("CommandPreparedStatementQuery", field(1, handle)))
    assert client.get_schema(descriptor, options(token)).schema.names == ["v"]
    with pytest.raises(OSError, match="not made for you"):
        client.get_schema(descriptor, options(other))


def test_options_hold_for_the_session(served):
    lab, token, _ = served
    kwargs = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}",
        DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true",
    }
    with flightsql.connect(lab.flight_url, db_kwargs=kwargs) as connection:
        option = ConnectionOptions.OPTION_SESSION_OPTION_PREFIX.value
        connection.adbc_connection.set_options(**{option + "rows": "5"})
        with connection.cursor() as cursor:
            with pytest.raises(Exception, match="more than 5 rows"):
                cursor.execute("SELECT * FROM generate_series(1, 6)")
                cursor.fetchall()
            cursor.execute("SELECT * FROM generate_series(1, 5)")
            assert len(cursor.fetchall()) == 5
        with pytest.raises(Exception, match="(?i)rows|value"):
            connection.adbc_connection.set_options(**{option + "rows": "many"})
        with pytest.raises(Exception, match="(?i)colour|name"):
            connection.adbc_connection.set_options(**{option + "colour": "red"})
    with flightsql.connect(lab.flight_url, db_kwargs=kwargs) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM generate_series(1, 6)")
        assert len(cursor.fetchall()) == 6


def test_messages_stay_below_sixteen_mebibytes(adbc):
    with adbc.cursor() as cursor:
        cursor.execute("SELECT value, repeat('x', 20000) AS t FROM generate_series(1, 3000)")
        assert cursor.fetch_arrow_table().num_rows == 3000


@pytest.mark.parametrize(
    "ticket",
    [b"", b"{", b"TRN1", b"\x0a\xff", b"\xff" * 64, command("TicketStatementQuery", field(1, b"x" * 70)), command("Nothing")],
)
def test_malformed_tickets_and_messages_have_clean_codes(served, ticket):
    lab, token, _ = served
    client = flight.connect(lab.flight_url)
    clean = (pa.ArrowInvalid, flight.FlightUnauthorizedError, pa.ArrowNotImplementedError, KeyError)
    with pytest.raises(clean):
        client.do_get(flight.Ticket(ticket), options(token)).read_all()
    with pytest.raises(clean):
        client.get_flight_info(flight.FlightDescriptor.for_command(ticket), options(token))
    with pytest.raises(clean):
        list(client.do_action(flight.Action("CreatePreparedStatement", ticket), options(token)))
    for kind in ["SetSessionOptions", "CancelFlightInfo", "RenewFlightEndpoint", "CancelQuery"]:
        try:
            list(client.do_action(flight.Action(kind, ticket), options(token)))
        except clean:
            pass
    writer, _ = client.do_put(flight.FlightDescriptor.for_command(ticket), pa.schema([("a", pa.int8())]), options(token))
    with pytest.raises(clean):
        writer.close()
