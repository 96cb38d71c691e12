"""What a stranger may send without stopping anyone else: deep SQL, endless joins, half requests, huge values."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest

ENDLESS = [
    "SELECT count(*) FROM generate_series(1,1000000) a, generate_series(1,1000000) b WHERE (a.value*b.value)%7=3",
    "SELECT count(*) FROM generate_series(1,1000000) a JOIN generate_series(1,1000000) b ON a.value%3=b.value%3",
]
# Terms by kind: (a statement of so many, a number that is answered, a number that is refused).
DEEP = {
    "plus": (lambda n: "SELECT " + "+".join(["1"] * n), 300, 3200),
    "or": (lambda n: "SELECT " + " OR ".join(["1=1"] * n), 300, 3200),
    "concat": (lambda n: "SELECT " + "||".join(["'a'"] * n), 300, 20000),
    "cast": (lambda n: "SELECT 1" + "::int" * n, 900, 3200),
    "union": (lambda n: " UNION ALL ".join(["SELECT 1"] * n), 150, 800),
    "cross": (lambda n: "SELECT 1" + "".join(f"{' CROSS JOIN ' if i else ' FROM '}(VALUES (1)) a{i}(x)" for i in range(n)), 60, 800),
    "comma": (lambda n: "SELECT 1 FROM " + ", ".join(f"(VALUES (1)) a{i}(x)" for i in range(n)), 60, 800),
    "type": (lambda n: "SELECT CAST(NULL AS INT" + "[]" * n + ")", 30, 3200),
    "in": (lambda n: "SELECT 7 IN (" + ",".join(f"-{i}" for i in range(n)) + ")", 20000, None),
}


@pytest.fixture(scope="module")
def lab(module_lab):
    return next(iter_once(module_lab))


def iter_once(factory):
    yield factory("busy", start=True)


def ask(lab, sql, timeout=60):
    request = urllib.request.Request(
        f"{lab.http_url}/api/v1/sql",
        data=json.dumps({"query": sql}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def healthy(lab, timeout=5):
    with urllib.request.urlopen(f"{lab.http_url}/healthz", timeout=timeout) as answer:
        return answer.status == 200


def connect(lab):
    return socket.create_connection(("127.0.0.1", lab.http), timeout=60)


@pytest.mark.parametrize("kind", DEEP)
def test_deep_statements_are_refused_and_less_deep_ones_answered(lab, tarn, kind):
    make, answered, refused = DEEP[kind]
    assert ask(lab, make(answered))[0] == 200
    if refused is not None:
        status, text = ask(lab, make(refused))
        assert (status, "more than" in text) == (400, True), text
        done = tarn.run("sql", make(refused), code=None)
        assert done.code == 2 and "several statements" in done.err
    assert healthy(lab)


def test_values_beyond_the_bound_are_refused(lab):
    for call in ["repeat('a', 2000000000)", "lpad('a', 2000000000, 'b')", "range(0, 3000000000)", "array_repeat(1, 2000000000)"]:
        status, text = ask(lab, f"SELECT {call}")
        assert (status, "ask for less" in text) == (429, True), text
    assert ask(lab, "SELECT length(repeat('ab', 1000)) AS n")[0] == 200


@pytest.mark.parametrize("sql", ENDLESS)
def test_a_join_without_end_keeps_nobody_waiting(new_lab, sql):
    lab = new_lab("ornl", start=True)
    body = json.dumps({"query": sql}).encode()
    head = f"POST /api/v1/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    busy = [connect(lab) for _ in range(3)]
    for connection in busy:
        connection.sendall(head.encode() + body)
    time.sleep(3)
    for _ in range(5):
        assert healthy(lab)
        with urllib.request.urlopen(f"{lab.http_url}/api/v1/datasets", timeout=5) as answer:
            assert answer.status == 200
    # The queries are still running, and the signal ends the process all the same.
    began = time.monotonic()
    assert lab.stop(timeout=25) == 0
    assert time.monotonic() - began < 20
    for connection in busy:
        connection.close()


def test_half_a_request_does_not_keep_the_server(new_lab):
    lab = new_lab("ornl", start=True)
    head, body, silent = connect(lab), connect(lab), socket.create_connection(("127.0.0.1", lab.flight))
    head.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
    body.sendall(b"POST /api/v1/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    assert healthy(lab)
    began = time.monotonic()
    os.kill(lab.process.pid, signal.SIGTERM)
    assert lab.process.wait(25) == 0
    assert time.monotonic() - began < 20
    for connection in [head, body, silent]:
        connection.close()


def test_who_does_not_go_on_is_sent_away(lab):
    began = time.monotonic()
    mute, head = connect(lab), connect(lab)
    silent = socket.create_connection(("127.0.0.1", lab.flight), timeout=60)
    body = connect(lab)
    head.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
    body.sendall(b"POST /api/v1/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
    for connection in [mute, head, silent]:
        while connection.recv(4096):
            pass
    assert 10 < time.monotonic() - began < 28
    assert b"paused" in body.recv(4096)
    assert time.monotonic() - began < 50


def test_one_address_does_not_fill_the_doors(new_lab):
    lab = new_lab("ornl")
    command = lab.command
    # 64 places at each door, of which an address has 56.
    lab.command = lambda *args: ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *command(*args)]
    lab.start()
    lab.command = command
    hello = {lab.flight: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", lab.http: b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "}
    for port, said in hello.items():
        held = []
        try:
            for _ in range(80):
                held.append(socket.create_connection(("127.0.0.1", port), timeout=20, source_address=("127.0.0.2", 0)))
                held[-1].sendall(said)
            time.sleep(1)
            closed = 0
            for one in held:
                one.settimeout(0.2)
                try:
                    closed += one.recv(1) == b""
                except TimeoutError:
                    pass
                except ConnectionResetError:
                    closed += 1
            assert closed == 24, (port, closed)
            with socket.create_connection(("127.0.0.1", port), timeout=5) as other:
                whole = said if port == lab.flight else b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                other.sendall(whole)
                assert other.recv(9)
        finally:
            for one in held:
                one.close()
