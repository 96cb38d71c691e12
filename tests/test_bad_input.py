"""What goes wrong is said clearly, with its exit code, and leaves nothing half-written."""

import json
import socket

import pytest
import requests
from fields import random_netcdf
from records import write_record
from web import web_server


@pytest.fixture
def good(tmp_path):
    """A sound file."""
    return random_netcdf(tmp_path / "good.nc", 1, "NETCDF4", "noleap")


def damaged(good, kind):
    """A file that is wrong in one way, and a word its error must hold."""
    path = good.with_name(f"{kind}.nc")
    whole = good.read_bytes()
    texts = {
        "truncated": whole[: len(whole) * 6 // 10],
        "header_only": whole[:48],
        "empty": b"",
        "text": b"time,lat,lon\n1,2,3\n",
        "page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "zeros": bytes(4096),
        "hdf4": b"\x0e\x03\x13\x01" + bytes(200),
    }
    path.write_bytes(texts[kind])
    return path


WORDS = {"truncated": "truncated", "empty": "empty", "page": "HTML", "pointer": "LFS", "hdf4": "HDF4"}


@pytest.mark.parametrize("kind", ["truncated", "header_only", "empty", "text", "page", "pointer", "zeros", "hdf4"])
@pytest.mark.parametrize("command", ["sql", "inspect"])
def test_a_damaged_file_is_named_with_what_it_is(tarn, good, kind, command):
    path = damaged(good, kind)
    args = ["sql", f"SELECT sum(temp) FROM read_netcdf('{path}')"] if command == "sql" else ["inspect", path]
    done = tarn.run(*args, code=5)
    assert path.name in done.err
    assert WORDS.get(kind, "").lower() in done.err.lower()
    assert "panicked" not in done.err


def test_bytes_that_flip_give_an_error_or_an_answer_and_never_a_crash(tarn, good, tmp_path):
    import random

    whole, rng = good.read_bytes(), random.Random(3)
    for _ in range(25):
        bytes_ = bytearray(whole)
        for _ in range(rng.randint(1, 12)):
            bytes_[rng.randrange(min(len(bytes_), 6000))] = rng.randrange(256)
        path = tmp_path / "flipped.nc"
        path.write_bytes(bytes_)
        done = tarn.run("sql", f"SELECT count(*), count(temp) FROM read_netcdf('{path}')", code=None, timeout=60)
        assert done.code in (0, 1, 2, 4, 5), done.describe()
        assert "panicked" not in done.err, done.describe()


def test_a_file_that_is_not_there_is_not_found(tarn, tmp_path):
    done = tarn.run("sql", f"SELECT 1 FROM read_netcdf('{tmp_path}/nothing.nc')", code=4)
    assert "nothing.nc" in done.err


def test_wrong_sql_is_a_usage_error_that_says_where(tarn, good):
    assert "SELEC" in tarn.run("sql", "SELEC 1", code=2).err
    done = tarn.run("sql", f"SELECT tmep FROM read_netcdf('{good}')", code=2)
    assert "tmep" in done.err and "temp" in done.err
    done = tarn.run("sql", f"SELECT 1 FROM read_netcdf('{good}', 'no_such_grid')", code=4)
    assert "time_lat_lon" in done.err


@pytest.mark.parametrize("extension", ["csv", "json", "arrow", "parquet"])
def test_an_answer_that_fails_on_its_way_leaves_no_file(tarn, good, tmp_path, extension):
    # The hundredth row or so cannot be cast, long after the query was planned.
    query = f"SELECT CAST(CASE WHEN lat < 0 THEN 'x' ELSE '1' END AS INT) AS n FROM read_netcdf('{good}')"
    (tmp_path / "out").mkdir()
    tarn.run("sql", query, "--output", tmp_path / "out" / f"answer.{extension}", code=None)
    assert tarn.run("sql", query, code=None).code != 0
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (a INT)",
        "DROP TABLE data.cells",
        "INSERT INTO x VALUES (1)",
        "DELETE FROM x",
        "COPY (SELECT 1) TO '/tmp/tarn-must-not-be.csv'",
        "SET datafusion.execution.batch_size = 1",
    ],
)
def test_statements_that_change_things_are_refused(tarn, statement):
    done = tarn.run("sql", statement, code=None)
    assert done.code in (2, 3, 4), done.describe()


def test_unknown_flags_and_values_are_usage_errors(tarn, good):
    assert "--no-such" in tarn.run("sql", "SELECT 1", "--no-such", code=2).err
    assert "nope" in tarn.run("ingest", good, "--dataset", "d", "--column", "y=nope", code=2).err


def test_a_folder_that_is_no_home_says_how_to_make_one(tarn, tmp_path):
    done = tarn.run("--home", tmp_path / "nowhere", "search", "x", code=4)
    assert "tarn init" in done.err
    assert not (tmp_path / "nowhere").exists()


def test_init_refuses_a_home_that_is_there(new_lab):
    lab = new_lab("ornl")
    before = (lab.home / "tarn.toml").read_bytes()
    assert "home already" in lab.run("init", "--lab", "other", code=1).err
    assert (lab.home / "tarn.toml").read_bytes() == before


@pytest.mark.parametrize("field", ["title", "description", "creators", "license", "keywords", "tier"])
def test_a_record_without_a_required_field_is_refused_with_the_field_and_the_fix(new_lab, good, tmp_path, field):
    lab = new_lab("ornl")
    record = write_record(tmp_path / "r.yaml", [good], **{field: None})
    for flags in ([], ["--dry-run"]):
        done = lab.run("register", record, *flags, code=5)
        assert field in done.err + done.out
    lab.run("show", "data", code=4)
    assert lab.run("search", "--json").json()["total"] == 0


def test_every_violation_of_a_record_is_told_at_once(new_lab, good, tmp_path):
    lab = new_lab("ornl")
    record = write_record(
        tmp_path / "r.yaml",
        [good],
        title="short",
        description="too short",
        license="NOT-A-LICENCE",
        creators=[{"name": "A", "orcid": "0000-0002-1825-0098"}],
    )
    done = lab.run("register", record, code=5)
    for field in ("title", "description", "license", "orcid"):
        assert field in done.err + done.out, field


def test_a_record_with_an_unknown_key_is_refused_by_name(new_lab, good, tmp_path):
    record = write_record(tmp_path / "r.yaml", [good], licence="CC0-1.0")
    assert "licence" in new_lab("ornl").run("register", record, code=5).err


def test_a_record_over_a_damaged_file_is_not_registered(new_lab, good, tmp_path):
    lab = new_lab("ornl")
    path = damaged(good, "truncated")
    assert path.name in lab.run("register", write_record(tmp_path / "r.yaml", [path]), code=5).err
    lab.run("show", "data", code=4)


def test_unknown_names_are_not_found(lab_with, good):
    lab = lab_with([good])
    for args in (
        ["sql", "SELECT * FROM data.nothing"],
        ["sql", "SELECT * FROM nowhere.data.cells"],
        ["show", "nothing"],
        ["show", "data@9"],
        ["versions", "nothing"],
        ["stream", "data.nothing"],
        ["ingest", good, "--dataset", "nothing"],
        ["peer", "remove", "nowhere"],
        ["token", "revoke", "nobody"],
    ):
        done = lab.run(*args, code=4)
        assert (
            "noth" in done.err
            or "nowhere" in done.err
            or "data@9" in done.err
            or "nobody" in done.err
            or "version" in done.err
        )


def test_a_port_in_use_is_said_and_the_server_ends(new_lab):
    lab = new_lab("ornl")
    for port in (lab.http, lab.flight):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            done = lab.run("serve", code=1, timeout=30)
            assert f"127.0.0.1:{port}" in done.err
    lab.start()


def test_wrong_tokens_are_refused_and_no_token_is_anonymous(lab_with, good):
    lab = lab_with([good], start=True)
    url = f"{lab.http_url}/api/v1/datasets"
    assert requests.get(url, timeout=10).status_code == 200
    for header in ("Bearer wrong", "Bearer tarn_00000000_00000000", "Basic eDp5", "Bearer "):
        answer = requests.get(url, headers={"Authorization": header}, timeout=10)
        assert answer.status_code == 401, header
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["content-type"] == "application/problem+json"
    token = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    assert requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 200
    lab.run("token", "revoke", "ann")
    assert requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 401


def test_errors_are_json_where_json_is_asked_for(tarn, tmp_path):
    done = tarn.run("--json", "sql", "SELEC 1", code=2)
    assert json.loads(done.err)["error"]["code"] == "invalid_argument"


def test_files_of_the_server_are_not_open_to_the_network(lab_with, good):
    with web_server(good.parent) as web:
        refused_over_the_network(lab_with([good], start=True), good, f"{web.url}/{good.name}")
        assert web.requests == 0, "the node asked another server for a stranger"


def refused_over_the_network(lab, good, url):
    token = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    for query in (
        f"SELECT * FROM read_netcdf('{good}')",
        f"SELECT * FROM '{good}'",
        "SELECT * FROM read_any('/etc/passwd')",
        f"SELECT * FROM read_any('{url}')",
        f"SELECT * FROM '{url}'",
    ):
        answer = requests.post(
            f"{lab.http_url}/api/v1/sql",
            json={"query": query},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        assert answer.status_code in (400, 403, 404), answer.text
        assert "-9999" not in answer.text


def test_a_broken_invitation_is_refused(new_lab):
    lab = new_lab("ornl")
    for text in ("nonsense", "", "eyJ4IjoxfQ"):
        done = lab.run("peer", "accept", text, code=None)
        assert done.code in (1, 2, 3, 5), done.describe()
        assert "panicked" not in done.err
    assert lab.run("peer", "list", "--json").json() == []


def test_a_record_with_a_key_twice_or_a_name_that_is_none_says_so(new_lab, good, tmp_path):
    lab = new_lab("ornl")
    path = write_record(tmp_path / "r.yaml", [good], name="x")
    path.write_text(path.read_text(encoding="utf-8") + "title: Another title of the same record\n", encoding="utf-8")
    refused = lab.run("register", path, code=5)
    assert "/title" in refused.err and "write it once" in refused.err
    for name in ("_x", "2020", "Sea-Ice"):
        refused = lab.run("register", write_record(tmp_path / "r.yaml", [good], name=name), code=5)
        assert "/name" in refused.err and "the first a letter, such as sea_ice_2020" in refused.err
        assert "the first a letter" in lab.run("record", "new", good, "--name", name, code=2).err
    numbered = tmp_path / "2020.nc"
    numbered.write_bytes(good.read_bytes())
    assert lab.run("record", "new", numbered, "--json").json()["name"] == "data_2020"
