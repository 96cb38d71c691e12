"""Labs that know each other's records: what is told, what is taken back, who is away, and who lies."""

import base64
import datetime
import json
import signal
import subprocess
import threading
import time
import zlib

import pyarrow.flight as flight
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fields import random_netcdf
from records import write_record
from short_blake3 import blake3

HIDDEN = {
    "tier": "restricted",
    "exposure": "none",
    "license": None,
    "rights": "https://tarn.example/agreement",
    "terms": {"id": "https://tarn.example/terms", "sha256": "0" * 64},
    "agreement": {
        "id": "https://tarn.example/agreement",
        "sha256": "ab" * 32,
        "committee": "board",
        "months": 12,
        "purposes": ["research"],
    },
    "conditions": {"assurance": "low"},
    "human_data": False,
    "reviewed": {"by": "rev", "on": "2026-11-01"},
}


@pytest.fixture
def three(new_lab, tmp_path):
    """Three labs, every two of them peers, each with a public dataset `data`."""
    labs = [new_lab(name, start=True) for name in ("east", "north", "west")]
    for lab in labs:
        register(lab, tmp_path, "data", title=f"Fields of {lab.name}")
    for at, lab in enumerate(labs):
        for other in labs[at + 1 :]:
            lab.invite(other)
    return labs


def register(lab, folder, name, **changes):
    """Registers a dataset over a file of its own."""
    path = folder / f"{lab.name}_{name}.nc"
    if not path.exists():
        random_netcdf(path, zlib.crc32(f"{lab.name} {name}".encode()) % 1000, "NETCDF4", "noleap")
    record = write_record(folder / f"{lab.name}_{name}.yaml", [path], name=name, **changes)
    return lab.run("register", record)


def found(lab, text="", **params):
    """What a lab finds, over HTTP: names, the answer, and its sites by lab."""
    answer = requests.get(f"{lab.http_url}/api/v1/search", params={"q": text, **params}, timeout=60)
    assert answer.status_code == 200, answer.text
    answer = answer.json()
    sites = {site["lab"]: site for site in answer["sites"]}
    return {f"{hit['lab']}.{hit['name']}" for hit in answer["hits"]}, answer, sites


def until(what, seconds=30):
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = what()
            assert answer
            return answer
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def roots(lab):
    """Roots of the hash trees by peer: there, and here."""
    statuses = lab.run("peer", "status", "--verify", "--json").json()
    return {one["lab"]: (one["verified"]["root"], one["verified"]["own_root"]) for one in statuses}


def test_records_are_told_changed_hidden_and_retracted(three, tmp_path):
    east, north, west = three
    names = {"east.data", "north.data", "west.data"}
    for lab in three:
        until(lambda lab=lab: found(lab)[0] == names)
    # Of one's own alone: lists, exports, harvests.
    assert [one["name"] for one in requests.get(f"{east.http_url}/api/v1/datasets", timeout=60).json()["datasets"]] == ["data"]
    harvest = requests.get(f"{east.http_url}/oai?verb=ListRecords&metadataPrefix=oai_dc", timeout=60).text
    assert "Fields of east" in harvest and "Fields of west" not in harvest
    east.run("export", "west.data", "--as", "datacite", code=None)
    counts = dict(found(east, facet="lab")[1]["facets"]["lab"])
    assert counts == {"east": 1, "north": 1, "west": 1}

    register(west, tmp_path, "data", title="Fields of glaciers")
    register(west, tmp_path, "secret", **HIDDEN)
    register(west, tmp_path, "later")
    west.run("ingest", tmp_path / "west_data.nc", "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon")
    for lab in (east, north):
        until(lambda lab=lab: found(lab, "glaciers")[0] == {"west.data"})
        until(lambda lab=lab: found(lab)[0] == names | {"west.later"})
        [hit] = found(lab, "glaciers")[1]["hits"]
        until(lambda lab=lab: found(lab, "glaciers")[1]["hits"][0]["tables"][0][0] == "cells")
        assert "secret" not in json.dumps(found(lab, "secret")[1])
    for lab in (east, north):
        for place in lab.home.glob("catalog.sqlite*"):
            assert b"secret_cells" not in place.read_bytes()
            assert str(tmp_path / "west_data.nc").encode() not in place.read_bytes(), "where files are was told"

    # What is closed is taken back, and what is retracted is found no more, and says why.
    register(west, tmp_path, "later", **HIDDEN)
    west.run("retract", "data", "--reason", "the sensor was upside down", "--yes", code=None)
    answer = requests.post(
        f"{west.http_url}/api/v1/datasets/west/data/retract",
        json={"reason": "the sensor was upside down"},
        headers={"Authorization": f"Bearer {west.run('token', 'create', '--name', 'wes', '--scope', 'write', '--quiet').out.strip()}"},
        timeout=60,
    )
    assert answer.status_code in (200, 409), answer.text
    for lab in (east, north):
        until(lambda lab=lab: found(lab)[0] == {"east.data", "north.data"})
        shown = lab.run("show", "west.data", "--json").json()
        assert shown["withdrawn"]["reason"] == "the sensor was upside down"
        assert lab.run("show", "west.later", code=4)
    for lab in three:
        for peer, (root, own) in roots(lab).items():
            assert root == own, (lab.name, peer)


def test_search_goes_on_while_labs_are_killed_and_they_converge_afterwards(three, tmp_path):
    east, north, west = three
    names = {"east.data", "north.data", "west.data"}
    until(lambda: found(east)[0] == names)

    def took():
        times = []
        for _ in range(20):
            began = time.perf_counter()
            assert found(east)[0] == names
            times.append(time.perf_counter() - began)
        return sorted(times)[10]

    up = took()
    west.process.kill()
    west.process.wait()
    north.process.send_signal(signal.SIGSTOP)
    # At once, before anybody has noticed, and after it.
    assert took() < up * 3 + 0.05
    sites = until(lambda: [s for s in [found(east)[2]] if s["west"]["state"] == "unreachable"])[0]
    assert sites["west"]["status"] == "ok" and sites["west"]["rows"] == 1
    assert sites["west"]["as_of"] and sites["west"]["age_seconds"] >= 0 and sites["west"]["error"]
    until(lambda: found(east)[2]["north"]["state"] == "unreachable")
    assert took() < up * 3 + 0.05
    shown = east.run("show", "west.data", "--json").json()
    assert (shown["state"], shown["record"]["title"]) == ("unreachable", "Fields of west")
    assert "unreachable" in east.run("search", "fields").err
    assert "west" in east.run("peer", "status", code=1).out

    # What happens meanwhile is there afterwards.
    north.process.send_signal(signal.SIGCONT)
    register(west, tmp_path, "new")
    register(west, tmp_path, "data", **HIDDEN)
    west.start()
    for lab in (east, north):
        until(lambda lab=lab: found(lab)[0] == {"east.data", "north.data", "west.new"}, 90)
        assert found(lab)[2]["west"]["state"] == "current"
    for lab in three:
        until(lambda lab=lab: all(root == own for root, own in roots(lab).values()), 60)


def test_a_silent_lab_is_stale_after_the_time_that_it_allows(new_lab, tmp_path):
    east = new_lab("east", start=True)
    west = new_lab("west", env={"TARN_PEER_GRACE_SECONDS": "8"}, start=True)
    register(west, tmp_path, "data")
    west.invite(east)
    until(lambda: found(east)[2]["west"]["state"] == "current")
    assert "stale" not in found(east)[1]["hits"][0]
    west.stop()
    until(lambda: found(east)[2]["west"]["state"] == "unreachable")
    until(lambda: found(east)[2]["west"]["state"] == "stale")
    [hit] = found(east)[1]["hits"]
    assert hit["stale"] is True
    assert "(stale)" in east.run("search").out
    west.start()
    until(lambda: found(east)[2]["west"]["state"] == "current", 90)
    assert "stale" not in found(east)[1]["hits"][0]


def test_drift_is_named_and_repaired(three, tmp_path):
    import sqlite3

    east, _, west = three
    for name in ("b", "c", "d"):
        register(west, tmp_path, name)
    until(lambda: {"west.b", "west.c", "west.d"} <= found(east)[0])
    east.stop()
    database = sqlite3.connect(east.home / "catalog.sqlite")
    with database:
        database.execute("UPDATE replica SET hash = 'x' WHERE lab = 'west' AND dataset = 'b'")
        database.execute("DELETE FROM replica WHERE lab = 'west' AND dataset = 'c'")
        database.execute("UPDATE replica SET dataset = 'ghost' WHERE lab = 'west' AND dataset = 'd'")
    database.close()
    status = east.run("peer", "status", "--verify", "--json", code=5).json()
    [verified] = [one["verified"] for one in status if one["lab"] == "west"]
    assert not verified["equal"] and verified["root"] != verified["own_root"]
    assert verified["drift"] == {"missing": ["c", "d"], "extra": ["ghost"], "differing": ["b"]}
    synced = east.run("peer", "sync", "west", "--verify", "--json").json()
    assert synced[0]["verified"]["repaired"] and synced[0]["verified"]["equal"]
    east.run("peer", "status", "--verify")
    assert "nowhere" in east.run("peer", "sync", "nowhere", code=4).err
    east.start()
    assert {"west.b", "west.c", "west.d"} <= found(east)[0]
    assert "west.ghost" not in found(east)[0]


class Liar(flight.FlightServerBase):
    """A lab that speaks the wire, and says what a test wants it to."""

    def __init__(self):
        super().__init__("grpc://127.0.0.1:0")
        self.key = Ed25519PrivateKey.generate()
        self.lie = None
        self.asked = 0
        self.last = None

    @property
    def public(self):
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def event(self, sequence, name, **changes):
        content = changes.pop("content", None) or json.dumps(
            {
                "lab": "liar",
                "name": name,
                "version": 1,
                "ark": "ark:/99999/x",
                "tier": "public",
                "record": {"name": name, "title": f"Lies about {name}", "later_key": 1},
                "registered_at": "2026-11-22T00:00:00Z",
            }
        )
        return {
            "sequence": sequence,
            "kind": "upsert",
            "name": name,
            "hash": blake3(content.encode()),
            "content": content,
            **changes,
        }

    def do_action(self, context, action):
        request = json.loads(action.body.to_pybytes())
        assert action.type == "tarn.peer.feed", action.type
        self.asked += 1
        now = datetime.datetime.now(datetime.UTC)
        after = request["after"]
        statement = {
            "version": 1,
            "what": "page",
            "lab": "liar",
            "to": "east",
            "nonce": request["nonce"],
            "at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "feed": "f",
            "last": 9,
            "body": {
                "after": after,
                "through": {"upserts": 9, "retractions": 9},
                "complete": True,
                "grace_seconds": 60,
                "events": [self.event(1, "a"), self.event(2, "b")] if after["upserts"] < 9 else [],
            },
        }
        key = self.key
        if self.lie is not None:
            key = self.lie(statement, now) or key
        text = json.dumps(statement)
        signature = key.sign(b"tarn-feed-1\n" + text.encode()).hex()
        answer = f"{signature}\n{text}".encode()
        if self.last is not None:
            answer = self.last
        self.sent = answer
        yield flight.Result(answer)


def hours(statement, now, by):
    statement["at"] = (now + datetime.timedelta(hours=by)).strftime("%Y-%m-%dT%H:%M:%SZ")


def events(change):
    return lambda statement, _: change(statement["body"]["events"])


def oversized(found):
    found[0]["content"] = " " * ((1 << 20) + 1)


LIES = {
    "the signature": lambda *_: Ed25519PrivateKey.generate(),
    "an older answer": lambda statement, _: statement.update(nonce="another"),
    "neither of which": lambda statement, _: statement.update(to="north"),
    "the clock": lambda statement, now: hours(statement, now, 1),
    "the clock of lab liar is -36": lambda statement, now: hours(statement, now, -1),
    "events are missing": lambda statement, _: statement["body"]["after"].update(upserts=5),
    "does not come behind": events(lambda found: found.reverse()),
    "1048576 are taken": events(oversized),
    "does not have its hash": events(lambda found: found[0].update(hash="ab" * 32)),
    "it is of liar.a": events(lambda found: found[0].update(name="c")),
    "much newer Tarn": lambda statement, _: statement.update(version=2),
}


def test_a_lying_peer_is_refused_and_changes_nothing(new_lab, tmp_path):
    east = new_lab("east", start=True)
    register(east, tmp_path, "data")
    liar = Liar()
    liar.lie = LIES["the signature"]
    threading.Thread(target=liar.serve, daemon=True).start()
    invitation = east.run("peer", "invite", "--quiet").out.strip().removeprefix("tarn-invite:")
    invitation = json.loads(base64.urlsafe_b64decode(invitation + "=" * (-len(invitation) % 4)))
    assert len(invitation["key"]) == 64
    address = f"http://127.0.0.1:{liar.port}"
    accept = {"lab": "liar", "flight": address, "http": address, "secret": invitation["secret"], "key": liar.public}
    list(flight.connect(east.flight_url).do_action(flight.Action("tarn.peer.accept", json.dumps(accept).encode())))
    for said, lie in LIES.items():
        liar.lie = lie
        done = east.run("peer", "sync", "liar", code=5)
        assert said in done.err, done.err
        names, _, sites = found(east)
        assert names == {"east.data"}, said
        assert sites["liar"]["status"] != "ok" and sites["liar"]["state"] == "unreachable"
    status = east.run("peer", "status", "--json", code=1).json()
    assert status[0]["replica"]["position"] == {"upserts": 0, "retractions": 0}
    assert status[0]["replica"]["problem"]
    # An answer that was right once, again.
    liar.lie = None
    east.run("peer", "sync", "liar")
    assert found(east)[0] == {"east.data", "liar.a", "liar.b"}
    liar.last = liar.sent
    assert "older answer" in east.run("peer", "sync", "liar", code=5).err
    liar.last = None
    # What it took back is gone.
    gone = {"sequence": 10, "kind": "tombstone", "name": "a", "hash": "", "content": ""}

    def take_back(statement, _):
        statement["last"] = 10
        statement["body"].update(through={"upserts": 10, "retractions": 10}, events=[gone])

    liar.lie = take_back
    east.run("peer", "sync", "liar")
    assert found(east)[0] == {"east.data", "liar.b"}
    liar.shutdown()


def test_a_stranger_is_told_nothing(three):
    east, *_ = three
    for kind in ("feed", "tree", "records", "record"):
        body = {"nonce": "x", "after": {"upserts": 0, "retractions": 0}, "level": 0, "nodes": [0], "names": ["data"]}
        body["name"] = "data"
        action = flight.Action(f"tarn.peer.{kind}", json.dumps(body).encode())
        with pytest.raises(flight.FlightUnauthenticatedError):
            list(flight.connect(east.flight_url).do_action(action))


def test_a_federation_to_try_things_out_with(binary, tmp_path):
    folder = tmp_path / "federation"
    command = [binary, "--json", "dev", "federation", "--labs", "3", "--folder", folder, "--latency", "20ms"]

    def start(*more):
        process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process, json.loads(line)["labs"]

    def search(lab):
        answer = requests.get(f"{lab['http']}/api/v1/search", params={"q": "sample"}, timeout=60).json()
        return {hit["lab"] for hit in answer["hits"]}

    process, labs = start("--down", "lab3")
    try:
        assert [lab["lab"] for lab in labs] == ["lab1", "lab2", "lab3"]
        assert labs[2]["pid"] is None
        for lab in labs[:2]:
            until(lambda lab=lab: search(lab) == {"lab1", "lab2", "lab3"})
        answer = requests.post(
            f"{labs[0]['http']}/api/v1/sql", json={"query": "SELECT count(tas) AS n FROM lab2.sample.sample"}, timeout=60
        )
        assert answer.json()["rows"] == [{"n": 24 * 9 * 18}], answer.text
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert process.returncode == 0
    with pytest.raises(requests.ConnectionError):
        search(labs[0])
    assert (folder / "lab1" / "catalog.sqlite").exists()
    # Again, as it was; removed when told to.
    process, again = start("--remove")
    try:
        assert [lab["http"] for lab in again] == [lab["http"] for lab in labs]
        until(lambda: search(again[2]) == {"lab1", "lab2", "lab3"})
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0 and not folder.exists()
