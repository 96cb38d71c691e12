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

    # Revoked, there is no visa any more.
    call(lab, "POST", f"/api/v1/access/grants/{granted.json()['id']}/revoke", dan)
    assert call(lab, "GET", "/api/v1/access/visas", bob).json() == {"ga4gh_passport_v1": []}
    assert log(lab, "issue-visas")


def test_visas_of_trusted_issuers_open_what_the_operator_mapped(new_lab, tmp_path):
    with oidc_provider(tmp_path) as provider, oidc_provider(tmp_path) as dac, oidc_provider(tmp_path) as stranger:
        value = "https://ega.example/datasets/EGAD1"
        settings = issuer_settings(provider) + (
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
