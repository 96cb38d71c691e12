"""The audit log: who read and did what, proofs that others can check, and tampering that shows."""

import hashlib
import json
import sqlite3

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fields import random_netcdf
from records import write_record

TERMS = {"id": "https://tarn.example/terms", "sha256": "0" * 64}


def prepare(new_lab, tmp_path):
    """A lab with a registered dataset that ann reads and nobody else may."""
    lab = new_lab("ornl")
    path = random_netcdf(tmp_path / "x.nc", 5, "NETCDF4", "noleap")
    record = write_record(tmp_path / "x.yaml", [path], name="x", tier="registered", terms=TERMS)
    lab.run("register", record)
    lab.run("ingest", path, "--dataset", "x", "--table", "cells", "--grid", "time_lat_lon")
    ann = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    root = lab.run("token", "create", "--name", "root", "--scope", "admin", "--quiet").out.strip()
    lab.start()
    return lab, ann, root


def get(lab, path, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(f"{lab.http_url}{path}", headers=headers, timeout=60)


def query(lab, text, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(f"{lab.http_url}/api/v1/sql", json={"query": text}, headers=headers, timeout=60)


def canonical(value):
    """RFC 8785 for what is in entries and heads: texts and small numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def tree(leaves):
    """The Merkle tree hash by its definition in RFC 9162, 2.1.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node(tree(leaves[:half]), tree(leaves[half:]))


def test_reads_and_acts_are_in_a_log_that_others_can_check(new_lab, tmp_path):
    lab, ann, root = prepare(new_lab, tmp_path)
    assert query(lab, "SELECT count(*) FROM x.cells", ann).status_code == 200
    assert query(lab, "SELECT count(*) FROM x.cells").status_code == 403
    assert get(lab, "/api/v1/audit", ann).status_code == 403
    entries = get(lab, "/api/v1/audit", root).json()
    reads = [(entry["person"], entry["outcome"]) for entry in entries if entry["act"] == "read"]
    assert reads == [("person:ann", "allowed"), ("anonymous", "refused")]
    assert get(lab, "/api/v1/audit?person=person:ann", root).json() == [e for e in entries if e["person"] == "person:ann"]
    assert [e["act"] for e in get(lab, "/api/v1/audit?dataset=ornl.x&limit=2", root).json()] == ["register", "put-tables"]
    assert get(lab, "/api/v1/audit?until=2026-01-01", root).json() == []
    assert lab.run("audit", "list", "--json").json() == entries
    assert "person:ann" in lab.run("audit", "list", "--person", "ann").out
    # The chain, the tree and the signature, by the standards' own words.
    leaves, previous = [], tree([])
    for number, entry in enumerate(entries):
        assert entry["sequence"] == number and entry["previous"] == previous.hex()
        previous = leaf(canonical(entry))
        leaves.append(previous)
    head = get(lab, "/api/v1/audit/head", root).json()
    assert head["size"] == len(entries) and head["root"] == tree(leaves).hex() and head["lab"] == "ornl"
    signed = canonical({key: value for key, value in head.items() if key != "signature"})
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(head["key"])).verify(bytes.fromhex(head["signature"]), signed)
    assert get(lab, "/api/v1/audit/head").status_code == get(lab, "/api/v1/audit/head", ann).status_code == 403
    proof = get(lab, f"/api/v1/audit/inclusion?sequence=0&size={len(entries)}", root).json()["hashes"]
    found = leaves[0]
    for sibling in proof:
        found = node(found, bytes.fromhex(sibling))
    assert found == tree(leaves)
    same = get(lab, f"/api/v1/audit/consistency?first={len(entries)}&second={len(entries)}", root)
    assert same.json()["hashes"] == []
    assert get(lab, "/api/v1/audit/consistency?first=1&second=1000", root).status_code == 400
    assert lab.home.joinpath("audit.key").stat().st_mode & 0o77 == 0


def test_verify_names_the_first_entry_that_was_changed(new_lab, tmp_path):
    lab, ann, _ = prepare(new_lab, tmp_path)
    query(lab, "SELECT count(*) FROM x.cells", ann)
    lab.stop()
    whole = lab.run("audit", "verify", "--json").json()
    head = tmp_path / "head.json"
    head.write_text(json.dumps(whole["head"]))
    log = tmp_path / "log.json"
    log.write_text(lab.run("audit", "list", "--json").out)
    assert lab.run("audit", "verify", "--head", head).out.startswith(f"{whole['entries']} entries")
    lab.run("audit", "verify", log, "--head", head)
    # Without the home: an entry of the file is changed.
    entries = json.loads(log.read_text())
    entries[2]["person"] = "person:eve"
    log.write_text(json.dumps(entries))
    refused = lab.run("audit", "verify", log, code=5)
    assert "entry 2 " in refused.err
    with sqlite3.connect(lab.home / "catalog.sqlite") as database:
        database.execute("UPDATE audit SET entry = replace(entry, 'person:ann', 'person:eve') WHERE person = 'person:ann'")
    refused = lab.run("audit", "verify", code=5)
    bad = next(entry["sequence"] for entry in entries if entry["person"] == "person:ann")
    assert f"entry {bad} " in refused.err
    with sqlite3.connect(lab.home / "catalog.sqlite") as database:
        database.execute("DELETE FROM audit WHERE sequence >= 3")
        database.execute("DELETE FROM audit_node WHERE filled_by >= 3")
        database.execute("DELETE FROM audit_head")
    lab.run("audit", "verify")
    assert "is missing" in lab.run("audit", "verify", "--head", head, code=5).err
