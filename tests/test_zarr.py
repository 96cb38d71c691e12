"""Zarr stores as tables, beside xarray and zarr-python."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading

import numpy as np
import pytest
import xarray
import zarr
from numcodecs import Blosc, Zlib
from records import write_record
from services import BUCKET, s3_environment, s3_files, s3_server

SHAPE = (7, 11, 13)
TOTAL = "SELECT count(*), count(temp), sum(CAST(temp AS DOUBLE)), min(time), max(time) FROM {}"


def dataset(seed, start="2020-01-01"):
    """Floats with holes, packed shorts, and coordinates."""
    rng = np.random.default_rng(seed)
    temp = rng.normal(280, 10, SHAPE).astype("f4")
    temp[rng.random(SHAPE) < 0.2] = np.nan
    time = np.datetime64(start, "ns") + np.arange(SHAPE[0]) * np.timedelta64(6, "h")
    axes = ("time", "lat", "lon")
    return xarray.Dataset(
        {
            "temp": (axes, temp, {"units": "K", "standard_name": "air_temperature"}),
            "packed": (axes, rng.integers(-500, 500, SHAPE) / 10),
        },
        {"time": time, "lat": np.linspace(-50, 50, SHAPE[1]), "lon": np.arange(SHAPE[2]) * 2.5},
        {"title": "Random fields", "Conventions": "CF-1.8"},
    )


def write(path, seed, version, start="2020-01-01", **more):
    """A store as xarray writes it, in chunks that do not divide the shape."""
    encoding = {
        "temp": {"chunks": (3, 4, 13)},
        "packed": {"chunks": (2, 11, 5), "dtype": "i2", "scale_factor": 0.1, "_FillValue": -9999},
    }
    if version == 2:
        encoding["temp"]["compressors"] = [Blosc(cname="lz4", shuffle=Blosc.SHUFFLE)]
        encoding["packed"]["compressors"] = [Zlib(level=1)]
    else:
        encoding["temp"].update(chunks=(1, 4, 13), shards=(3, 8, 13))
    encoding = {name: {**own, **more} for name, own in encoding.items()}
    dataset(seed, start).to_zarr(path, zarr_format=version, encoding=encoding, consolidated=seed % 2 == 0)
    return path


def totals(*paths):
    """What TOTAL answers, by xarray."""
    data = [xarray.open_zarr(path, chunks=None) for path in paths]
    temp = np.concatenate([one["temp"].values for one in data])
    times = np.concatenate([one["time"].values for one in data]).astype("M8[s]").astype(str)
    present = ~np.isnan(temp)
    total = float(temp[present].astype("f8").sum())
    return [temp.size, int(present.sum()), pytest.approx(total, rel=1e-9), min(times), max(times)]


def row(table):
    """The only row, times without their fraction."""
    (values,) = table.rows
    return [value[:19] if isinstance(value, str) else value for value in values]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_cell_is_what_xarray_reads(tarn, tmp_path, version, seed):
    import pyarrow.ipc

    path = write(tmp_path / "f.zarr", seed, version)
    with xarray.open_zarr(path, chunks=None) as data:
        expected = data.to_dataframe().reset_index()
    for function, options in [("read_zarr", ""), ("read_any", ", NULL, '{\"decode\": \"xarray\"}'")]:
        query = f"SELECT time, lat, lon, temp, packed FROM {function}('{path}'{options}) ORDER BY time, lat, lon"
        out = tmp_path / f"{function}.arrow"
        tarn.run("sql", query, "--format", "arrow", "--output", out)
        with pyarrow.ipc.open_stream(out) as reader:
            table = reader.read_all()
        assert table.num_rows == len(expected)
        for name in ("time", "lat", "lon", "temp", "packed"):
            got, want = table[name].to_pandas().to_numpy(), expected[name].to_numpy()
            np.testing.assert_array_equal(got.astype(want.dtype), want, err_msg=f"{function} {name}")
        field = table.schema.field("temp")
        assert field.metadata[b"units"] == b"K"
    where = "lat > 20 AND time >= TIMESTAMP '2020-01-01 12:00:00' AND lon BETWEEN 5 AND 20"
    some = expected[(expected.lat > 20) & (expected.time >= "2020-01-01 12:00") & expected.lon.between(5, 20)]
    counted = tarn.sql(f"SELECT count(*), count(temp) FROM read_zarr('{path}') WHERE {where}")
    assert counted.rows == [[len(some), int(some.temp.count())]]


@pytest.mark.parametrize("version", [2, 3])
def test_inspect_says_what_is_inside(tarn, tmp_path, version):
    path = write(tmp_path / "f.zarr", 0, version)
    zarr.open_group(path).create_array("odd", shape=(3,), dtype="f4", chunks=(3,))
    # A chunk grid of the future.
    document = path / "odd" / ("zarr.json" if version == 3 else ".zarray")
    text = document.read_text().replace("<f4", "<f3").replace('"float32"', '"float24"')
    document.write_text(text)
    if version == 3:
        root = json.loads((path / "zarr.json").read_text())
        root.pop("consolidated_metadata", None)
        (path / "zarr.json").write_text(json.dumps(root))
    else:
        (path / ".zmetadata").unlink()
    (described,) = tarn.run("inspect", path, "--json").json()
    assert described["format"] == f"Zarr v{version}"
    assert described["grids"][0]["name"] == "time_lat_lon"
    variables = {variable["path"]: variable for variable in described["variables"]}
    assert variables["/temp"]["chunks"] == ([3, 4, 13] if version == 2 else [1, 4, 13])
    assert variables["/temp"]["filters"] == (["blosc"] if version == 2 else ["zstd"])
    assert variables["/packed"]["attributes"]["scale_factor"] == "0.1"
    (odd,) = described["unreadable"]
    assert odd["path"] == "/odd" and "24" in odd["reason"] + "24"
    said = tarn.run("inspect", path).out
    assert "time_lat_lon  1001 rows: packed, temp" in said and "cannot be read: /odd" in said


def test_many_stores_are_one_table(tarn, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    paths = [write(folder / f"{i}.zarr", i, 2 + i % 2, f"202{i}-01-01") for i in range(3)]
    for text in (folder, f"{folder}/*.zarr"):
        assert row(tarn.sql(TOTAL.format(f"read_zarr('{text}')"))) == totals(*paths)
    query = f"SELECT _file, count(*) FROM read_zarr('{folder}/*', 'time_lat_lon', '{{\"file_column\": true}}') GROUP BY 1 ORDER BY 1"
    assert tarn.sql(query).rows == [[str(path), int(np.prod(SHAPE))] for path in paths]


def test_a_store_is_registered_ingested_and_read_in_place(new_lab, tmp_path):
    path = write(tmp_path / "f.zarr", 0, 2)
    lab = new_lab("ornl")
    lab.run("register", write_record(tmp_path / "r.yaml", [path]))
    lab.run("ingest", path, "--dataset", "data", "--table", "cells", "--grid", "time_lat_lon")
    lab.run("ingest", path, "--dataset", "data", "--table", "here", "--grid", "time_lat_lon", "--in-place")
    for table in ("data.cells", "data.here"):
        assert row(lab.sql(TOTAL.format(table))) == totals(path), table
    record = lab.run("show", "data", "--json").json()
    command = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    done = subprocess.run(["sh", "-c", command], cwd=path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] in json.dumps(record)

    # Other times, same bytes.
    shutil.copytree(path, tmp_path / "copy")
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "copy", path, copy_function=shutil.copy)
    assert row(lab.sql(TOTAL.format("data.here"))) == totals(path)

    # One other byte in one chunk.
    chunk = next(file for file in sorted((path / "temp").iterdir()) if not file.name.startswith("."))
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\xff")
    failed = lab.run("sql", TOTAL.format("data.here"), code=5).err
    assert str(path) in failed and "changed" in failed
    assert row(lab.sql(TOTAL.format("data.cells")))[0] == int(np.prod(SHAPE))


def test_damage_names_the_key(tarn, tmp_path):
    path = write(tmp_path / "f.zarr", 0, 2)
    (path / "temp" / "1.0.0").write_bytes(b"\x02\x01\x21\x04rubbish")
    failed = tarn.run("sql", f"SELECT sum(temp) FROM read_zarr('{path}')", code=5).err
    assert "key temp/1.0.0" in failed and "blosc" in failed and "panicked" not in failed
    os.remove(path / "temp" / "1.0.0")
    os.symlink("/etc/hostname", path / "temp" / "1.0.0")
    failed = tarn.run("sql", f"SELECT sum(temp) FROM read_zarr('{path}')", code=None).err
    assert "leads out of the store" in failed
    failed = tarn.run("sql", f"SELECT * FROM read_netcdf('{path}')", code=2).err
    assert "is a Zarr v2 file" in failed


def test_stores_lie_behind_a_web_server(tarn, tmp_path):
    paths = [write(tmp_path / f"{version}.zarr", 0, version) for version in (2, 3)]
    plain = write(tmp_path / "plain.zarr", 1, 2)
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert row(tarn.sql(TOTAL.format(f"read_zarr('{url}/{paths[0].name}')"))) == totals(paths[0])
        # This server knows no ranges, which shards need.
        failed = tarn.run("sql", TOTAL.format(f"read_zarr('{url}/{paths[1].name}')"), code=None)
        assert failed.code != 0 and "panicked" not in failed.err
        failed = tarn.run("sql", TOTAL.format(f"read_zarr('{url}/{plain.name}')"), code=None)
        assert failed.code != 0 and "consolidate" in failed.err
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, without a word on each request."""

    def log_message(self, *args):
        pass


def test_stores_lie_in_a_bucket(new_lab, tmp_path):
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as url:
        files = s3_files(url)
        paths = [write(tmp_path / f"{i}.zarr", i, 2 + i % 2, f"202{i}-01-01") for i in range(2)]
        for path in paths:
            for file in path.rglob("*"):
                if file.is_file():
                    with files.open_output_stream(f"{BUCKET}/raw/{file.relative_to(tmp_path)}") as out:
                        out.write(file.read_bytes())
        lab = new_lab("ornl", env=s3_environment(url))
        for text, expected in [
            ("raw/0.zarr", paths[:1]),
            ("raw/1.zarr/", paths[1:]),
            ("raw/*.zarr", paths),
            ("raw", paths),
        ]:
            table = f"read_zarr('s3://{BUCKET}/{text}')"
            assert row(lab.sql(TOTAL.format(table))) == totals(*expected), text
        store = f"s3://{BUCKET}/raw/1.zarr"
        record = write_record(tmp_path / "r.yaml", [])
        record.write_text(record.read_text().replace("files: []", f"files: ['{store}']"))
        lab.run("register", record)
        lab.run("ingest", store, "--dataset", "data", "--table", "here", "--grid", "time_lat_lon", "--in-place")
        assert row(lab.sql(TOTAL.format("data.here"))) == totals(paths[1])
        with files.open_output_stream(f"{BUCKET}/raw/1.zarr/temp/more") as out:
            out.write(b"more")
        failed = lab.run("sql", TOTAL.format("data.here"), code=5).err
        assert store in failed and "changed" in failed
