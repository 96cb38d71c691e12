"""Who may know and read: a controlled and a hidden dataset through every door, and backups."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.flight as flight
import pytest
import requests
from fields import random_netcdf
from records import write_record
from services import postgres

# pyarrow raises "not found" as a KeyError of its own.
REFUSED = (flight.FlightError, pa.ArrowException)
AGREEMENT = hashlib.sha256(b"I shall not try to find out whose data these are.").hexdigest()
TIER = {
    "license": None,
    "rights": "https://tarn.example/agreement",
    "terms": {"id": "https://tarn.example/terms", "sha256": "0" * 64},
    "agreement": {
        "id": "https://tarn.example/agreement",
        "sha256": AGREEMENT,
        "committee": "dac",
        "months": 12,
        "purposes": ["research"],
    },
    "conditions": {"assurance": "low"},
    "human_data": False,
}


def register(lab, folder, name, **changes):
    """Registers a dataset of one file with a table."""
    path = random_netcdf(folder / f"{lab.name}_{name}.nc", 5, "NETCDF4", "noleap")
    lab.run("register", write_record(folder / f"{lab.name}_{name}.yaml", [path], name=name, **changes))
    lab.run("ingest", path, "--dataset", name, "--table", f"{name}_cells", "--grid", "time_lat_lon")


def token(lab, name, scope="read"):
    """A token's text."""
    return lab.run("token", "create", "--name", name, "--scope", scope, "--quiet").out.strip()


def header(text):
    """The header of a request with a token, or of one without."""
    return {} if text is None else {"Authorization": f"Bearer {text}"}


def call(lab, method, path, text=None, **body):
    """One request; the answer."""
    return requests.request(
        method, f"{lab.http_url}{path}", headers=header(text), json=body or None, timeout=60
    )


def sql(lab, query, text=None):
    """A query over HTTP; the answer."""
    return call(lab, "POST", "/api/v1/sql", text, query=query)


def stream(lab, table, text):
    """Rows of a stream over Flight."""
    client = flight.connect(lab.flight_url)
    command = json.dumps({"tarn.stream": 1, "dataset": table, "batch_size": 4}).encode()
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {text}".encode())])
    return client.get_flight_info(flight.FlightDescriptor.for_command(command), options).total_records


def test_access_is_asked_for_granted_by_the_committee_and_revoked(new_lab, tmp_path):
    lab = new_lab("ornl")
    register(lab, tmp_path, "trial", tier="controlled", exposure="redacted", **TIER)
    lab.run("user", "create", "dan", "--group", "dac")
    ann, dan, bob = token(lab, "ann"), token(lab, "dan"), token(lab, "bob", "admin")
    lab.start()
    query = "SELECT count(*) AS n FROM trial.trial_cells"
    peer = new_lab("llnl", start=True)
    lab.invite(peer)

    # Redacted: title and contact for everyone, tables for nobody.
    for text in (None, ann, bob):
        shown = call(lab, "GET", "/api/v1/datasets/ornl/trial", text).json()
        assert shown["redacted"] and not shown["tables"] and not shown["record"].get("description")
        assert shown["may_read"] is False
        assert sql(lab, query, text).status_code == 404
        assert "trial_cells" not in sql(lab, "SELECT * FROM information_schema.columns", text).text
    with pytest.raises(REFUSED):
        stream(lab, "ornl.trial.trial_cells", ann)
    assert peer.run("sql", "SELECT count(*) FROM ornl.trial.trial_cells", code=None).code in (3, 4)
    assert call(lab, "GET", "/api/v1/datasets/ornl/trial", dan).json()["tables"], "the committee sees it whole"
    assert sql(lab, query, dan).status_code == 403

    # Asking: the purpose, the text of the agreement and a person are needed.
    ask = {"purpose": "research", "justification": "mortality by region", "agreement": AGREEMENT}
    path = "/api/v1/access/requests"
    assert call(lab, "POST", path, None, dataset="trial", ask=ask).status_code == 403
    for wrong in ({"purpose": "marketing"}, {"agreement": "1" * 64}, {"justification": ""}):
        answer = call(lab, "POST", path, ann, dataset="trial", ask={**ask, **wrong})
        assert answer.status_code == 400, answer.text
    asked = call(lab, "POST", path, ann, dataset="ornl.trial", ask=ask)
    assert asked.status_code == 201, asked.text
    assert call(lab, "POST", path, ann, dataset="trial", ask=ask).status_code == 409
    request = asked.json()["id"]

    # Deciding: the committee, and not the person.
    assert [one["id"] for one in call(lab, "GET", path, dan).json()] == [request]
    assert call(lab, "GET", path, bob).json() == []
    for text in (ann, bob, None):
        assert call(lab, "POST", f"{path}/{request}/approve", text, months=6).status_code in (403, 404)
    assert sql(lab, query, ann).status_code == 404
    granted = call(lab, "POST", f"{path}/{request}/approve", dan, months=6)
    assert granted.status_code == 200, granted.text
    assert call(lab, "POST", f"{path}/{request}/approve", dan, months=6).status_code == 409
    assert sql(lab, query, ann).status_code == 200
    assert stream(lab, "ornl.trial.trial_cells", ann) > 0
    assert sql(lab, query, bob).status_code == 404
    # Without a name it is about who asks: the owner of the home.
    own = lab.run("access", "explain", "trial", "--json").json()
    assert all(own[action]["allowed"] for action in ("discover", "describe", "read", "write"))
    nobody = lab.run("access", "explain", "trial", "--for", "anonymous", "--json").json()
    assert [action for action, decision in nobody.items() if decision["allowed"]] == ["discover"]
    explained = call(lab, "GET", "/api/v1/datasets/ornl/trial/access", ann).json()
    assert explained["read"]["allowed"] and explained["read"]["policies"] == ["grant"]

    # Revoking ends it at once.
    grant = granted.json()["id"]
    assert call(lab, "POST", f"/api/v1/access/grants/{grant}/revoke", bob).status_code == 404
    assert call(lab, "POST", f"/api/v1/access/grants/{grant}/revoke", dan).status_code == 204
    assert sql(lab, query, ann).status_code == 404
    with pytest.raises(REFUSED):
        stream(lab, "ornl.trial.trial_cells", ann)
    listed = lab.run("access", "list", "trial", "--json").json()
    assert [one["id"] for one in listed] == [grant] and listed[0]["revoked_at"]


def test_aggregates_only_and_withdrawn_data_do_not_leave(new_lab, tmp_path):
    lab = new_lab("ornl")
    disclosure = {"unit": "lat", "minimum_cell": 11, "functions": ["count"], "group_by": []}
    register(lab, tmp_path, "census", tier="aggregates_only", exposure="full", disclosure=disclosure, **TIER)
    register(lab, tmp_path, "wrong")
    register(lab, tmp_path, "made", provenance={"derived_from": ["wrong"], "activity": "averaged"})
    asked = lab.run(
        *("access", "request", "census", "--for", "ann", "--purpose", "research", "--justification", "rates"),
        *("--agreement", AGREEMENT),
    )
    lab.run("access", "approve", asked.out.strip())
    ann = token(lab, "ann")
    lab.start()
    assert sql(lab, "SELECT count(*) FROM census.census_cells", ann).status_code == 200
    answer = sql(lab, "SELECT * FROM census.census_cells LIMIT 1", ann)
    assert answer.status_code == 403 and "only aggregates leave" in answer.text
    assert sql(lab, "SELECT count(*) FROM wrong.wrong_cells").status_code == 200
    done = lab.run("retract", "wrong", "--reason", "wrong calibration", "--replaced-by", "made", "--json")
    assert done.json()["derived"] == ["made"]
    assert sql(lab, "SELECT count(*) FROM wrong.wrong_cells").status_code == 403
    assert lab.run("sql", "SELECT count(*) FROM wrong.wrong_cells", code=3).code == 3
    page = requests.get(f"{lab.http_url}/datasets/ornl/wrong", timeout=30)
    assert page.status_code == 200 and "wrong calibration" in page.text
    names = {hit["name"] for hit in call(lab, "GET", "/api/v1/search").json()["hits"]}
    assert names == {"census", "made"}
    # Over HTTP, by those who may write it, with all of its versions.
    path, steward = "/api/v1/datasets/ornl/made", token(lab, "sue", "write")
    for text in (None, ann):
        assert call(lab, "POST", f"{path}/retract", text, reason="wrong, too").status_code == 403
    assert call(lab, "POST", f"{path}@1/retract", steward, reason="wrong, too").status_code == 400
    assert call(lab, "POST", f"{path}/retract", steward, reason=" ").status_code == 400
    done = call(lab, "POST", f"{path}/retract", steward, reason="wrong, too")
    assert done.status_code == 200 and done.json() == {"dataset": "made", "derived": [], "receipts": [], "next_receipts": None}
    assert call(lab, "POST", f"{path}/retract", steward, reason="wrong, too").status_code == 409


def everything(lab, peer, text):
    """What a lab answers to questions about a dataset that it hides, as text."""
    facets = "&".join(f"facet={key}" for key in ("tier", "keyword", "variable"))
    answers = [
        call(lab, "GET", path, text).text
        for path in (
            f"/api/v1/search?{facets}",
            f"/api/v1/search?q=random&{facets}",
            "/api/v1/search?q=secret",
            "/api/v1/datasets",
            "/api/v1/datasets/ornl/secret",
            "/api/v1/datasets/ornl/secret@1",
            "/api/v1/datasets/ornl/secret/versions",
            "/api/v1/datasets/ornl/secret/access",
            "/datasets/ornl/secret",
        )
    ]
    for query in (
        "SELECT * FROM secret.secret_cells",
        "SELECT * FROM secret_cells",
        'SELECT * FROM "secret@1".secret_cells',
        "SELECT * FROM ornl.secret.other",
        "SELECT * FROM secre.secret_cell",
        "DESCRIBE secret.secret_cells",
        "SHOW TABLES",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.schemata",
        "EXPLAIN SELECT * FROM secret.secret_cells",
    ):
        answers.append(sql(lab, query, text).text)
    ask = {"purpose": "research", "justification": "curious", "agreement": AGREEMENT}
    answers.append(call(lab, "POST", "/api/v1/access/requests", text, dataset="secret", ask=ask).text)
    for command in ({"dataset": "ornl.secret.secret_cells"}, {"dataset": "secret"}):
        body = json.dumps({"tarn.stream": 1, "batch_size": 4, **command}).encode()
        headers = [] if text is None else [(b"authorization", f"Bearer {text}".encode())]
        with pytest.raises(REFUSED) as refused:
            flight.connect(lab.flight_url).get_flight_info(
                flight.FlightDescriptor.for_command(body), flight.FlightCallOptions(headers=headers)
            )
        answers.append(str(refused.value))
    for words in ("SHOW TABLES", "SELECT * FROM ornl.secret.secret_cells", "SELECT * FROM ornl.secret.x"):
        done = peer.run("sql", words, "--format", "csv", code=None)
        answers.append(f"{done.code} {done.out} {done.err}")
    found = peer.run("search", "secret", "--json").json()
    answers.append(json.dumps([found["hits"], found["total"], found["facets"]]))
    return answers


def test_a_hidden_dataset_changes_no_byte_of_any_answer(new_lab, tmp_path):
    lab = new_lab("ornl")
    register(lab, tmp_path, "open_data")
    reader, writer = token(lab, "ann"), token(lab, "wes", "write")
    lab.start()
    peer = new_lab("llnl", start=True)
    lab.invite(peer)
    before = {text: everything(lab, peer, text) for text in (None, reader, writer)}
    hidden = {"tier": "restricted", "exposure": "none", **TIER, "reviewed": {"by": "rev", "on": "2026-11-01"}}
    register(lab, tmp_path, "secret", **hidden)
    assert lab.sql("SELECT count(*) FROM secret.secret_cells").rows[0][0] > 0
    # A peer keeps what it heard for half a minute; another one hears it now.
    peer.stop()
    peer.start()
    for text, answers in before.items():
        for old, new in zip(answers, everything(lab, peer, text), strict=True):
            cleaned = [strip(one) for one in (old, new)]
            assert cleaned[0] == cleaned[1]


def strip(answer):
    """An answer without what is another each time: durations, and connection details of errors."""
    import re

    text = re.sub(r'"(ms|as_of|age_seconds)": ?("[^"]*"|[0-9]+)', "", answer)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    text = re.sub(r"gRPC client debug context:.*", "", text, flags=re.S)
    return re.sub(r"Client context:.*", "", text, flags=re.S)


def test_a_backup_makes_the_same_home_again(new_lab, tmp_path, binary):
    lab = new_lab("ornl")
    register(lab, tmp_path, "open_data")
    text = token(lab, "ann")
    backup = tmp_path / "ornl.tarn"
    lab.start()
    lab.run("backup", backup)
    assert backup.stat().st_mode & 0o077 == 0, "others may read the secrets in it"
    assert lab.run("backup", backup, code=None).code == 1, "a backup was overwritten"
    before = lab.run("show", "open_data", "--json").json()
    lab.stop()
    lab.home.rename(tmp_path / "old")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(backup.read_bytes()[:-100])
    assert lab.run("restore", damaged, code=None).code == 5
    assert not (lab.home / "tarn.toml").exists()
    lab.run("restore", backup)
    assert lab.run("show", "open_data", "--json").json() == before
    assert lab.run("restore", backup, code=None).code == 1
    lab.start()
    assert call(lab, "GET", "/api/v1/datasets/ornl/open_data", text).status_code == 200
    assert call(lab, "GET", "/api/v1/search?q=random").json()["total"] == 1


def test_no_answer_has_a_nul_or_the_address_of_the_database(new_lab, tmp_path):
    """U+0000 in every place of every route, while the database is there and after it has gone."""
    with postgres() as url:
        lab = new_lab("ornl", env={"TARN_DATABASE": url})
        register(lab, tmp_path, "open_data")
        reader = token(lab, "ann", "write")
        lab.start()
        paths = call(lab, "GET", "/api/v1/openapi.json").json()["paths"]
        secrets = [url, "secret-word", url.split("@")[1].split("/")[0]]

        def answers():
            for path, operations in paths.items():
                parts = ["a%00" if part.startswith("{") else part for part in path.split("/")]
                for method in operations.keys() & {"get", "put", "post", "delete"}:
                    for text in (None, reader):
                        for query in ("", "?q=%00&name=%00&cursor=%00&verb=ListRecords&set=%00"):
                            yield call(lab, method.upper(), "/".join(parts) + query, text)

        for answer in answers():
            assert answer.status_code < 500, (answer.request.url, answer.text[:300])
            assert "\x00" not in answer.text and not any(secret in answer.text for secret in secrets), answer.request.url
        assert call(lab, "GET", "/api/v1/search?q=a%00b").status_code == 400
    # It has gone, and no answer says where it was. Each waits for a connection, so they are asked together.
    routes = ["search", "datasets", "datasets/ornl/open_data", "drafts", "searches", "me", "access/requests"]
    with ThreadPoolExecutor(len(routes)) as pool:
        gone = list(pool.map(lambda route: call(lab, "GET", f"/api/v1/{route}", reader), routes))
    assert {answer.status_code for answer in gone} == {503}
    for answer in gone:
        assert not any(secret in answer.text for secret in secrets), (answer.request.url, answer.text[:300])


def test_a_home_on_postgresql_works_as_one_on_sqlite(new_lab, tmp_path):
    with postgres() as url:
        lab = new_lab("ornl", env={"TARN_DATABASE": url})
        assert not (lab.home / "catalog.sqlite").exists()
        register(lab, tmp_path, "open_data")
        lab.run("register", tmp_path / "ornl_open_data.yaml", "--from", "7")
        path = tmp_path / "ornl_open_data.yaml"
        path.write_text(path.read_text().replace("title: ", "title: Another ", 1))
        lab.run("register", path, "--from", "7", code=1)
        lab.start()
        assert sql(lab, "SELECT count(*) FROM open_data.open_data_cells").status_code == 200
        assert call(lab, "GET", "/api/v1/search?q=random").json()["total"] == 1
        lab.run("backup", tmp_path / "pg.tarn")
        lab.stop()
        before = lab.run("show", "open_data", "--json").json()
    # The server is gone: a clear refusal, and no password in it.
    done = lab.run("show", "open_data", code=None)
    assert done.code == 1 and "postgres://" in done.err and "secret-word" not in done.err
    lab.env.pop("TARN_DATABASE")
    lab.home.rename(tmp_path / "old")
    lab.run("restore", tmp_path / "pg.tarn")
    assert (lab.home / "catalog.sqlite").exists()
    restored = lab.run("show", "open_data", "--json").json()
    assert restored["record"] == before["record"] and restored["ark"] == before["ark"]
