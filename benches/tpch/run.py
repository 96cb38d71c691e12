#!/usr/bin/env python3
"""SQL over Delta tables: Tarn beside DuckDB on the same Parquet files, in one run.

    benches/tpch/run.py [--scale N] [--repeat N] [--only plain,filter,policy,small,plans,flight]
                                                             (TARN_BIN names the binary)

| part | what | bar |
|---|---|---|
| plain | the 22 queries of TPC-H, no policy | geometric mean 1.15 × DuckDB, none above 3 |
| filter | those over lineitem, behind a row filter; DuckDB has the same WHERE by hand | 1.3 |
| policy | those over lineitem, behind a policy without one; against Tarn itself without | 1.03 |
| small | 200 queries at once over HTTP | p99 10 × p50, none lost |
| plans | EXPLAIN of a query where 1,000 datasets are visible | 20 ms |
| flight | 10 million rows from a table, against a plain Flight server with them in memory | 70 % |

Tarn is a running `tarn serve`, asked by ADBC through Flight SQL; DuckDB is in this process, with as many
threads as there are cores. Both have answered each query before; each counts with the best of its turns,
which take turns. Answers must be the same (decimals exactly, doubles but for rounding) or the
figures are void (exit status 1). Writes benches/results/sql-<date>.json and prints a table.
"""

import argparse
import datetime
import decimal
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import duckdb

import data
import loopback

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
PARTS = ("plain", "filter", "policy", "small", "plans", "flight")
AT_ONCE = 200
DATASETS = 1000


def queries():
    """The queries by name."""
    text = (HERE / "queries.sql").read_text(encoding="utf-8")
    found = re.split(r"(?m)^-- (q\d+)$", text)
    return {name: query.strip() for name, query in zip(found[1::2], found[2::2])}


def over(query, lineitem):
    """The query with another lineitem."""
    return re.sub(r"\blineitem\b", lineitem, query)


def same(one, other):
    """Whether two values are equal: decimals and integers exactly, doubles but for rounding."""
    if isinstance(one, float) or isinstance(other, float):
        # An average of decimals has six places in one engine and is a double in the other.
        return math.isclose(float(one), float(other), rel_tol=1e-6, abs_tol=1e-6)
    if isinstance(one, decimal.Decimal) or isinstance(other, decimal.Decimal):
        return decimal.Decimal(one) == decimal.Decimal(other)
    return one == other


def agree(one, other):
    """Whether two answers have the same rows in the same order."""
    return len(one) == len(other) and all(
        len(a) == len(b) and all(map(same, a, b)) for a, b in zip(one, other)
    )


def beside(name, ask, repeat):
    """Engines that answer a question in turn: their answers and best seconds."""
    answers, seconds = {}, {engine: [] for engine in ask}
    for turn in range(repeat + 1):
        for engine, run in ask.items():
            began = time.perf_counter()
            answers[engine] = run()
            if turn:
                seconds[engine].append(time.perf_counter() - began)
    first, *rest = answers.values()
    record = {"question": name, "agrees": all(agree(first, other) for other in rest)}
    return record | {engine: min(times) for engine, times in seconds.items()}


def compared(part, pairs, repeat):
    """Records of a part, printed as they come: seconds of the first engine by those of the second."""
    records = []
    for name, ask in pairs:
        record = {"part": part, **beside(name, ask, repeat)}
        one, other = (record[engine] for engine in ask)
        record["ratio"] = one / other
        note = "" if record["agrees"] else "  DIFFERS"
        print(f"{part:8}{name:5}" + "".join(f"{e} {record[e]:8.4f}  " for e in ask) + f"{record['ratio']:6.2f}{note}", flush=True)
        records.append(record)
    ratios = [record["ratio"] for record in records]
    worst = max(records, key=lambda record: record["ratio"])
    mean = statistics.geometric_mean(ratios)
    print(f"{part}: geometric mean {mean:.3f}, worst {worst['ratio']:.2f} ({worst['question']})", flush=True)
    return [*records, {"part": part, "mean": mean, "worst": worst["ratio"], "agrees": True}]


def asks(connection):
    """Asks Tarn."""

    def run(query):
        def once():
            with connection.cursor() as cursor:
                cursor.execute(query)
                return [tuple(row.values()) for row in cursor.fetch_arrow_table().to_pylist()]

        return once

    return run


def peer(base):
    """DuckDB over the files of the Delta tables, with a second lineitem behind the same filter."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = {os.cpu_count()}")
    connection.execute("SET parquet_metadata_cache = true")
    for table in data.TABLES:
        connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{base / table}/*.parquet')")
    connection.execute(f"CREATE VIEW filtered_lineitem AS FROM lineitem WHERE {data.ROW_FILTER}")
    return lambda query: lambda: connection.execute(query).fetchall()


def small(lab):
    """Seconds of queries that come all at once, in order, and how many were lost."""

    def ask(index):
        began = time.perf_counter()
        query = f"SELECT count(*) AS n, max(n_name) AS m FROM tpch.nation WHERE n_regionkey = {index % 5}"
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{lab.http_url}/api/v1/sql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                right = json.load(answer)["rows"][0]["n"] == 5
        except OSError:
            right = False
        return time.perf_counter() - began, right

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, range(AT_ONCE)))
        answers = list(pool.map(ask, range(AT_ONCE)))
    times = sorted(seconds for seconds, _ in answers)
    lost = sum(not right for _, right in answers)
    p50, p99 = times[AT_ONCE // 2], times[AT_ONCE * 99 // 100]
    print(f"small: p50 {p50:.3f} s, p99 {p99:.3f} s, ratio {p99 / p50:.1f}, {lost} lost", flush=True)
    return {"part": "small", "p50": p50, "p99": p99, "lost": lost, "agrees": lost == 0}


def plans(lab, ask, folder, base):
    """Seconds to plan a query where many datasets are visible: names with their dataset, and without."""
    data.many(lab, folder, DATASETS, base / "region")
    record = {"part": "plans", "datasets": DATASETS, "agrees": True}
    named = {"qualified": "set_0500.little", "bare": "supplier"}
    for kind, table in named.items():
        run, times = ask(f"EXPLAIN SELECT count(*) FROM {table}"), []
        for _ in range(20):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        record[kind] = statistics.median(times[5:])
        print(f"plans: {kind} name {record[kind] * 1000:.1f} ms with {DATASETS} datasets", flush=True)
    return record


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--queries", help="such as q1,q6")
    args = parser.parse_args()
    binary = Path(os.environ.get("TARN_BIN", ""))
    if not binary.is_file():
        sys.exit("TARN_BIN names no binary; use make bench")
    only = args.only.split(",")
    base = data.tpch(HERE.parent / "data", args.scale)
    rows = data.ten_million(HERE.parent / "data")
    wanted = args.queries.split(",") if args.queries else None
    texts = {name: text for name, text in queries().items() if wanted is None or name in wanted}
    guarded = {name: text for name, text in texts.items() if "lineitem" in text}
    records = []
    with tempfile.TemporaryDirectory() as folder:
        lab, token = data.served(binary.resolve(), Path(folder), base, rows)
        options = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
        try:
            with adbc.connect(lab.flight_url, db_kwargs=options) as connection:
                tarn, other = asks(connection), peer(base)
                if "plain" in only:
                    pairs = [(name, {"tarn": tarn(text), "duckdb": other(text)}) for name, text in texts.items()]
                    records += compared("plain", pairs, args.repeat)
                if "filter" in only:
                    pairs = [
                        (name, {"tarn": tarn(over(text, "filtered_lineitem")), "duckdb": other(over(text, "filtered_lineitem"))})
                        for name, text in guarded.items()
                    ]
                    records += compared("filter", pairs, args.repeat)
                if "policy" in only:
                    pairs = [
                        (name, {"policy": tarn(over(text, "whole_lineitem")), "none": tarn(text)})
                        for name, text in guarded.items()
                    ]
                    records += compared("policy", pairs, args.repeat)
                if "small" in only:
                    records.append(small(lab))
                if "flight" in only:
                    records.append(loopback.compare(lab, connection, token, rows))
                if "plans" in only:
                    records.append(plans(lab, tarn, Path(folder), base))
        finally:
            lab.stop()
    now = datetime.datetime.now(datetime.UTC)
    result = {"at": now.isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    result |= {"scale": args.scale, "duckdb": duckdb.__version__, "records": records}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"sql-{now:%Y%m%d-%H%M%S}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not all(record["agrees"] for record in records):
        sys.exit("answers differ: the figures are void")


if __name__ == "__main__":
    main()
