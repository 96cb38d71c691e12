"""Stores that are full, read-only, or not on this machine."""

import subprocess

import netCDF4
import numpy as np
import pyarrow as pa
import pytest
from fields import random_netcdf, read_masked
from records import write_record
from services import BUCKET, READER, SECRET, s3_environment, s3_files, s3_server
from web import web_server

CELLS = (40, 60, 80)


@pytest.fixture
def incompressible(tmp_path):
    """A file of random doubles: 1.5 MB that no encoding makes smaller."""
    path = tmp_path / "noise.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip(("time", "lat", "lon"), CELLS):
            file.createDimension(name, size)
        file.createVariable("v", "f8", ("time", "lat", "lon"))[:] = np.random.default_rng(0).normal(size=CELLS)
    return path


def in_a_store(lab, mount, *args):
    """Runs a command in a mount namespace where the store is on another file system; gives the
    ended process and the files that are in the store after it. Works as root and as a user."""
    listing = lab.home.parent / "listing.txt"
    script = f'{mount}; "$@"; code=$?; find "$STORE" -type f > "$LISTING"; exit $code'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *lab.command(*args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**lab.environment(), "STORE": str(lab.home / "store"), "LISTING": str(listing)},
    )
    assert listing.exists(), f"no mount namespace could be made: {done.stderr}"
    return done, listing.read_text().split()


FULL = 'mount -t tmpfs -o size=256k none "$STORE"'
READ_ONLY = 'mount --bind "$STORE" "$STORE" && mount -o remount,ro,bind "$STORE"'


@pytest.mark.parametrize(
    ("mount", "words"),
    [(FULL, ("space", "full", "storage")), (READ_ONLY, ("read-only", "readonly"))],
    ids=["full", "read_only"],
)
def test_a_store_that_takes_nothing_more_is_said_and_left_as_it_was(lab_with, incompressible, mount, words):
    lab = lab_with([incompressible])
    ingest = ["ingest", incompressible, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon"]
    done, left = in_a_store(lab, mount, *ingest)
    assert done.returncode == 1, done.stderr
    assert any(word in done.stderr.lower() for word in words), done.stderr
    assert "panicked" not in done.stderr
    assert not [name for name in left if "_delta_log" in name and name.endswith(".json")], (
        "a commit stands in a store that failed"
    )
    lab.run("sql", "SELECT count(*) FROM data.cells", code=4)
    assert lab.run("versions", "data", "--json").json()[-1]["version"] == 1

    lab.run(*ingest)
    assert lab.sql("SELECT count(v) FROM data.cells").rows == [[int(np.prod(CELLS))]]


def test_a_full_disk_under_the_home_fails_a_registration_and_keeps_the_catalog(
    lab_with, new_lab, tmp_path, incompressible
):
    lab = new_lab("ornl")
    record = write_record(tmp_path / "r.yaml", [incompressible])
    # A new home on a full file system.
    script = 'mount -t tmpfs -o size=16k none "$STORE" && head -c 16384 /dev/zero > "$STORE/x"; "$@"'
    done = subprocess.run(
        [
            "unshare",
            "-rm",
            "sh",
            "-c",
            script,
            "sh",
            lab.binary,
            "--home",
            str(lab.home / "store" / "home"),
            "init",
            "--lab",
            "full",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**lab.environment(), "STORE": str(lab.home / "store")},
    )
    assert done.returncode == 1, done.stderr
    assert "panicked" not in done.stderr
    # A catalog that cannot be written is said, and is whole afterwards.
    script = 'mount --bind "$STORE" "$STORE" && mount -o remount,ro,bind "$STORE"; "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *lab.command("register", record)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**lab.environment(), "STORE": str(lab.home)},
    )
    assert done.returncode == 1, done.stderr
    assert "panicked" not in done.stderr
    lab.run("show", "data", code=4)
    lab.run("register", record)
    lab.run("show", "data")


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """An S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


def test_tables_and_files_may_lie_in_a_bucket(new_lab, tmp_path, s3):
    path = random_netcdf(tmp_path / "f.nc", 80, "NETCDF4", "noleap")
    with s3_files(s3).open_output_stream(f"{BUCKET}/raw/f.nc") as out:
        out.write(path.read_bytes())
    field = read_masked(path)[0]["temp"]
    expected = [field.size, int(field.count()), pytest.approx(float(field.astype("f8").sum()), rel=1e-9)]

    lab = new_lab("ornl", env={**s3_environment(s3), "TARN_STORE": f"s3://{BUCKET}/tables"})
    url = f"s3://{BUCKET}/raw/f.nc"
    query = "SELECT count(*), count(temp), sum(CAST(temp AS DOUBLE)) FROM {}"
    assert lab.sql(query.format(f"read_netcdf('{url}')")).rows == [expected]

    record = tmp_path / "r.yaml"
    write_record(record, [])
    text = record.read_text().replace("files: []", f"files: ['{url}']")
    record.write_text(text)
    lab.run("register", record)
    lab.run("ingest", url, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon")
    lab.run("ingest", url, "--dataset", "data", "--table", "here", "--grid", "time_lat_lon", "--in-place")
    for table in ("data.cells", "data.here"):
        assert lab.sql(query.format(table)).rows == [expected], table

    import deltalake

    options = {**s3_environment(s3), "allow_http": "true"}
    read = deltalake.DeltaTable(f"s3://{BUCKET}/tables/data/cells", storage_options=options).to_pyarrow_table()
    assert read.num_rows == field.size
    assert np.asarray(read["temp"].drop_null(), "f8").sum() == expected[2]
    assert not list((lab.home / "store").rglob("*.parquet"))


@pytest.mark.parametrize("anywhere", ["home", "bucket"])
def test_a_delta_table_of_others_is_used_where_it_lies_in_a_bucket(new_lab, tmp_path, s3, anywhere):
    import deltalake

    url, options = f"s3://{BUCKET}/theirs/{anywhere}", {**s3_environment(s3), "allow_http": "true"}
    places = ["a b", "x/y", "50%", "é:ü", "k=v", "a+b", None, "#?&", "'q'\"", "%2E%2E"]

    def rows(first):
        numbers = range(first, first + 300)
        return pa.table({"place": [places[n % len(places)] for n in numbers], "n": numbers, "x": [None if n % 7 == 0 else n / 3 for n in numbers]})

    deltalake.write_deltalake(url, rows(0), partition_by=["place"], storage_options=options)
    deltalake.write_deltalake(url, rows(300), mode="append", storage_options=options)
    deltalake.DeltaTable(url, storage_options=options).delete("n % 10 = 3")
    environment = {"TARN_STORE": f"s3://{BUCKET}/tables"} if anywhere == "bucket" else {}
    lab = new_lab("ornl", env={**s3_environment(s3), **environment})
    record = write_record(tmp_path / "r.yaml", [])
    record.write_text(record.read_text().replace("files: []", f"files: ['{url}']"))
    lab.run("register", record)
    lab.run("ingest", url, "--dataset", "data", "--table", "t", "--in-place")
    read = deltalake.DeltaTable(url, storage_options=options).to_pyarrow_table()

    def agree():
        assert sorted(lab.sql("SELECT place, n, x FROM data.t").rows, key=repr) == sorted((list(row.values()) for row in read.select(["place", "n", "x"]).to_pylist()), key=repr)
        for place in places:
            means = "place IS NULL" if place is None else "place = '{}'".format(place.replace("'", "''"))
            expected = sum(value == place for value in read["place"].to_pylist())
            assert lab.sql(f"SELECT count(*) FROM data.t WHERE {means} AND n >= 0").rows == [[expected]], place

    agree()
    # Others write on: the version that is registered stays what it was.
    deltalake.write_deltalake(url, rows(600), mode="append", storage_options=options)
    agree()


def test_files_of_a_web_server_take_few_requests_and_changes_are_noticed(new_lab, tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    path = random_netcdf(folder / "f.nc", 82, "NETCDF4", "noleap")
    field = read_masked(path)[0]["temp"]
    query = "SELECT count(*), count(temp), sum(CAST(temp AS DOUBLE)) FROM {}"
    expected = [field.size, int(field.count()), pytest.approx(float(field.astype("f8").sum()), rel=1e-9)]
    lab = new_lab("ornl")
    with web_server(folder) as web:
        url = f"{web.url}/f.nc"
        assert lab.sql(query.format(f"read_netcdf('{url}')")).rows == [expected]
        assert web.requests <= 4 and web.bytes <= path.stat().st_size

        write_record(tmp_path / "r.yaml", [])
        text = (tmp_path / "r.yaml").read_text().replace("files: []", f"files: ['{url}']")
        (tmp_path / "r.yaml").write_text(text)
        lab.run("register", tmp_path / "r.yaml")
        lab.run("ingest", url, "--dataset", "data", "--table", "here", "--grid", "time_lat_lon", "--in-place")
        # The metadata are known: the file is looked at once, and nothing of it is read for its shape.
        web.requests = web.bytes = 0
        assert lab.sql("SELECT count(*) FROM data.here").rows == [[field.size]]
        assert (web.requests, web.bytes) == (1, 0)
        assert lab.sql(query.format("data.here")).rows == [expected]

        other = bytearray(path.read_bytes())
        other[-1] ^= 1
        path.write_bytes(other)
        done = lab.run("sql", query.format("data.here"), code=None)
        assert done.code != 0 and "changed" in done.err, done.describe()


@pytest.mark.parametrize(
    "change",
    [
        {"AWS_SECRET_ACCESS_KEY": "wrong-and-secret"},
        {"AWS_ACCESS_KEY_ID": READER},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    ],
    ids=["wrong_secret", "read_only", "away"],
)
def test_a_bucket_that_refuses_is_named_without_secrets(new_lab, tmp_path, s3, change):
    path = random_netcdf(tmp_path / "f.nc", 81, "NETCDF4", "noleap")
    lab = new_lab("ornl", env={**s3_environment(s3), **change, "TARN_STORE": f"s3://{BUCKET}/refused"})
    lab.run("register", write_record(tmp_path / "r.yaml", [path]))
    done = lab.run("ingest", path, "--dataset", "data", "--table", "cells", code=None, timeout=300)
    assert done.code == (1 if "AWS_ENDPOINT_URL" in change else 3), done.describe()
    assert BUCKET in done.err
    assert "wrong-and-secret" not in done.err and SECRET not in done.err
    lab.run("sql", "SELECT count(*) FROM data.cells", code=4)
