"""What changes something and is sent again with the same key is done once."""

import concurrent.futures
import json
import socket
import sqlite3
import time

import pytest
import requests
from fields import random_netcdf
from records import COMPLETE

TERMS = {"id": "https://tarn.example/terms", "sha256": "0" * 64}


def token(lab, name, scope="write"):
    text = lab.run("token", "create", "--name", name, "--scope", scope, "--quiet").out.strip()
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def lab(new_lab, tmp_path):
    """A lab that serves, with a file in a store, and heads of requests of three people."""
    data = tmp_path / "data"
    data.mkdir()
    lab = new_lab("ornl", start=True, settings=f'[stores.data]\nurl = "{data}"\n')
    lab.file = random_netcdf(data / "x.nc", 5, "NETCDF4", "noleap")
    lab.api = f"{lab.http_url}/api/v1"
    lab.ann, lab.bob, lab.root = token(lab, "ann"), token(lab, "bob"), token(lab, "root", "admin")
    return lab


def send(method, url, who, key, body=None, **headers):
    headers = {**who, **headers}
    if key is not None:
        headers["Idempotency-Key"] = key
    return requests.request(method, url, json=body, headers=headers, timeout=60)


def test_a_repeated_request_gives_the_first_answer(lab):
    record = {**COMPLETE, "name": "x", "files": [str(lab.file)]}
    saved = send("PUT", f"{lab.api}/drafts/x", lab.ann, '"save-1"', record)
    again = send("PUT", f"{lab.api}/drafts/x", lab.ann, '"save-1"', record)
    assert saved.status_code == again.status_code == 200 and saved.content == again.content
    # With its tag, and not done again: that would be a second revision.
    assert saved.headers["etag"] == again.headers["etag"] == '"1"'
    assert "idempotency-replayed" not in saved.headers and again.headers["idempotency-replayed"] == "true"
    # In quotes or without it is one key.
    assert send("PUT", f"{lab.api}/drafts/x", lab.ann, "save-1", record).headers["idempotency-replayed"] == "true"
    done = send("POST", f"{lab.api}/drafts/x/submit", lab.ann, "submit-1")
    again = send("POST", f"{lab.api}/drafts/x/submit", lab.ann, "submit-1")
    assert done.status_code == again.status_code == 201 and done.content == again.content
    assert done.headers["location"] == again.headers["location"]
    # Without the key the draft is gone.
    assert send("POST", f"{lab.api}/drafts/x/submit", lab.ann, None).status_code == 404
    # What has no body has none again.
    assert send("PUT", f"{lab.api}/drafts/y", lab.ann, None, {"name": "y"}).status_code == 200
    gone = [send("DELETE", f"{lab.api}/drafts/y", lab.ann, "gone") for _ in range(2)]
    assert [answer.status_code for answer in gone] == [204, 204] and gone[1].content == b""


def test_a_key_is_of_one_request_of_one_person(lab):
    url = f"{lab.api}/drafts/x"
    assert send("PUT", url, lab.ann, "k", {"name": "x"}).status_code == 200
    for other in (
        send("PUT", url, lab.ann, "k", {"name": "x", "title": "t"}),
        send("PUT", f"{lab.api}/drafts/y", lab.ann, "k", {"name": "x"}),
        send("DELETE", url, lab.ann, "k"),
        send("PUT", url, lab.ann, "k", {"name": "x"}, **{"If-Match": '"9"'}),
    ):
        assert other.status_code == 400 and "Idempotency-Key" in other.json()["detail"], other.text
    # Another person's key of the same text is another key: bob is told that the draft is ann's.
    assert send("PUT", url, lab.bob, "k", {"name": "x"}).status_code == 409
    for wrong in ("", '""', "x" * 256):
        assert send("PUT", url, lab.ann, wrong, {"name": "x"}).status_code == 400
    assert send("PUT", url, {}, "k", {"name": "x"}).status_code == 403
    assert send("PUT", url, {"Authorization": "Bearer tarn_t_00000000_x"}, "k", {"name": "x"}).status_code == 401
    # Reading takes no key, and is not hindered by one.
    assert send("GET", url, lab.ann, "").status_code == 200
    sql = send("POST", f"{lab.api}/sql", lab.ann, "k", {"query": "select 1 as one"}, Accept="application/json")
    assert sql.status_code == 200


def test_what_was_refused_runs_anew(lab):
    url = f"{lab.api}/drafts/x"
    assert send("POST", f"{url}/submit", lab.ann, "s").status_code == 404
    record = {**COMPLETE, "name": "x", "files": [str(lab.file)]}
    assert send("PUT", url, lab.ann, None, record).status_code == 200
    assert send("POST", f"{url}/submit", lab.ann, "s").status_code == 201


def test_of_many_at_once_one_runs(lab):
    held = {**COMPLETE, "name": "w", "tier": "registered", "terms": TERMS, "files": [str(lab.file)]}
    assert send("PUT", f"{lab.api}/drafts/w", lab.ann, None, held).status_code == 200
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: send("PUT", f"{lab.api}/drafts/w", lab.ann, "once", held), range(24)))
    codes = {answer.status_code for answer in answers}
    assert codes <= {200, 409}, codes
    revisions = {answer.headers["etag"] for answer in answers if answer.status_code == 200}
    assert revisions == {'"2"'}
    # Whoever was told that it runs asks again.
    assert send("PUT", f"{lab.api}/drafts/w", lab.ann, "once", held).headers["etag"] == '"2"'


def test_a_secret_is_told_once_and_not_kept(lab):
    body = {"name": "carol", "scope": "read", "days": 7}
    made = send("POST", f"{lab.api}/tokens", lab.root, "t", body)
    assert made.status_code == 201 and made.headers["cache-control"] == "no-store"
    again = send("POST", f"{lab.api}/tokens", lab.root, "t", body)
    assert again.status_code == 409 and "once" in again.json()["detail"]
    tokens = requests.get(f"{lab.api}/tokens", headers=lab.root, timeout=60).json()["tokens"]
    assert [one["name"] for one in tokens].count("carol") == 1
    secret = made.json()["token"].encode()
    for file in (lab.home / "catalog").glob("catalog.sqlite*"):
        assert secret not in file.read_bytes()


def test_a_request_that_was_cut_is_not_run_again(lab):
    """The server dies while a request runs: nobody knows whether it took effect."""
    body = {"name": "x"}
    assert send("PUT", f"{lab.api}/drafts/x", lab.ann, "cut", body).status_code == 200
    lab.stop()
    place = next(lab.home.rglob("catalog.sqlite"))
    with sqlite3.connect(place) as database:
        # As it stood before its end was noted.
        assert database.execute("UPDATE keyed_request SET status = 0, headers = NULL, body = NULL").rowcount == 1
    lab.start()
    api = f"{lab.http_url}/api/v1"
    cut = send("PUT", f"{api}/drafts/x", lab.ann, "cut", body)
    assert cut.status_code == 409 and "took effect" in cut.json()["detail"]
    assert send("GET", f"{api}/drafts/x", lab.ann, None).headers["etag"] == '"1"'
    # After a day nobody knows the key any more.
    lab.stop()
    with sqlite3.connect(place) as database:
        database.execute("UPDATE keyed_request SET begun_at = '2026-01-01T00:00:00.000000Z'")
    lab.start()
    anew = send("PUT", f"{lab.http_url}/api/v1/drafts/x", lab.ann, "cut", body)
    assert anew.status_code == 200 and anew.headers["etag"] == '"2"'


def test_no_key_hangs_when_clients_hang_up(lab):
    """Connections that close at every moment after the request was sent: each key is answered all the same."""
    host, port = lab.http_url.removeprefix("http://").split(":")
    body = json.dumps({"name": "h"}).encode()
    for number in range(120):
        head = f"PUT /api/v1/drafts/h HTTP/1.1\r\nHost: {host}\r\nAuthorization: {lab.ann['Authorization']}\r\n"
        head += f"Idempotency-Key: h{number}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body)
            time.sleep(number % 30 / 2000)
    deadline = time.monotonic() + 60
    for number in range(120):
        while (answer := send("PUT", f"{lab.api}/drafts/h", lab.ann, f"h{number}", {"name": "h"})).status_code == 409:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
    # Each was done once: whatever came first of the two.
    assert send("GET", f"{lab.api}/drafts/h", lab.ann, None).headers["etag"] == '"120"'


def test_who_hangs_up_finds_it_done(lab):
    """A client goes away in the middle; the request runs to its end, once."""
    record = {**COMPLETE, "name": "x", "files": [str(lab.file)]}
    assert send("PUT", f"{lab.api}/drafts/x", lab.ann, None, record).status_code == 200
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{lab.api}/drafts/x/submit", headers={**lab.ann, "Idempotency-Key": "h"}, timeout=(5, 0.001))
    deadline = time.monotonic() + 30
    while (answer := send("POST", f"{lab.api}/drafts/x/submit", lab.ann, "h")).status_code == 409:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.status_code == 201, answer.text
    assert json.loads(lab.run("versions", "x", "--json").out)
