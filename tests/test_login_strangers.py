"""Logins beside people who should not be let in, strangers who call again and again, and nodes that lie."""

import json
import re
import time

import pytest
import requests
import tarn as client
from logins import pretender, terminal_login
from test_access import call
from test_login import lab_at_provider, log, me, rows


def test_who_is_locked_out_stays_out(lab_at_provider):
    lab, provider = lab_at_provider
    path, now = "/api/v1/login", int(time.time())
    old = provider.sign(sub="loki", iat=now - 3000, exp=now + 36000, groups=["dac", "stewards"])
    unused = provider.sign(sub="loki", aud="cli", iat=now - 2990, exp=now + 36000, groups=["dac"])
    assert me(lab, old).json()["scope"] == "write"
    newest = provider.sign(sub="loki", aud="cli", iat=now - 10, groups=["staff"])
    session = call(lab, "POST", path, None, issuer="lab", id_token=newest).json()
    assert me(lab, old).json()["groups"] == []
    assert "locked out" in lab.run("user", "revoke", session["name"]).err
    assert me(lab, session["token"]).status_code == 401
    assert rows_refused(lab, old) and rows_refused(lab, session["token"])
    # What was said before, what nobody had shown yet, and what says no more than it did.
    for text in (old, provider.sign(sub="loki", iat=now - 5, groups=["dac"])):
        refused = me(lab, text)
        assert refused.status_code == 401 and "locked out" in refused.json()["detail"]
    for text in (unused, provider.sign(sub="loki", aud="cli", groups=["dac"])):
        refused = call(lab, "POST", path, None, issuer="lab", id_token=text)
        assert refused.status_code == 401 and "locked out" in refused.json()["detail"]
    [known] = [one for one in lab.run("user", "list", "--json").json() if one["subject"].endswith(session["name"])]
    assert known["login"]["sub"] == "loki" and known["login"]["attributes"]["groups"] == []
    # Others are let in as before.
    assert me(lab, provider.sign(sub="thor", groups=["staff"])).status_code == 200


def rows_refused(lab, text):
    """Whether Flight does not know a token."""
    try:
        rows(lab, text)
    except client.errors.Unauthenticated:
        return True
    return False


def test_a_used_token_fills_no_log(lab_at_provider):
    lab, provider = lab_at_provider
    path = "/api/v1/login"
    used = provider.sign(sub="mal", aud="cli")
    assert call(lab, "POST", path, None, issuer="lab", id_token=used).status_code == 200
    entries = len(log(lab, "login"))
    for _ in range(10):
        again = call(lab, "POST", path, None, issuer="lab", id_token=used)
        assert again.status_code == 401 and "before" in again.json()["detail"]
    assert len(log(lab, "login")) == entries + 1


def test_answers_to_somebody_are_kept_by_nobody_else(lab_at_provider):
    lab, provider = lab_at_provider
    session = provider.sign(sub="kim2", aud="cli", groups=["staff"])
    kept = {"tarn_session": call(lab, "POST", "/api/v1/login", None, issuer="lab", id_token=session).json()["token"]}
    for path in ("/api/v1/me", "/api/v1/datasets", "/datasets/ornl/members", "/api/v1/datasets/ornl/none"):
        answer = requests.get(lab.http_url + path, cookies=kept, timeout=30)
        assert answer.headers["cache-control"] == "private, no-cache", path
        assert {"Cookie", "Authorization"} <= {part.strip() for part in answer.headers["vary"].split(",")}, path
        anonymous = requests.get(lab.http_url + path, timeout=30)
        assert "Cookie" in anonymous.headers["vary"] and "cache-control" not in anonymous.headers, path
    page = requests.get(f"{lab.http_url}/datasets/ornl/members", cookies=kept, timeout=30)
    assert "text/html" in page.headers["content-type"] and "Accept" in page.headers["vary"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    begun = requests.get(f"{lab.http_url}/login", timeout=30, allow_redirects=False)
    assert begun.status_code == 303 and begun.headers["cache-control"] == "no-store"


def test_a_state_comes_back_once(lab_at_provider):
    lab, provider = lab_at_provider
    begun = requests.get(f"{lab.http_url}/login", timeout=30, allow_redirects=False)
    state = re.search("state=([^&]+)", begun.headers["location"])[1]
    back = f"{lab.http_url}/login/callback?code=junk&state={state}&iss={provider.url}"
    kept = {"tarn_login": begun.cookies["tarn_login"]}
    first = requests.get(back, cookies=kept, timeout=30)
    assert first.status_code == 401 and "invalid_grant" in first.json()["detail"], first.text
    # Whatever the issuer said: strangers have it asked once for each login that they begin.
    again = requests.get(back, cookies=kept, timeout=30)
    assert again.status_code == 401 and "before" in again.json()["detail"], again.text


def test_a_node_gives_no_login_for_the_address_of_another(lab_at_provider, tmp_path, monkeypatch):
    lab, provider = lab_at_provider
    doors = requests.get(f"{lab.http_url}/api/v1/login", timeout=30).json()
    home = tmp_path / "victim"
    env, lab.env = lab.env, {**lab.env, "HOME": str(home)}
    try:
        lies = {**doors, "flight": "https://lake.lab.example:8815"}
        with pretender(lies) as (url, _):
            code, _, said = terminal_login(lab, "alice", "--server", url)
            assert code == 0 and "another host" in said, said
    finally:
        lab.env = env
    stored = home / ".config" / "tarn" / "logins.json"
    assert [one["flight"] for one in json.loads(stored.read_text())["logins"].values()] == [""]
    # What an older version stored, or somebody wrote there.
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    one = {"lab": "x", "token": "tarn_s_x", "expires_at": "2099-01-01T00:00:00Z", "name": "n", "called": "c"}

    def found(address, logins):
        logins = {node: {**one, "flight": flight, "token": token} for node, flight, token in logins}
        stored.write_text(json.dumps({"logins": logins}))
        return client.connect(address)._token

    lake, evil = "https://lake.lab.example", "https://evil.example"
    address = "grpc+tls://lake.lab.example:8815"
    own = (lake, f"{lake}:8815", "tarn_s_own")
    assert found(address, [(evil, f"{lake}:8815", "tarn_s_evil")]) is None
    assert found(address, [(evil, f"{lake}:8815", "tarn_s_evil"), own]) == "tarn_s_own"
    assert found("grpc://lake.lab.example:8815", [own]) is None
    assert found("grpc://localhost:8815", [("http://127.0.0.1:8080", "http://127.0.0.1:8815", "t")]) == "t"
    with pytest.raises(client.errors.Unauthenticated, match="several"):
        found(address, [own, (f"{lake}:9999", f"{lake}:8815", "tarn_s_evil")])
