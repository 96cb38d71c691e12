"""People and tokens over HTTP: for administrators alone, and all of it in the log."""

import requests
from fields import random_netcdf
from records import COMPLETE, write_record
from test_drafts import token
from test_oai import RESTRICTED


def test_an_administrator_says_what_is_known_of_people(new_lab):
    lab = new_lab("ornl", start=True)
    api = f"{lab.http_url}/api/v1"
    root, other, ann = token(lab, "root", "admin"), token(lab, "other", "admin"), token(lab, "ann")

    def ask(method, path, who, body=None):
        return requests.request(method, f"{api}{path}", json=body, headers=who, timeout=60)

    ocean = {"groups": ["ocean"], "clearances": ["CUI"], "countries": ["US"], "us_person": True}
    said = ask("PUT", "/people/ann", root, ocean)
    assert said.status_code == 200 and said.json()["subject"] == "person:ann"
    assert ask("GET", "/people/ann", root).json()["attributes"]["clearances"] == ["CUI"]
    # The command line says the same.
    assert "ocean" in lab.run("user", "list").out
    assert ask("GET", "/me", ann).json()["groups"] == ["ocean"]
    assert [one["subject"] for one in ask("GET", "/people", root).json()["people"]] == ["person:ann"]
    assert ask("PUT", "/people/bob@anl", root, {"groups": ["ice"]}).json()["subject"] == "visitor:anl:bob"
    # Nobody clears themselves; another administrator may.
    assert ask("PUT", "/people/root", root, ocean).status_code == 403
    assert ask("PUT", "/people/root", other, ocean).status_code == 200
    for path, body in (("/people/ann", {"colour": 1}), ("/people/ann", {"clearances": ["NO"]}), ("/people/ann", {"countries": ["usa"]})):
        assert ask("PUT", path, root, body).status_code in (400, 422), body
    assert ask("GET", "/people/eve", root).status_code == 404
    # Others learn nothing and change nothing.
    for who in (ann, {}):
        for method, path, body in (
            ("GET", "/people", None),
            ("GET", "/people/ann", None),
            ("GET", "/people/eve", None),
            ("PUT", "/people/ann", ocean),
            ("DELETE", "/people/ann", None),
            ("GET", "/tokens", None),
            ("POST", "/tokens", {"name": "ann", "scope": "admin"}),
            ("DELETE", "/tokens/root", None),
            ("POST", "/administrators/invitations", None),
        ):
            refused = ask(method, path, who, body)
            assert refused.status_code == 403 and refused.json()["code"] == "permission_denied", (method, path)
    assert ask("DELETE", "/people/ann", root).status_code == 204
    assert ask("DELETE", "/people/ann", root).status_code == 404
    assert ask("GET", "/me", ann).json()["groups"] == []
    acts = [entry for entry in ask("GET", "/audit", root).json() if entry["act"] in ("change-person", "remove-person")]
    assert {entry["person"] for entry in acts} == {"person:root", "person:other"}, acts


def test_no_administrator_is_two_people(new_lab, tmp_path):
    """What one administrator does alone, over the network, to clear themselves or to be a second person."""
    data = tmp_path / "data"
    data.mkdir()
    lab = new_lab("ornl", settings=f'[stores.data]\nurl = "{data}"\n')
    path = random_netcdf(data / "x.nc", 5, "NETCDF4", "noleap")
    closed = {**RESTRICTED, "exposure": "none"}
    lab.run("register", write_record(tmp_path / "c.yaml", [path], name="c", **closed))
    lab.run("user", "create", "gus", "--group", "dac")
    lab.start()
    api = f"{lab.http_url}/api/v1"
    root = token(lab, "root", "admin")

    def ask(method, path, who, body=None):
        return requests.request(method, f"{api}{path}", json=body, headers=who, timeout=60)

    # No administrator's token, and none in the name of somebody: not even of one of whom only a record speaks.
    assert ask("POST", "/tokens", root, {"name": "alter", "scope": "admin"}).status_code == 403
    token(lab, "carol")
    assert ask("PUT", "/people/dora", root, {"groups": ["dac"]}).status_code == 200
    for name in ("gus", "carol", "root", "dora"):
        refused = ask("POST", "/tokens", root, {"name": name, "scope": "write"})
        assert refused.status_code == 403, (name, refused.text)
    # Names that look like those of others are none.
    for name in ("root ", "root\u200b", "\u202eroot", "person:root", "LOGIN:x", "..", "a/b"):
        assert ask("POST", "/tokens", root, {"name": name}).status_code == 400, name
    made = ask("POST", "/tokens", root, {"name": "alter", "scope": "write"})
    assert made.status_code == 201
    alter = {"Authorization": f"Bearer {made.json()['token']}"}
    # Of a program of one's own one says as little as of oneself, and it decides about nothing.
    for who in ("alter", "root"):
        assert ask("PUT", f"/people/{who}", root, {"groups": ["dac"]}).status_code == 403, who
        assert ask("DELETE", f"/people/{who}", root).status_code == 403, who
    # Nor does anybody say something of it who takes it for a person, or make that person a token.
    for made in (("user", "create", "alter", "--group", "dac"), ("token", "create", "--name", "alter")):
        assert "program" in lab.run(*made, code=None).err, made
    line = next(one for one in lab.run("token", "list", "--json").json() if one["name"] == "alter")
    assert line["made_by"] == "person:root"
    record = {**COMPLETE, "name": "w", "tier": "registered", "terms": RESTRICTED["terms"], "files": [str(path)]}
    other = random_netcdf(data / "y.nc", 6, "NETCDF4", "noleap")
    record["files"] = [str(other)]
    assert ask("PUT", "/drafts/w", root, record).status_code == 200
    assert ask("POST", "/drafts/w/submit", root).status_code == 202
    refused = ask("POST", "/drafts/w/approve", alter, {"revision": 2})
    assert refused.status_code == 403 and "program" in refused.json()["detail"], refused.text
    # Nor does its maker approve what it submits.
    record["name"] = "v"
    third = random_netcdf(data / "z.nc", 7, "NETCDF4", "noleap")
    record["files"] = [str(third)]
    assert ask("PUT", "/drafts/v", alter, record).status_code == 200
    assert ask("POST", "/drafts/v/submit", alter).status_code == 202
    assert ask("POST", "/drafts/v/approve", root, {"revision": 2}).status_code == 403
    gus = token(lab, "gus")
    assert ask("POST", "/drafts/v/approve", gus, {"revision": 2}).status_code in (201, 404)
    # A token whose id somebody takes for a name is revoked by itself.
    identity = next(one["id"] for one in ask("GET", "/tokens", root).json()["tokens"] if one["name"] == "carol")
    token(lab, identity)
    assert ask("DELETE", f"/tokens/{identity}", root).json() == {"revoked": 1}


def test_an_administrator_makes_and_revokes_tokens(new_lab):
    lab = new_lab("ornl")
    (lab.home / "policies").mkdir(exist_ok=True)
    (lab.home / "policies" / "beams.cedar").write_text(
        '@id("beams") permit (principal, action == Action::"read", resource)\n'
        'when { principal.id == "person:curator" || principal.id like "person:beam-*" };\n'
    )
    lab.start()
    api = f"{lab.http_url}/api/v1"
    root = token(lab, "root", "admin")
    for name in ("root", "Root", "r\u043eot", "curator", "CURATOR", "beam-7", "rööt"):
        taken = requests.post(f"{api}/tokens", json={"name": name, "scope": "read"}, headers=root, timeout=60)
        assert taken.status_code == 403, (name, taken.text)
    made = requests.post(f"{api}/tokens", json={"name": "eve", "scope": "write", "days": 3}, headers=root, timeout=60)
    assert made.status_code == 201 and made.headers["cache-control"] == "no-store", made.text
    eve = {"Authorization": f"Bearer {made.json()['token']}"}
    assert requests.get(f"{api}/me", headers=eve, timeout=60).json()["signed_in"]
    listed = requests.get(f"{api}/tokens", headers=root, timeout=60)
    assert made.json()["token"] not in listed.text
    assert {one["name"]: one["scope"] for one in listed.json()["tokens"]} == {"root": "admin", "eve": "write"}
    for body in ({"name": ""}, {"name": "x", "days": 0}, {"name": "login:x"}, {"name": "x", "scope": "king"}, {}, {"name": "x", "more": 1}):
        assert requests.post(f"{api}/tokens", json=body, headers=root, timeout=60).status_code in (400, 422), body
    revoked = requests.delete(f"{api}/tokens/eve", headers=root, timeout=60)
    assert revoked.json() == {"revoked": 1}
    assert requests.get(f"{api}/me", headers=eve, timeout=60).status_code == 401
    assert requests.delete(f"{api}/tokens/eve", headers=root, timeout=60).status_code == 404
    invited = requests.post(f"{api}/administrators/invitations", headers=root, timeout=60)
    assert invited.status_code == 201 and invited.json()["administrator_token"].startswith("tarn_a_")
    entries = requests.get(f"{api}/audit", headers=root, timeout=60).json()
    by = {entry["act"] for entry in entries if entry["person"] == "person:root"}
    assert {"create-token", "revoke-token", "invite-administrator"} <= by
