"""What needs no node."""

import json
import pickle

import pyarrow as pa
import pyarrow.flight as flight
import pytest
import tarn
from tarn import errors
from tarn._wire import statement


def test_a_statement_is_the_protobuf_of_flight_sql():
    sql = "SELECT " + "x" * 300
    message = statement(sql)
    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    # Any: type_url = 1, value = 2; CommandStatementQuery: query = 1; 307 = 0xb3 0x02 as varint.
    assert message == b"\x0a" + bytes([len(kind)]) + kind + b"\x12\xb6\x02" + b"\x0a\xb3\x02" + sql.encode()


def test_errors_carry_the_code_and_only_the_text_of_the_node():
    error = errors.translate(
        pa.ArrowInvalid(
            'Flight returned invalid argument error, with message: no column "x" [invalid_argument]. gRPC client debug context: y'
        )
    )
    assert isinstance(error, errors.InvalidArgument)
    assert str(error) == 'no column "x"'
    error = errors.translate(flight.FlightUnavailableError("no connection"))
    assert isinstance(error, errors.Unavailable)
    assert errors.translate(flight.FlightInternalError("lost [data_loss]")).code == "data_loss"


def test_a_cursor_is_read_by_its_documented_layout():
    metadata = b"TRNC" + bytes.fromhex("0100 0100 0807060504030201 09000000 00010000 0300000000000000 0004000000000000")
    cursor = tarn.Cursor.parse(metadata + bytes(8))
    assert cursor[:6] == (0x0102030405060708, 9, 256, 3, 1024, True)
    with pytest.raises(tarn.TarnError):
        tarn.Cursor.parse(bytes(48))


def test_a_home_folder_names_its_flight_address(tmp_path, monkeypatch):
    monkeypatch.delenv("TARN_FLIGHT", raising=False)
    (tmp_path / "tarn.toml").write_text('lab = "ornl"\nflight = "127.0.0.1:9999"\n')
    assert tarn.connect(tmp_path).url == "grpc://127.0.0.1:9999"
    with pytest.raises(errors.NotFound):
        tarn.connect(tmp_path / "nowhere")


def test_a_stream_is_pickled_without_its_connection():
    stream = tarn.connect("grpc://127.0.0.1:1", token="t").stream("a.b.c", seed=3)
    again = pickle.loads(pickle.dumps(stream))
    assert json.dumps(again.request) == json.dumps(stream.request)


def test_a_state_of_another_stream_is_refused():
    stream = tarn.connect("grpc://127.0.0.1:1").stream("a.b.c", seed=3, batch_size=8)
    state = {
        "format": 1,
        "plan_id": "x",
        "epoch": 0,
        "position": 8,
        "seed": 4,
        "global_batch": 8,
        "versions": {"a.b": 1},
    }
    with pytest.raises(errors.InvalidArgument, match="seed"):
        stream.load_state(state)
    stream.load_state({**state, "seed": 3})


def test_a_stored_login_is_for_its_own_node(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert tarn.connect("grpc://127.0.0.1:8815")._token is None
    (tmp_path / "tarn").mkdir()
    stored = tmp_path / "tarn" / "logins.json"
    late, ended = "2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
    logins = {
        "http://127.0.0.1:8080": {"flight": "http://127.0.0.1:8815", "token": "t1", "expires_at": late},
        "https://lab:443": {"flight": "https://lab:1", "token": "t2", "expires_at": late},
        "https://lab:444": {"flight": "https://lab:2", "token": "t3", "expires_at": ended},
        # A node that names the Flight address of another.
        "https://evil:443": {"flight": "https://lab:3", "token": "t4", "expires_at": late},
    }
    stored.write_text(json.dumps({"logins": logins}))
    assert tarn.connect("grpc://127.0.0.1:8815")._token == "t1"
    assert tarn.connect("grpc+tls://LAB:1")._token == "t2"
    # What came by TLS does not leave without it; what was said counts more.
    for url in ("grpc://lab:1", "grpc+tcp://lab:1", "grpc://127.0.0.1:8816", "grpc+tls://lab:2", "grpc+tls://lab:3"):
        assert tarn.connect(url)._token is None, url
    assert tarn.connect("grpc://127.0.0.1:8815", token="own")._token == "own"
    assert tarn.connect("grpc://127.0.0.1:8815", token="")._token is None
    again = {**logins, "https://lab:445": {"flight": "https://lab:1", "token": "t5", "expires_at": late}}
    stored.write_text(json.dumps({"logins": again}))
    with pytest.raises(tarn.errors.Unauthenticated, match="several logins"):
        tarn.connect("grpc+tls://lab:1")
    for broken in ("", "[]", "{}", '{"logins": 7}', '{"logins": {"a": 7}}'):
        stored.write_text(broken)
        assert tarn.connect("grpc://127.0.0.1:8815")._token is None, broken
