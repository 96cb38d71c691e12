"""Delta tables that others wrote, used where they are: the same rows as DuckDB and deltalake, and as by hand."""

import datetime
import decimal
import re

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from delta_logs import add, checkpoint_v2, commit, field, inline_vector, metadata, protocol, stored_vector
from deltalake import DeltaTable, write_deltalake
from fields import random_netcdf
from records import write_record
from test_ingest import load_delta

INT, TEXT = "long", "string"


@pytest.fixture
def lab(new_lab):
    """A lab without datasets."""
    return new_lab("ornl")


def use(lab, folder, dataset="data", code=0):
    """Registers a Delta table and makes it the table `t` of its dataset; the command that ended with `code`."""
    record = write_record(folder.parent / f"{dataset}.yaml", [folder], name=dataset)
    done = lab.run("register", record, code=None)
    if done.code == 0 or code == 0:
        done = lab.run("ingest", folder, "--dataset", dataset, "--table", "t", "--in-place", "--json", code=None)
    assert (done.code == 0) == (code == 0), done.describe()
    return done


def by_duckdb(folder, query):
    """The rows of a query over `t` by DuckDB's Delta reader."""
    connection = duckdb.connect()
    load_delta(connection)
    connection.execute(f"CREATE VIEW t AS FROM delta_scan('{folder}')")
    return [list(row) for row in connection.execute(query).fetchall()]


def agree(lab, folder, *queries):
    """Tarn and DuckDB answer alike."""
    for query in queries:
        assert lab.sql(query.replace("FROM t", "FROM data.t")).rows == by_duckdb(folder, query), query


def test_a_table_of_deltalake_with_odd_partitions_and_nulls_is_read_as_by_duckdb(lab, tmp_path):
    folder = tmp_path / "odd"
    places = ["a b", "x/y", "50%", "é:ü", "k=v", "a+b", "", None, "#?&", "'q'\"", "..", "%2E%2E"]
    count = 240
    table = pa.table(
        {
            "place": pa.array([places[i % len(places)] for i in range(count)], pa.string()),
            "day": pa.array([None if i % 7 == 0 else datetime.date(2020, 1, 1 + i % 3) for i in range(count)], pa.date32()),
            "number": pa.array([None if i % 5 == 0 else i for i in range(count)], pa.int64()),
            "price": pa.array([decimal.Decimal(i) / 100 for i in range(count)], pa.decimal128(15, 2)),
            "at": pa.array([datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=i) for i in range(count)], pa.timestamp("us", "UTC")),
            "good": pa.array([None if i % 11 == 0 else i % 2 == 0 for i in range(count)], pa.bool_()),
            "small": pa.array([i % 100 for i in range(count)], pa.int8()),
            "ratio": pa.array([np.float32(i) / 3 for i in range(count)], pa.float32()),
        }
    )
    write_deltalake(str(folder), table, partition_by=["place", "day", "good"])
    use(lab, folder)
    rows = lab.sql("SELECT place, CAST(day AS VARCHAR) AS day, number, good FROM data.t").rows
    read = DeltaTable(str(folder)).to_pyarrow_table().to_pylist()
    expected = [[row["place"], row["day"] and str(row["day"]), row["number"], row["good"]] for row in read]
    assert sorted(rows, key=repr) == sorted(expected, key=repr)
    for place in places:
        # An empty value of a partition column is NULL: the protocol says so.
        means = "place IS NULL" if not place else "place = '{}'".format(place.replace("'", "''"))
        counted = sum((row["place"] or None) == (place or None) for row in read)
        assert lab.sql(f"SELECT count(*) FROM data.t WHERE {means}").rows == [[counted]], place
    streamed = tmp_path / "stream.arrow"
    lab.run("stream", "data.t", "--batch-size", "64", "--output", streamed)
    with pa.ipc.open_stream(streamed) as reader:
        got = [[row["place"], row["day"] and str(row["day"]), row["number"], row["good"]] for row in reader.read_all().to_pylist()]
    assert sorted(got, key=repr) == sorted(expected, key=repr)
    agree(
        lab,
        folder,
        "SELECT place, count(*), count(number), sum(number) FROM t GROUP BY place ORDER BY place NULLS LAST",
        "SELECT good, min(number), max(small) FROM t WHERE day = DATE '2020-01-02' GROUP BY good ORDER BY good NULLS LAST",
        "SELECT count(*), min(place), max(place) FROM t WHERE day IS NULL AND good",
        "SELECT count(*) FROM t WHERE price > 1.5 AND place <> 'x/y'",
        "SELECT count(*) FROM t WHERE \"at\" < TIMESTAMPTZ '2020-01-02 00:00:00Z'",
    )


def numbers(start, count):
    return pa.array(range(start, start + count), pa.int64())


@pytest.mark.parametrize("kind", ["inline", "stored"])
def test_rows_that_a_deletion_vector_deletes_are_gone_from_every_kind_of_answer(lab, tmp_path, kind):
    folder = tmp_path / "deleted"
    folder.mkdir()
    rows, gone = 70_000, [0, 3, 65_535, 65_536, 69_999]
    vector = inline_vector(gone) if kind == "inline" else stored_vector(folder, gone)
    table = pa.table({"n": numbers(0, rows), "g": pa.array([f"g{i % 3}" for i in range(rows)])})
    stats = {"minValues": {"n": 0}, "maxValues": {"n": rows - 1}, "nullCount": {"n": 0, "g": 0}, "tightBounds": False}
    whole = pa.table({"n": numbers(rows, 10), "g": pa.array(["h"] * 10)})
    commit(
        folder,
        0,
        protocol("deletionVectors"),
        metadata([field("n", INT), field("g", TEXT)], delta__enableDeletionVectors="true"),
        add(folder, "a.parquet", table, vector=vector, stats=stats),
        add(folder, "b.parquet", whole),
    )
    done = use(lab, folder).json()
    kept = [n for n in range(rows + 10) if n not in gone]
    assert done["tables"][0]["rows"] == len(kept)
    ask = "SELECT count(*), count(n), min(n), max(n), sum(n) FROM data.t"
    assert lab.sql(ask).rows == [[len(kept), len(kept), 1, rows + 9, sum(kept)]]
    assert lab.sql("SELECT count(*) FROM data.t").rows == [[len(kept)]]
    assert lab.sql("SELECT min(n) FROM data.t").rows == [[1]]
    assert lab.sql("SELECT n FROM data.t WHERE n IN (0, 2, 3, 4, 65535, 65536, 65537, 69999, 70000) ORDER BY n").rows == [
        [2], [4], [65537], [70000]
    ]
    assert lab.sql("SELECT n FROM data.t ORDER BY n LIMIT 3").rows == [[1], [2], [4]]
    assert len(lab.sql("SELECT n FROM data.t LIMIT 70020").rows) == len(kept)
    agree(lab, folder, "SELECT g, count(*), sum(n) FROM t GROUP BY g ORDER BY g", "SELECT count(*) FROM t WHERE n < 10")
    refused = lab.run("stream", "data.t", "--batch-size", "64", code=None)
    assert refused.code != 0 and "deletion vectors" in refused.err


@pytest.mark.parametrize("mode", ["name", "id"])
def test_columns_are_found_by_their_physical_names_and_numbers(lab, tmp_path, mode):
    folder = tmp_path / "mapped"
    columns = [field("Größe (m)", INT, 1, "col-a"), field("kind", TEXT, 2, "col-b"), field("day", "date", 3, "col-c")]
    columns += [field("later", INT, 4, "col-d"), {**field("kind of", "string", 5, "kind")}]

    def data(start, count):
        names = ("col-a", "col-b", "kind")
        arrays = [numbers(start, count), pa.array([f"k{i % 4}" for i in range(count)]), pa.array(["old"] * count)]
        fields = [
            pa.field(name, array.type, metadata={"PARQUET:field_id": str(number)})
            for name, array, number in zip(names, arrays, (1, 2, 5))
        ]
        return pa.table(arrays, schema=pa.schema(fields))

    commit(
        folder,
        0,
        protocol("columnMapping"),
        metadata(columns, ["day"], delta__columnMapping__mode=mode, delta__columnMapping__maxColumnId="5"),
        add(folder, "p1/a.parquet", data(0, 100), {"col-c": "2020-01-01"}),
        add(folder, "p2/b.parquet", data(100, 50), {"col-c": "2020-01-02"}),
        add(folder, "p3/c.parquet", data(150, 50), {"col-c": None}),
    )
    use(lab, folder)
    ask = 'SELECT "Größe (m)", kind, CAST(day AS VARCHAR) AS day, later, "kind of" FROM data.t'
    days = lambda n: "2020-01-01" if n < 100 else "2020-01-02" if n < 150 else None  # noqa: E731
    starts = lambda n: 0 if n < 100 else 100 if n < 150 else 150  # noqa: E731
    expected = [[n, f"k{(n - starts(n)) % 4}", days(n), None, "old"] for n in range(200)]
    assert lab.sql(f'{ask} ORDER BY "Größe (m)"').rows == expected
    assert lab.sql("SELECT kind, count(*) FROM data.t WHERE day = DATE '2020-01-02' GROUP BY kind ORDER BY kind").rows == [
        [f"k{i}", 13 if i < 2 else 12] for i in range(4)
    ]
    assert lab.sql('SELECT count(*) FROM data.t WHERE "Größe (m)" >= 190 AND later IS NULL').rows == [[10]]
    agree(lab, folder, 'SELECT kind, count(*), sum("Größe (m)") FROM t GROUP BY kind ORDER BY kind')
    streamed = tmp_path / "stream.arrow"
    lab.run("stream", "data.t", "--batch-size", "64", "--output", streamed)
    with pa.ipc.open_stream(streamed) as reader:
        got = reader.read_all().to_pylist()
    seen = [[row["Größe (m)"], row["kind"], row["day"] and str(row["day"]), row["later"], row["kind of"]] for row in got]
    assert sorted(seen, key=lambda row: row[0]) == expected


def test_columns_that_numbers_alone_tell_apart_are_refused_and_not_mixed_up(lab, tmp_path):
    folder = tmp_path / "numbered"
    columns = [field("one", INT, 1, "a"), field("two", INT, 2, "b")]
    # The file calls the second column as the table calls the first one.
    fields = [pa.field(name, pa.int64(), metadata={"PARQUET:field_id": n}) for name, n in (("b", "1"), ("a", "2"))]
    data = pa.table([numbers(0, 5), numbers(100, 5)], schema=pa.schema(fields))
    configuration = {"delta__columnMapping__mode": "id", "delta__columnMapping__maxColumnId": "2"}
    commit(folder, 0, protocol("columnMapping"), metadata(columns, **configuration), add(folder, "a.parquet", data))
    refused = use(lab, folder, code=5)
    assert "by numbers" in refused.err


def test_a_checkpoint_of_the_second_kind_with_its_sidecar_is_read(lab, tmp_path):
    folder = tmp_path / "checkpointed"
    actions = [
        protocol("v2Checkpoint"),
        metadata([field("n", INT)], delta__checkpointPolicy="v2"),
    ]
    adds = [add(folder, f"{i}.parquet", pa.table({"n": numbers(100 * i, 100)})) for i in range(5)]
    commit(folder, 0, *actions, *adds)
    checkpoint_v2(folder, 0, actions, adds)
    use(lab, folder)
    assert lab.sql("SELECT count(*), sum(n) FROM data.t").rows == [[500, sum(range(500))]]
    agree(lab, folder, "SELECT count(*), min(n), max(n) FROM t WHERE n > 250")


def test_a_version_stays_what_it_was_while_others_write_on(lab, tmp_path):
    folder = tmp_path / "growing"
    write_deltalake(str(folder), pa.table({"n": numbers(0, 10)}))
    use(lab, folder)
    write_deltalake(str(folder), pa.table({"n": numbers(10, 10)}), mode="append")
    assert lab.sql("SELECT count(*) FROM data.t").rows == [[10]]
    again = lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place", "--json").json()
    assert (again["version"], again["rows_added"], again["files_added"]) == (2, 10, 1)
    assert lab.sql("SELECT count(*) FROM data.t").rows == [[20]]
    assert lab.sql('SELECT count(*) FROM "data@1".t').rows == [[10]]
    same = lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place", "--json").json()
    assert (same["version"], same["rows_added"], same["files_added"]) == (2, 0, 0)


def test_not_a_number_is_found_where_bounds_leave_it_out(lab, tmp_path):
    folder = tmp_path / "nan"
    values = pa.table({"n": numbers(0, 4), "x": pa.array([1.0, float("nan"), 3.0, None])})
    write_deltalake(str(folder), values)
    write_deltalake(str(folder), pa.table({"n": numbers(4, 2), "x": pa.array([7.0, 8.0])}), mode="append")
    use(lab, folder)
    # To both engines NaN is greater than every number; neither bound of its file says that it is there.
    agree(
        lab,
        folder,
        "SELECT count(*) FROM t WHERE n < 4 AND x IS NOT NULL",
        "SELECT count(*) FROM t",
    )
    assert lab.sql("SELECT n FROM data.t WHERE x > 5 ORDER BY n").rows == [[1], [4], [5]]
    assert lab.sql("SELECT count(*) FROM data.t WHERE isnan(x)").rows == [[1]]
    assert lab.sql("SELECT isnan(max(x)) FROM data.t").rows == [[True]]
    assert lab.sql("SELECT n FROM data.t WHERE x IS NOT NULL ORDER BY x DESC LIMIT 2").rows == [[1], [5]]


def test_conditions_leave_out_row_groups_of_a_file(lab, tmp_path):
    folder = tmp_path / "ordered"
    folder.mkdir()
    rows = 200_000
    table = pa.table({"n": numbers(0, rows), "day": pa.array([f"d{i // 10_000:02}" for i in range(rows)])})
    pq.write_table(table, folder / "a.parquet", row_group_size=10_000)
    action = add(folder, "b.parquet", table.slice(0, 1))["add"]
    action.update(path="a.parquet", size=(folder / "a.parquet").stat().st_size, stats='{"numRecords": 200000}')
    commit(folder, 0, protocol("timestampNtz"), metadata([field("n", INT), field("day", TEXT)]), {"add": action})
    use(lab, folder)
    query = "SELECT count(*), min(n) FROM data.t WHERE n BETWEEN 55000 AND 55009 AND day = 'd05'"
    assert lab.sql(query).rows == [[10, 55_000]]
    plan = str(lab.sql(f"EXPLAIN ANALYZE {query}").rows)
    assert re.search(r"row_groups_pruned_statistics=20 total → 1 matched", plan), plan


def test_what_cannot_be_used_is_refused_with_the_reason(lab, tmp_path):
    folder = tmp_path / "table"
    write_deltalake(str(folder), pa.table({"n": numbers(0, 10)}))
    use(lab, folder)
    copied = lab.run("ingest", folder, "--dataset", "data", code=None)
    assert copied.code == 5 and "--in-place" in copied.err
    shaped = lab.run("ingest", folder, "--dataset", "data", "--in-place", "--select", "n", code=None)
    assert shaped.code == 5 and "--select" in shaped.err

    secret = tmp_path / "secret"
    write_deltalake(str(secret), pa.table({"n": numbers(1000, 10)}))
    [target] = secret.glob("*.parquet")
    for index, path in enumerate([target.as_uri(), str(target), f"../secret/{target.name}", f"%2E%2E/secret/{target.name}"]):
        reaching = tmp_path / f"reaching{index}"
        action = add(reaching, "a.parquet", pa.table({"n": numbers(0, 1)}))
        action["add"]["path"] = path
        action["add"]["size"] = target.stat().st_size
        commit(reaching, 0, protocol("timestampNtz"), metadata([field("n", INT)]), action)
        refused = use(lab, reaching, f"reaching{index}", code=5)
        assert "outside its folder" in refused.err, refused.err

    # A log that reaches outside only after it was registered.
    later = tmp_path / "later"
    action = add(later, "a.parquet", pa.table({"n": numbers(0, 1)}))
    commit(later, 0, protocol("timestampNtz"), metadata([field("n", INT)]), action)
    use(lab, later, "later")
    action["add"].update(path=f"../secret/{target.name}", size=target.stat().st_size)
    commit(later, 0, protocol("timestampNtz"), metadata([field("n", INT)]), action)
    refused = lab.run("sql", "SELECT * FROM later.t", code=None)
    assert refused.code != 0 and "1000" not in refused.out
    streamed = lab.run("stream", "later.t", "--output", tmp_path / "s", code=None)
    assert streamed.code != 0

    unknown = tmp_path / "unknown"
    commit(
        unknown,
        0,
        protocol("timeTravelByFeel"),
        metadata([field("n", INT)]),
        add(unknown, "a.parquet", pa.table({"n": numbers(0, 1)})),
    )
    refused = use(lab, unknown, "unknown", code=5)
    assert "timeTravelByFeel" in refused.err


def test_nothing_is_written_to_a_table_of_others(lab, tmp_path):
    folder = tmp_path / "theirs"
    write_deltalake(str(folder), pa.table({"n": numbers(0, 10)}))
    file = random_netcdf(tmp_path / "f.nc", 1, "NETCDF4", "noleap")
    lab.run("register", write_record(tmp_path / "r.yaml", [folder, file]))
    lab.run("ingest", folder, "--dataset", "data", "--table", "t", "--in-place")
    before = sorted(path.name for path in folder.rglob("*"))
    for command in (("ingest", file, "--dataset", "data", "--table", "t"), ("optimize", "data.t")):
        refused = lab.run(*command, code=None)
        assert refused.code != 0, refused.describe()
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_nobody_but_the_owner_is_told_where_a_table_lies(lab, tmp_path):
    folder = tmp_path / "whereabouts"
    write_deltalake(str(folder), pa.table({"n": numbers(0, 10)}))
    use(lab, folder)
    lab.start()
    asked = requests.post(f"{lab.http_url}/api/v1/sql", json={"query": "EXPLAIN SELECT * FROM data.t WHERE n = 3"})
    assert asked.status_code == 200 and "whereabouts" not in asked.text, asked.text
    [data] = folder.glob("*.parquet")
    data.unlink()
    asked = requests.post(f"{lab.http_url}/api/v1/sql", json={"query": "SELECT * FROM data.t"})
    assert asked.status_code != 200 and "whereabouts" not in asked.text, asked.text
    file = requests.get(f"{lab.http_url}/datasets/ornl/data/files/0/x")
    assert "PAR1" not in file.text
