"""Clients that ask for much and do not read it: the node holds no more than a little for them, and goes on."""

import socket
import time

import pyarrow.flight as flight
import pytest
from test_limits import ask, rests
from test_statements import options, plan

# A terabyte of answer.
ENDLESS = "SELECT a.value AS a, b.value AS b, 'some text that takes place' AS c FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"


@pytest.fixture
def lab(new_lab):
    """A lab whose queries may run for eight seconds."""
    return new_lab("ornl", start=True, settings="\n[limits]\nseconds = 8\n")


def memory(lab):
    """MiB that the server holds."""
    with open(f"/proc/{lab.process.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) // 1024


def test_a_reader_over_http_that_does_not_read(lab):
    before = memory(lab)
    readers = []
    for _ in range(4):
        reader = socket.create_connection(("127.0.0.1", lab.http))
        body = f'{{"query": "{ENDLESS}"}}'
        reader.sendall(
            f"POST /api/v1/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/csv\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert reader.recv(12) == b"HTTP/1.1 200"
        readers.append(reader)
    time.sleep(3)
    assert memory(lab) - before < 400
    assert ask(lab, "SELECT 1 AS one").json()["rows"] == [{"one": 1}]
    # Stopped after their time, though nobody read on; the answer then ends before its end.
    rests(lab)
    readers[0].settimeout(20)
    rest = b""
    while chunk := readers[0].recv(1 << 20):
        rest = (rest + chunk)[-16:]
    assert not rest.endswith(b"0\r\n\r\n"), "an answer that was cut does not end as a whole one"
    for reader in readers:
        reader.close()


def test_a_reader_over_flight_that_does_not_read(lab):
    token = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    before = memory(lab)
    client, info = plan(lab, token, ENDLESS)
    reader = client.do_get(info.endpoints[0].ticket, options(token))
    assert reader.read_chunk().data.num_rows
    time.sleep(3)
    assert memory(lab) - before < 400
    other = flight.connect(lab.flight_url)
    assert list(other.list_actions(options(token)))
    rests(lab)
    with pytest.raises(Exception, match="(?i)more than 8 s|deadline|cancel"):
        while True:
            reader.read_chunk()
