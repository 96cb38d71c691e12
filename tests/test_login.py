"""Logging in at a real OpenID provider: browsers, terminals, tokens of the provider, administrators."""

import hashlib
import hmac
import json
import re
import stat
import time
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import pytest
import requests
import tarn as client
from adbc_driver_flightsql import DatabaseOptions
from logins import (
    Browser,
    claims,
    decoded,
    device_code,
    encoded,
    issuer_settings,
    pretender,
    terminal_login,
)
from services import oidc_provider
from story.labs import free_ports
from test_access import AGREEMENT, TIER, call, register, sql, token

ENV = {"TEST_SECRET": "websecret"}


@pytest.fixture(scope="module")
def lab_at_provider(module_lab, tmp_path_factory):
    """A lab whose people log in at a provider; it has a registered and a controlled dataset."""
    folder = tmp_path_factory.mktemp("provider")
    home = tmp_path_factory.mktemp("people")
    env = {**ENV, "HOME": str(home), "XDG_CONFIG_HOME": ""}
    lab = module_lab("ornl", env=env)
    with oidc_provider(folder, [f"{lab.http_url}/login/callback"]) as provider:
        settings = issuer_settings(provider, group_prefix='""', write_group='"stewards"')
        config = lab.home / "tarn.toml"
        config.write_text(config.read_text() + settings)
        register(lab, folder, "members", tier="registered", terms=TIER["terms"])
        register(lab, folder, "trial", tier="controlled", exposure="full", **TIER)
        lab.run("user", "create", "dan", "--group", "dac")
        lab.start()
        yield lab, provider
        lab.stop()


def me(lab, text=None, **more):
    """Who somebody is to a lab."""
    return requests.get(
        f"{lab.http_url}/api/v1/me", headers={"Authorization": f"Bearer {text}"} if text else {}, timeout=30, **more
    )


def log(lab, act):
    """Entries of the audit log."""
    return [entry for entry in lab.run("audit", "list", "--json").json() if entry["act"] == act]


def rows(lab, text):
    """Rows that a person reads of the registered dataset, over Flight."""
    lake = client.connect(lab.flight_url, token=text)
    return lake.sql("SELECT count(*) AS n FROM members.members_cells").arrow().to_pylist()[0]["n"]


def test_a_browser_logs_in_reads_registered_data_and_logs_out(lab_at_provider):
    lab, provider = lab_at_provider
    browser = Browser()
    page = browser.visit(f"{lab.http_url}/login?next=/api/v1/me", "alice")
    assert page.status_code == 200, page.text
    alice = page.json()
    assert alice["signed_in"] and alice["called"] == "Dr alice" and alice["issuer"] == provider.url
    assert alice["groups"] == ["staff", "stewards"] and alice["scope"] == "write"
    assert alice["tiers"] == ["public", "registered"]
    assert re.fullmatch(r"person:login:[0-9a-f]{32}", alice["subject"])

    # The cookie: for no script, for this site; the login's own is gone.
    seen = [cookie for cookie in browser.cookies if cookie.name.startswith("tarn_")]
    [cookie] = seen
    assert cookie.name == "tarn_session" and cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax" and not cookie.secure

    # Writes by cookie come from this node's own pages.
    query = {"query": "SELECT count(*) FROM members.members_cells"}
    ask = f"{lab.http_url}/api/v1/sql"
    assert requests.post(ask, json=query, timeout=30).status_code in (403, 404)
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        refused = browser.post(ask, json=query, headers=headers, timeout=30)
        assert refused.status_code == 403 and "Origin" in refused.json()["detail"], refused.text
    for headers in ({"Origin": lab.http_url}, {"X-Tarn-Request": "1"}):
        assert browser.post(ask, json=query, headers=headers, timeout=30).status_code == 200
    assert browser.post(f"{lab.http_url}/logout", headers={"Origin": "https://evil.example"}).status_code == 403

    # Logging out ends it at the node, whoever kept the cookie.
    kept = {"tarn_session": cookie.value}
    assert me(lab, cookies=kept).json()["signed_in"]
    assert rows(lab, cookie.value) > 0
    done = browser.post(f"{lab.http_url}/logout", headers={"Origin": lab.http_url}, timeout=30)
    assert done.status_code == 204 and "tarn_session" not in browser.cookies
    assert me(lab, cookies=kept).json()["signed_in"] is False
    assert me(lab, cookie.value).status_code == 401
    with pytest.raises(client.errors.Unauthenticated):
        rows(lab, cookie.value)
    names = {entry["person"] for entry in log(lab, "login")}
    assert alice["subject"] in names
    assert [entry["person"] for entry in log(lab, "logout")] == [alice["subject"]]


def test_a_login_counts_once_and_where_it_began(lab_at_provider):
    lab, provider = lab_at_provider
    browser = Browser()
    target = browser.until_callback(f"{lab.http_url}/login", "bob")
    kept = browser.cookies.get("tarn_login")

    # Another browser, a changed state, another issuer: refused, and the cookie of the login is taken away.
    assert requests.get(target, timeout=30).status_code == 401
    other = requests.get(re.sub("state=[^&]+", "state=x", target), cookies={"tarn_login": kept}, timeout=30)
    assert other.status_code == 401 and "tarn_login=;" in other.headers["set-cookie"]

    first = browser.get(target, timeout=30)
    assert first.status_code == 200 and first.json()["called"] == "Dr bob"
    again = requests.get(target, cookies={"tarn_login": kept}, timeout=30)
    assert again.status_code == 401 and "before" in again.json()["detail"]
    # The code itself was used as well: with a new state of one's own it is of no use.
    code = re.search("code=([^&]+)", target)[1]
    second = Browser()
    own = second.until_callback(f"{lab.http_url}/login", "carol")
    replayed = second.get(re.sub("code=[^&]+", f"code={code}", own), timeout=30)
    assert replayed.status_code == 401 and "invalid_grant" in replayed.json()["detail"], replayed.text

    # A denial of the person at the issuer, and a mix-up of issuers.
    third = Browser()
    own = third.until_callback(f"{lab.http_url}/login", "carol")
    state = re.search("state=([^&]+)", own)[1]
    back = f"{lab.http_url}/login/callback?state={state}&error=access_denied"
    # This provider says that it names itself: an answer without its name may be another's.
    nameless = requests.get(back, cookies={"tarn_login": third.cookies.get("tarn_login")}, timeout=30)
    assert nameless.status_code == 401 and "another issuer" in nameless.json()["detail"]
    denied = third.get(f"{back}&iss={provider.url}", timeout=30)
    assert denied.status_code == 401 and "access_denied" in denied.json()["detail"]
    fourth = Browser()
    own = fourth.until_callback(f"{lab.http_url}/login", "carol")
    mixed = fourth.get(re.sub("iss=[^&]+", "iss=https://evil.example", own), timeout=30)
    assert mixed.status_code == 401 and "another issuer" in mixed.json()["detail"]


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x"])
def test_a_login_leads_nowhere_else(lab_at_provider, target):
    lab, _ = lab_at_provider
    answer = requests.get(f"{lab.http_url}/login", params={"next": target}, timeout=30, allow_redirects=False)
    assert answer.status_code == 400 and answer.json()["code"] == "invalid_argument"


def test_tokens_of_the_provider_are_accepted_at_every_door(lab_at_provider):
    lab, provider = lab_at_provider
    given = device_code(provider, "bob", "openid profile groups")
    bob = given["access_token"]
    assert claims(bob)["aud"] == "urn:tarn:api"
    who = me(lab, bob).json()
    assert who["groups"] == ["staff"] and who["scope"] == "read" and "registered" in who["tiers"]
    assert sql(lab, "SELECT count(*) FROM members.members_cells", bob).status_code == 200
    assert rows(lab, bob) > 0
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {bob}"}
    with adbc.connect(lab.flight_url.replace("grpc", "grpc+tcp"), db_kwargs=options) as one, one.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM members.members_cells")
        assert cursor.fetchone()[0] > 0
    # The same person by browser is the same to the lab; a scope in the token limits it.
    assert Browser().visit(f"{lab.http_url}/login", "bob").json()["subject"] == who["subject"]
    limited = provider.sign(sub="alice", groups=["staff", "stewards"], scope="openid tarn:read")
    assert me(lab, limited).json()["scope"] == "read"
    whole = provider.sign(sub="alice", groups=["staff", "stewards"])
    assert me(lab, whole).json()["scope"] == "write"


def test_what_an_older_token_says_does_not_come_back(lab_at_provider):
    lab, provider = lab_at_provider
    now = int(time.time())
    old = provider.sign(sub="eve", iat=now - 30, groups=["dac"])
    assert me(lab, old).json()["groups"] == ["dac"]
    assert me(lab, provider.sign(sub="eve", iat=now - 20, groups=[])).json()["groups"] == []
    assert me(lab, old).json()["groups"] == []


def forged(provider):
    """Tokens that are wrong, each with what the refusal says."""
    now, good = int(time.time()), provider.sign()
    header, payload, signature = good.split(".")
    head = json.loads(decoded(header))
    body = claims(good)

    def with_header(**changes):
        return f"{encoded({**head, **changes})}.{payload}.{signature}"

    message = f"{encoded({**head, 'alg': 'HS256'})}.{payload}"
    # The public key as the secret of an HMAC: the classic confusion of algorithms.
    hmacs = [
        hmac.new(key, message.encode(), hashlib.sha256).digest()
        for key in (provider.test("public-key").encode(), provider.test("public-key").strip().encode())
    ]
    yield "another audience", provider.sign(aud="urn:other"), "audience"
    yield "no audience", provider.sign(aud=None), "audience"
    yield "the client as audience", provider.sign(aud="web"), "audience"
    yield "another issuer", provider.sign(iss="https://evil.example"), "issuer"
    yield "expired", provider.sign(iat=now - 700, exp=now - 61), "expired"
    yield "not yet valid", provider.sign(nbf=now + 90), "not valid yet"
    yield "from the future", provider.sign(iat=now + 90, exp=now + 900), "not valid yet"
    yield "no end", provider.sign(exp=None), "`exp`"
    yield "an end of another type", provider.sign(exp=str(now + 600)), "`exp`"
    yield "no subject", provider.sign(sub=None), "`sub`"
    yield "changed claims", f"{header}.{encoded({**body, 'sub': 'root'})}.{signature}", "signature"
    yield "a changed signature", f"{header}.{payload}.{encoded(bytes(256))}", "signature"
    yield "no signature", f"{header}.{payload}.", "signature"
    yield "alg none", f"{encoded({'alg': 'none'})}.{payload}.", "algorithm"
    yield "alg None", f"{encoded({'alg': 'None'})}.{payload}.", "algorithm"
    for number, mac in enumerate(hmacs):
        yield f"HS256 with the public key {number}", f"{message}.{encoded(mac)}", "algorithm"
    yield "another algorithm of the key", with_header(alg="RS512"), "key"
    yield "an unknown key", with_header(kid="other"), "key"
    yield "unknown extensions", with_header(crit=["exp"]), "extensions"
    own = "https://evil.example/jwks"
    yield "keys from elsewhere", with_header(jku=own, x5u=own, kid="other"), "key"
    yield "an ID token", device_code(provider, "bob")["id_token"], "audience"
    yield "too long", f"{header}.{encoded(b'x' * 100_000)}.{signature}", "64 KiB"
    yield "two parts", f"{header}.{payload}", "form"
    yield "no JSON", f"{header}.{encoded(b'x')}.{signature}", "form"


def test_wrong_tokens_are_refused_and_say_why(lab_at_provider):
    lab, provider = lab_at_provider
    assert me(lab, provider.sign()).json()["signed_in"]
    for what, text, says in forged(provider):
        # The framework limits headers; what is beyond never reaches the check of tokens.
        answer = me(lab, text)
        if len(text) < 60_000:
            assert answer.status_code == 401, (what, answer.text)
            problem = answer.json()
            assert problem["code"] == "unauthenticated" and says in problem["detail"], (what, problem)
            for part in text.split("."):
                assert len(part) < 8 or part not in answer.text, what
            with pytest.raises(client.errors.Unauthenticated):
                rows(lab, text)
        else:
            assert answer.status_code in (401, 431), what
    # Within the minute that clocks may differ.
    now = int(time.time())
    assert me(lab, provider.sign(iat=now - 700, exp=now - 40)).status_code == 200
    assert me(lab, provider.sign(nbf=now + 40)).status_code == 200


def test_one_sub_at_two_issuers_is_two_people(new_lab, tmp_path):
    with oidc_provider(tmp_path) as one, oidc_provider(tmp_path) as other:
        lab = new_lab("ornl", env=ENV, settings=issuer_settings(one, other))
        lab.start()
        alice, namesake = (me(lab, provider.sign(groups=["dac"])).json() for provider in (one, other))
        assert alice["subject"] != namesake["subject"]
        # Nor do they share a group, unless the operator wants it.
        assert alice["groups"] == ["lab:dac"] and namesake["groups"] == ["other1:dac"]
        # A token of the one that says to be of the other.
        refused = me(lab, one.sign(iss=other.url))
        assert refused.status_code == 401
        # A browser is asked which; a terminal has to say.
        page = requests.get(f"{lab.http_url}/login", timeout=30)
        assert page.status_code == 200 and "issuer=lab" in page.text and "issuer=other1" in page.text
        assert requests.get(f"{lab.http_url}/login?issuer=nobody", timeout=30).status_code == 404
        assert "--issuer" in lab.run("login", "--server", lab.http_url, code=2).err


def test_a_terminal_logs_in_and_the_python_client_finds_it(lab_at_provider, monkeypatch):
    lab, provider = lab_at_provider
    code, out, said = terminal_login(lab, "alice")
    assert code == 0, said
    done = json.loads(out)
    assert done["called"] == "Dr alice" and done["server"] == lab.http_url
    stored = Path(lab.env["HOME"]) / ".config" / "tarn" / "logins.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    text = lab.run("login", "--print-token").out.strip()
    assert text.startswith("tarn_s_") and text not in said and text not in out
    assert me(lab, text).json()["subject"] == f"person:{done['name']}"

    # The Python client takes it for this node, and for no other.
    monkeypatch.setenv("HOME", lab.env["HOME"])
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    lake = client.connect(lab.flight_url)
    assert lake.sql("SELECT count(*) AS n FROM members.members_cells").arrow().num_rows == 1
    assert client.connect("grpc://127.0.0.1:1")._token is None
    with pytest.raises(client.errors.TarnError):
        client.connect(lab.flight_url, token="").sql("SELECT count(*) FROM members.members_cells").arrow()

    lab.run("logout")
    assert me(lab, text).status_code == 401
    assert "tarn login" in lab.run("login", "--print-token", code=3).err
    assert "no login" in lab.run("logout", code=3).err


def test_a_login_is_of_no_use_to_a_node_that_pretends(lab_at_provider):
    lab, provider = lab_at_provider
    doors = requests.get(f"{lab.http_url}/api/v1/login", timeout=30).json()
    wishes = {**doors, "userinfo": True, "issuers": [{**one, "userinfo": True} for one in doors["issuers"]]}
    with pretender(wishes) as (url, given):
        code, _, said = terminal_login(lab, "alice", "--server", url)
        assert code == 0 and f"You are giving {url} a login of cli at {provider.url}" in said, said
        [body] = given
        assert body.keys() == {"issuer", "access_token"} and claims(body["access_token"])["aud"] == url
        stolen = body["access_token"]
    path = "/api/v1/login"
    for body in ({"access_token": stolen}, {"id_token": stolen}, {"id_token": stolen, "access_token": stolen}):
        assert call(lab, "POST", path, None, issuer="lab", **body).status_code == 401
    assert me(lab, stolen).status_code == 401
    # For the node itself it counts, once; for several nodes it counts nowhere.
    token_for = lambda aud: provider.sign(sub="alice", aud=aud, groups=["staff"])  # noqa: E731
    own = token_for(lab.http_url)
    session = call(lab, "POST", path, None, issuer="lab", access_token=own)
    assert session.status_code == 200 and me(lab, session.json()["token"]).json()["groups"] == ["staff"]
    assert call(lab, "POST", path, None, issuer="lab", access_token=own).status_code == 401
    for aud in ([lab.http_url, url], lab.http_url + "/", "urn:tarn:api", None):
        refused = call(lab, "POST", path, None, issuer="lab", access_token=token_for(aud))
        assert refused.status_code == 401 and "audience" in refused.json()["detail"], aud


def test_a_client_of_one_node_is_given_to_no_other(new_lab, tmp_path):
    with oidc_provider(tmp_path, strict=True) as provider:
        lab = new_lab("ornl", env={**ENV, "HOME": str(tmp_path)}, settings=issuer_settings(provider), start=True)
        code, _, said = terminal_login(lab, "alice")
        assert code == 0, said
        doors = requests.get(f"{lab.http_url}/api/v1/login", timeout=30).json()
        # Also after a logout: what the node was given is good there for some minutes.
        lab.run("logout")
        with pretender(doors) as (url, given):
            refused = lab.run("login", "--server", url, code=None)
            assert refused.code == 3 and lab.http_url in refused.err and "clients" in refused.err
            assert given == []
        assert terminal_login(lab, "bob")[0] == 0


def test_a_terminal_obeys_nothing_that_others_say(tarn, tmp_path):
    tarn.env = {**tarn.env, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}
    door = {"url": "https://sso.example", "device_client_id": "c", "scopes": ["openid"]}
    names = ("\x1b]0;pwned\x07\x1b[2Jone", "t\u202ewo")
    doors = {"lab": "ornl", "flight": "grpc://127.0.0.1:1", "issuers": [{**door, "name": name} for name in names]}
    with pretender(doors) as (url, _):
        refused = tarn.run("login", "--server", url, code=None)
        assert "--issuer" in refused.err and refused.code != 0
        assert not any(sign in refused.err for sign in "\x1b\x07\u202e"), repr(refused.err)


def test_each_kind_of_token_counts_as_itself_alone(lab_at_provider):
    lab, provider = lab_at_provider
    logout = {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}
    for wrong in (logout, {"nonce": "n"}, {"typ": "ID"}, {"typ": "Refresh"}, {"cnf": {"jkt": "x"}}, {"c_hash": "x"}):
        refused = me(lab, provider.sign(**wrong))
        assert refused.status_code == 401, wrong
    assert me(lab, provider.sign(typ="Bearer")).status_code == 200
    path = "/api/v1/login"
    for wrong in (logout, {"typ": "Bearer"}, {"typ": "Logout"}, {"scope": "openid"}, {"client_id": "other"}):
        refused = call(lab, "POST", path, None, issuer="lab", id_token=provider.sign(aud="cli", sub="kim", **wrong))
        assert refused.status_code == 401, wrong
    fine = provider.sign(aud="cli", sub="kim", typ="ID", client_id="cli")
    assert call(lab, "POST", path, None, issuer="lab", id_token=fine).status_code == 200
    # For ever is too long, and a token that is early now is good in a moment.
    now = int(time.time())
    for exp in (now + 400 * 24 * 3600, 300_000_000_000):
        for text, body in ((provider.sign(exp=exp), None), (provider.sign(aud="cli", exp=exp), True)):
            answer = call(lab, "POST", path, None, issuer="lab", id_token=text) if body else me(lab, text)
            assert answer.status_code == 401 and "year" in answer.json()["detail"]
    early = provider.sign(aud="cli", sub="kim", nbf=now + 63)
    answer = call(lab, "POST", path, None, issuer="lab", id_token=early)
    assert answer.status_code == 401 and "not valid yet" in answer.json()["detail"]
    time.sleep(5)
    assert call(lab, "POST", path, None, issuer="lab", id_token=early).status_code == 200
    # Tokens for others do not fill the log.
    entries = len(log(lab, "login"))
    for number in range(5):
        other = provider.sign(aud="somebody-else", sub="kim", jti=str(number))
        assert call(lab, "POST", path, None, issuer="lab", id_token=other).status_code == 401
    assert len(log(lab, "login")) == entries


def test_a_brief_token_lends_nothing_to_others(lab_at_provider):
    lab, provider = lab_at_provider
    now = int(time.time())
    long = provider.sign(sub="jit", iat=now - 100, groups=["staff"])
    mine = provider.sign(sub="jit", aud="cli", iat=now - 90, groups=["staff"])
    session = call(lab, "POST", "/api/v1/login", None, issuer="lab", id_token=mine).json()["token"]
    brief = provider.sign(sub="jit", iat=now - 58, exp=now - 54, groups=["staff", "dac", "stewards"])
    raised = me(lab, brief).json()
    assert raised["groups"] == ["dac", "staff", "stewards"] and raised["scope"] == "write"
    for _ in range(2):
        for text in (session, long):
            other = me(lab, text).json()
            assert other["groups"] == ["staff"] and other["scope"] == "read"
        time.sleep(8)
        assert me(lab, brief).status_code == 401


def test_a_token_for_reading_decides_nothing(lab_at_provider):
    lab, provider = lab_at_provider
    ask = {"purpose": "research", "justification": "mortality", "agreement": AGREEMENT}
    path = "/api/v1/access/requests"
    eve = provider.sign(sub="eva")
    asked = call(lab, "POST", path, eve, dataset="trial", ask=ask)
    assert asked.status_code == 201, asked.text
    limited = provider.sign(sub="dora", groups=["dac"], scope="openid tarn:read")
    # Nor does it agree to anything in its person's name, or keep something for them.
    reading = provider.sign(sub="erik", scope="openid tarn:read")
    own = call(lab, "POST", path, reading, dataset="trial", ask=ask)
    assert own.status_code == 403 and "tarn:read" in own.json()["detail"]
    assert call(lab, "PUT", "/api/v1/searches/mine?q=x", reading).status_code == 403
    one = asked.json()["id"]
    assert one in [request["id"] for request in call(lab, "GET", path, limited).json()]
    refused = call(lab, "POST", f"{path}/{one}/approve", limited, months=1)
    assert refused.status_code == 403 and "tarn:read" in refused.json()["detail"]
    once = lab.run("user", "invite", "--quiet").out.strip()
    assert call(lab, "POST", "/api/v1/administrators", limited, token=once).status_code == 403
    whole = provider.sign(sub="dora", groups=["dac"])
    assert call(lab, "POST", f"{path}/{one}/approve", whole, months=1).status_code == 200


def test_an_id_token_logs_in_once_and_only_its_own_kind(lab_at_provider):
    lab, provider = lab_at_provider
    path = "/api/v1/login"
    given = device_code(provider, "carol")
    first = call(lab, "POST", path, None, issuer="lab", id_token=given["id_token"])
    assert first.status_code == 200 and first.json()["called"] == "Dr carol", first.text
    again = call(lab, "POST", path, None, issuer="lab", id_token=given["id_token"])
    assert again.status_code == 401 and "before" in again.json()["detail"]
    wrong = {
        "the access token": given["access_token"],
        "for the browser's client": provider.sign(aud="web"),
        "for somebody else": provider.sign(aud=["cli", "x"], azp="x"),
        "expired": provider.sign(aud="cli", iat=1, exp=2),
        "nothing": "",
    }
    for what, text in wrong.items():
        refused = call(lab, "POST", path, None, issuer="lab", id_token=text)
        assert refused.status_code == 401, (what, refused.text)
    assert call(lab, "POST", path, None, issuer="x", id_token="y").status_code == 404
    assert call(lab, "POST", path, None, issuer="lab").status_code == 401
    # What names a person is in the log: once for each token.
    refusals = [entry for entry in log(lab, "login") if entry["outcome"] == "refused"]
    assert any("before" in entry["details"]["why"] for entry in refusals)
    expired = [entry for entry in refusals if "expired" in entry["details"]["why"]]
    assert len(expired) == 1 and expired[0]["person"].startswith("person:login:")
    call(lab, "POST", path, None, issuer="lab", id_token=wrong["expired"])
    refusals = [entry for entry in log(lab, "login") if "expired" in entry["details"].get("why", "")]
    assert len(refusals) == 1


def test_the_first_administrator_comes_by_a_token_that_works_once(new_lab, tmp_path):
    [port] = free_ports(1)
    with oidc_provider(tmp_path, [f"http://127.0.0.1:{port}/login/callback"]) as provider:
        lab = new_lab("ornl", env={**ENV, "HOME": str(tmp_path)}, settings=issuer_settings(provider))
        other = new_lab("llnl")
        made = other.run("user", "invite", "--quiet").out.strip()
        once = lab.run("user", "invite", "--quiet").out.strip()
        lab.start()
        alice, bob = provider.sign(sub="alice"), provider.sign(sub="bob")
        path = "/api/v1/administrators"
        assert me(lab, alice).json()["scope"] == "read"
        # Nobody in particular, an API token, a token of another node, none of ours.
        api = token(lab, "ann", "admin")
        assert call(lab, "POST", path, None, token=once).status_code == 403
        assert call(lab, "POST", path, api, token=once).status_code == 403
        for wrong in (made, "tarn_a_x", ""):
            assert call(lab, "POST", path, alice, token=wrong).status_code == 403
        assert call(lab, "POST", path, alice, token=once).status_code == 204
        assert me(lab, alice).json()["scope"] == "admin"
        assert me(lab, provider.sign(sub="alice", scope="tarn:read")).json()["scope"] == "read"
        # The second use, by whomever.
        for text in (bob, alice):
            assert call(lab, "POST", path, text, token=once).status_code == 403
        assert me(lab, bob).json()["scope"] == "read"
        outcomes = [entry["outcome"] for entry in log(lab, "claim-administrator")]
        assert outcomes.count("allowed") == 1 and outcomes[-2:] == ["refused", "refused"]
        # From a terminal at once.
        once = lab.run("user", "invite", "--quiet").out.strip()
        assert "no one-time token" in lab.run("login", "--administrator", "-", code=2).err
        code, _, said = terminal_login(lab, "bob", "--administrator", "-", given=f"{once}\n")
        assert code == 0, said
        text = lab.run("login", "--print-token").out.strip()
        assert me(lab, text).json()["scope"] == "admin"
        # Forgetting somebody ends their session, and they are no administrator.
        subject = me(lab, text).json()["subject"]
        assert once not in lab.run("user", "list", "--json").out
        lab.run("user", "revoke", subject.removeprefix("person:"))
        assert me(lab, text).status_code == 401
        # Nor does anything count that the issuer said before.
        assert me(lab, bob).status_code == 401
        lab.run("audit", "verify")


def test_init_prints_the_token_once_and_keeps_a_hash(tarn, tmp_path):
    home = tmp_path / "home"
    tarn.home = home
    done = tarn.run("init", "--lab", "ornl", "--json").json()
    once = done["administrator_token"]
    assert once.startswith("tarn_a_")
    for path in home.rglob("*"):
        if path.is_file():
            assert once.encode() not in path.read_bytes(), path


def test_claims_of_a_strict_provider_come_from_its_userinfo_endpoint(tmp_path, module_lab):
    for number, asked in enumerate((False, True)):
        lab = module_lab(f"strict{number}", env={**ENV, "HOME": str(tmp_path)})
        with oidc_provider(tmp_path, [f"{lab.http_url}/login/callback"], strict=True) as provider:
            config = lab.home / "tarn.toml"
            settings = issuer_settings(provider, userinfo=str(asked).lower(), group_prefix='""')
            config.write_text(config.read_text() + settings)
            lab.start()
            alice = Browser().visit(f"{lab.http_url}/login", "alice").json()
            assert alice["groups"] == (["staff", "stewards"] if asked else [])
            code, _, said = terminal_login(lab, "bob")
            assert code == 0, said
            # A terminal hands over nothing that is good elsewhere, so that its node asks nobody.
            bob = me(lab, lab.run("login", "--print-token").out.strip()).json()
            assert bob["signed_in"] and bob["groups"] == []
            # A forged ID token is refused before the provider is asked.
            forged = {"issuer": "lab", "id_token": f"{encoded({'alg': 'none'})}.e30.", "access_token": "x"}
            refused = requests.post(f"{lab.http_url}/api/v1/login", json=forged, timeout=30)
            assert refused.status_code == 401
            lab.stop()


def test_a_node_says_what_is_wrong_with_its_issuers(new_lab, tmp_path):
    lab = new_lab("ornl", settings='\n[[issuers]]\nname = "lab"\nurl = "http://sso.example"\nclient_id = "x"\n')
    done = lab.run("serve", code=2)
    assert "`url`" in done.err and "https" in done.err
    config = lab.home / "tarn.toml"
    text = config.read_text().replace("http://sso.example", "https://sso.example")
    config.write_text(text + 'client_secret_env = "NOT_SET_HERE"\n')
    assert "NOT_SET_HERE" in lab.run("serve", code=2).err
    # Other commands need no secret.
    lab.run("search")
    # An issuer that does not answer is no internal error, and other tokens go on working.
    [port] = free_ports(1)
    settings = f'\n[[issuers]]\nname = "lab"\nurl = "http://127.0.0.1:{port}"\nclient_id = "x"\n'
    lab = new_lab("llnl", settings=settings, start=True)
    answer = requests.get(f"{lab.http_url}/login", timeout=30)
    assert answer.status_code == 503 and "cannot be asked" in answer.json()["detail"]
    unknown = f"{encoded({'alg': 'RS256'})}.{encoded({'iss': f'http://127.0.0.1:{port}'})}.{encoded(b'x')}"
    assert me(lab, unknown).status_code == 503
    assert me(lab, token(lab, "ann")).json()["subject"] == "person:ann"
    nothing = new_lab("anl", start=True)
    assert requests.get(f"{nothing.http_url}/login", timeout=30).status_code == 404
    assert me(nothing, unknown).status_code == 401
