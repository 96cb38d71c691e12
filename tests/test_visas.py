"""Grants as GA4GH visas: those that this lab gives, and those of issuers that it trusts."""

import json
import stat
import time

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from logins import claims, decoded, encoded, issuer_settings
from services import oidc_provider
from test_access import AGREEMENT, TIER, call, register, sql, token
from test_login import ENV, lab_at_provider, log, me


def checked(visa, keys):
    """The claims of a visa, if a key of the set signed it with ES256."""
    header, _, signature = visa.split(".")
    head, [key] = json.loads(decoded(header)), keys["keys"]
    assert head["alg"] == "ES256" and head["kid"] == key["kid"] and key["use"] == "sig" and "d" not in key
    x, y = (int.from_bytes(decoded(key[name]), "big") for name in "xy")
    r, s = (int.from_bytes(half, "big") for half in (decoded(signature)[:32], decoded(signature)[32:]))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    message = visa.rsplit(".", 1)[0].encode()
    public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    return claims(visa)


def test_a_grant_is_a_visa_that_others_can_check(lab_at_provider):
    lab, provider = lab_at_provider
    bob = provider.sign(sub="bob", groups=["staff"])
    dan = token(lab, "dan")
    ask = {"purpose": "research", "justification": "mortality", "agreement": AGREEMENT}
    path = "/api/v1/access/requests"
    assert call(lab, "GET", "/api/v1/access/visas").status_code == 401
    assert call(lab, "GET", "/api/v1/access/visas", bob).json() == {"ga4gh_passport_v1": []}
    asked = call(lab, "POST", path, bob, dataset="trial", ask=ask)
    assert asked.status_code == 201, asked.text
    granted = call(lab, "POST", f"{path}/{asked.json()['id']}/approve", dan, months=1)
    assert granted.status_code == 200, granted.text
    assert sql(lab, "SELECT count(*) FROM trial.trial_cells", bob).status_code == 200
    [visa] = call(lab, "GET", "/api/v1/access/visas", bob).json()["ga4gh_passport_v1"]

    # An independent library, with the key that the node publishes.
    said = checked(visa, requests.get(f"{lab.http_url}/.well-known/jwks.json", timeout=30).json())
    assert said["iss"] == lab.http_url and said["sub"] == me(lab, bob).json()["subject"]
    assert 0 < said["exp"] - said["iat"] <= 3600
    inside = said["ga4gh_visa_v1"]
    assert inside["type"] == "ControlledAccessGrants" and inside["by"] == "dac"
    assert inside["value"] == f"{lab.http_url}/datasets/ornl/trial" and inside["source"] == lab.http_url
    assert stat.S_IMODE((lab.home / "visa.key").stat().st_mode) == 0o600

    # The log has it once, however often it is asked for.
    entries = len(log(lab, "issue-visas"))
    for _ in range(3):
        assert len(call(lab, "GET", "/api/v1/access/visas", bob).json()["ga4gh_passport_v1"]) == 1
    assert len(log(lab, "issue-visas")) == entries == 1

    # Revoked, there is no visa any more.
    call(lab, "POST", f"/api/v1/access/grants/{granted.json()['id']}/revoke", dan)
    assert call(lab, "GET", "/api/v1/access/visas", bob).json() == {"ga4gh_passport_v1": []}
    assert log(lab, "issue-visas")


def test_no_visa_is_given_for_what_the_lab_itself_refuses(new_lab, tmp_path):
    with oidc_provider(tmp_path) as provider:
        lab = new_lab("ornl", env=ENV, settings=issuer_settings(provider, group_prefix='""'))
        tier = {**TIER, "conditions": {"assurance": "high"}}
        register(lab, tmp_path, "trial", tier="controlled", exposure="full", **tier)
        lab.start()
        now, path = int(time.time()), "/api/v1/access/requests"
        high = {"eduperson_assurance": "https://refeds.org/assurance/IAP/high"}
        asker = provider.sign(sub="asker", iat=now - 50, **high)
        ask = {"purpose": "research", "justification": "mortality", "agreement": AGREEMENT}
        asked = call(lab, "POST", path, asker, dataset="trial", ask=ask)
        assert asked.status_code == 201, asked.text
        chair = provider.sign(sub="chair", groups=["dac"], **high)
        done = call(lab, "POST", f"{path}/{asked.json()['id']}/approve", chair, months=1)
        assert done.status_code == 200, done.text

        def visas_and_rows(text):
            visas = call(lab, "GET", "/api/v1/access/visas", text).json()["ga4gh_passport_v1"]
            return len(visas), sql(lab, "SELECT count(*) FROM trial.trial_cells", text).status_code

        assert visas_and_rows(asker) == (1, 200)
        # The issuer knows them less well now: they read nothing here, and nowhere by this lab's word.
        assert visas_and_rows(provider.sign(sub="asker", iat=now - 5)) == (0, 403)
        assert visas_and_rows(provider.sign(sub="asker", **high)) == (1, 200)
        lab.run("retract", "trial", "--reason", "a wrong sensor")
        assert visas_and_rows(provider.sign(sub="asker", **high))[0] == 0


def test_an_issuer_brings_visas_only_where_the_operator_says_so(new_lab, tmp_path):
    with oidc_provider(tmp_path) as provider, oidc_provider(tmp_path) as guest:
        value = "https://ega.example/datasets/EGAD1"
        visas = (
            f'\n[[visa_issuers]]\nurl = "{guest.url}"\njwks_url = "{guest.url}/jwks"\n'
            f'datasets = {{ "{value}" = "trial" }}\naffiliations = ["anl.gov"]\n'
        )
        lab = new_lab("ornl", env=ENV, settings=issuer_settings(provider, guest) + visas)
        assert "visas = true" in lab.run("serve", code=2).err
        config = lab.home / "tarn.toml"
        limits = 'visas = true\naffiliations = ["ornl.gov"]\nhighest_assurance = "medium"\n'
        text = config.read_text()
        # The first issuer may, the second may not.
        config.write_text(text.replace("\n[[issuers]]\n", f"\n[[issuers]]\n{limits}", 1))
        lab.start()
        now = int(time.time())

        def visa(**said):
            base = {"asserted": now - 60, "source": guest.url, "by": "dac", "type": "ControlledAccessGrants"}
            return guest.sign(sub="v1", aud=None, ga4gh_visa_v1={**base, "value": value, **said})

        roles = [visa(type="AffiliationAndRole", value=f"x@{place}") for place in ("anl.gov", "evil.gov")]
        claims = {
            "ga4gh_passport_v1": [visa(), *roles],
            "groups": ["ga4gh:registered-access", "dac"],
            "eduperson_scoped_affiliation": ["x@ornl.gov", "x@nasa.gov"],
            "eduperson_assurance": "https://refeds.org/assurance/IAP/high",
        }
        first, second = (me(lab, issuer.sign(**claims)).json() for issuer in (provider, guest))
        assert first["grants"] == ["ornl.trial"] and first["affiliations"] == ["anl.gov", "ornl.gov"]
        assert first["assurance"] == "medium" and first["groups"] == ["lab:dac", "lab:ga4gh:registered-access"]
        assert second["grants"] == [] and second["affiliations"] == ["nasa.gov", "ornl.gov"]
        assert second["assurance"] == "high"

        # Sessions that were begun by other rules count no more.
        given = call(lab, "POST", "/api/v1/login", None, issuer="lab", id_token=provider.sign(aud="cli", **claims))
        session = given.json()["token"]
        assert me(lab, session).json()["grants"] == ["ornl.trial"]
        config.write_text(text.replace(visas, "") + "# no visas\n")
        lab.stop()
        lab.start()
        assert me(lab, session).status_code == 401
        assert me(lab, provider.sign(**claims)).json()["grants"] == []


def test_visas_of_trusted_issuers_open_what_the_operator_mapped(new_lab, tmp_path):
    with oidc_provider(tmp_path) as provider, oidc_provider(tmp_path) as dac, oidc_provider(tmp_path) as stranger:
        value = "https://ega.example/datasets/EGAD1"
        settings = issuer_settings(provider, visas="true") + (
            f'\n[[visa_issuers]]\nurl = "{dac.url}"\njwks_url = "{dac.url}/jwks"\nmax_days = 30\n'
            f'datasets = {{ "{value}" = "trial" }}\n'
        )
        lab = new_lab("ornl", env=ENV, settings=settings)
        register(lab, tmp_path, "trial", tier="controlled", exposure="full", **TIER)
        lab.start()
        now = int(time.time())
        query = "SELECT count(*) FROM trial.trial_cells"

        def visa(issuer=dac, header=None, **changes):
            said = {"type": "ControlledAccessGrants", "asserted": now - 60, "value": value, "source": dac.url}
            more = {key: changes.pop(key) for key in ("iat", "exp", "iss") if key in changes}
            said = {name: one for name, one in {**said, **changes}.items() if one is not None}
            return issuer.sign(header, sub="v1", aud=None, ga4gh_visa_v1=said, **more)

        def reads(person, *visas):
            text = provider.sign(sub=person, ga4gh_passport_v1=list(visas))
            who = me(lab, text)
            assert who.status_code == 200, who.text
            return sql(lab, query, text).status_code == 200, who.json()

        day = 24 * 3600
        changed = visa().rsplit(".", 1)[0] + "." + encoded(bytes(256))
        wrong = {
            "none": [],
            "of a stranger": [visa(stranger)],
            "of a stranger in the name of another": [visa(stranger, iss=dac.url)],
            "for another dataset": [visa(value="https://ega.example/datasets/EGAD2")],
            "expired": [visa(iat=now - 700, exp=now - 100)],
            "asserted too long ago": [visa(asserted=now - 31 * day)],
            "asserted in the future": [visa(asserted=now + day)],
            "under conditions": [visa(conditions=[[{"type": "AffiliationAndRole", "value": "const:x"}]])],
            "without a source": [visa(source=None)],
            "changed": [changed],
            "no visas": ["x", 7, {}],
        }
        for number, (what, visas) in enumerate(wrong.items()):
            allowed, who = reads(f"wrong{number}", *visas)
            assert not allowed and who["grants"] == [], what
        allowed, who = reads("right", visa(stranger), visa())
        assert allowed and who["grants"] == ["ornl.trial"]
        # All of it ends with the first visa that ends: here in two seconds.
        role = {"type": "AffiliationAndRole", "value": "faculty@anl.gov"}
        allowed, who = reads("brief", visa(), visa(**role, exp=int(time.time()) + 3))
        assert allowed and who["affiliations"] == ["anl.gov"]
        time.sleep(4)
        text = provider.sign(sub="brief", iat=now - 100, groups=[])
        assert sql(lab, query, text).status_code == 403 and me(lab, text).json()["grants"] == []
        # Registered access takes both visas of the paper.
        bona_fide = "https://doi.org/10.1038/s41431-018-0219-y"
        one, two = (visa(type=kind, value=bona_fide) for kind in ("ResearcherStatus", "AcceptedTermsAndPolicies"))
        assert reads("half", one)[1]["groups"] == []
        assert reads("whole", one, two)[1]["groups"] == ["ga4gh:registered-access"]
