"""Data of the benchmark: TPC-H as Delta tables, ten million rows, and a lab that serves them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from deltalake import convert_to_deltalake

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "demo")]

from records import COMPLETE  # noqa: E402
from story.labs import Lab  # noqa: E402
from test_access import TIER  # noqa: E402

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
# What the policy leaves of lineitem: four rows of five, anywhere in the file.
ROW_FILTER = "l_suppkey <= 8000"
POLICY = f"""
@id("filtered")
@obligation("rows: {ROW_FILTER}")
permit (principal, action == Action::"read", resource == Dataset::"bench.filtered")
when {{ principal.groups.contains("bench") }};

@id("whole")
permit (principal, action == Action::"read", resource == Dataset::"bench.whole")
when {{ principal.groups.contains("bench") }};
"""
ROWS = 10_000_000


def tpch(folder, scale):
    """Folders of the eight tables, each a Delta table over the Parquet files of tpchgen-cli."""
    base = Path(folder) / f"tpch-sf{scale:g}"
    for table in TABLES:
        if (base / table / "_delta_log").exists():
            continue
        generator = Path(sys.executable).with_name("tpchgen-cli")
        made = base / table
        made.mkdir(parents=True, exist_ok=True)
        command = [generator, "parquet", "-s", f"{scale:g}", "--tables", table, "-o", made]
        subprocess.run(command, check=True, capture_output=True)
        convert_to_deltalake(str(made))
    return base


def ten_million(folder):
    """A Delta table of ten million rows of four numbers."""
    made = Path(folder) / "rows-10m" / "rows"
    if not (made / "_delta_log").exists():
        made.mkdir(parents=True, exist_ok=True)
        draw = np.random.default_rng(7)
        columns = {
            "run": np.arange(ROWS, dtype="i8"),
            "energy": draw.normal(size=ROWS),
            "angle": draw.uniform(size=ROWS),
            "counts": draw.integers(0, 1 << 40, ROWS),
        }
        options = {"compression": "snappy", "use_dictionary": False, "row_group_size": 1 << 18}
        pq.write_table(pa.table(columns), made / "part-0.parquet", **options)
        convert_to_deltalake(str(made))
    return made


def register(lab, folder, names, tables, **changes):
    """Registers datasets over Delta tables."""
    paths = []
    for name in names:
        record = {**COMPLETE, "name": name, "files": [str(table) for table in tables], **changes}
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
        paths.append(path)
    lab.run("register", *paths, timeout=1800)


def use(lab, dataset, *folders, table=None):
    """Makes Delta tables tables of a dataset, where they are."""
    named = ["--table", table] if table else []
    lab.run("ingest", *folders, "--dataset", dataset, "--in-place", *named, timeout=1800)


def served(binary, folder, base, rows):
    """A lab with the tables: public, behind a row filter and behind a policy without one. And a token."""
    lab = Lab(binary, "bench", folder)
    lab.init()
    tables = [base / table for table in TABLES]
    register(lab, folder, ["tpch"], tables)
    use(lab, "tpch", *tables)
    register(lab, folder, ["filtered", "whole"], [base / "lineitem"], tier="controlled", exposure="full", **TIER)
    for dataset in ("filtered", "whole"):
        use(lab, dataset, base / "lineitem", table=f"{dataset}_lineitem")
    register(lab, folder, ["wide"], [rows])
    use(lab, "wide", rows)
    (lab.home / "policies").mkdir()
    (lab.home / "policies" / "bench.cedar").write_text(POLICY)
    lab.run("user", "create", "ann", "--group", "bench", "--assurance", "low")
    lab.start()
    token = lab.run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()
    return lab, token


def many(lab, folder, count, table):
    """So many datasets of one table each."""
    names = [f"set_{index:04}" for index in range(count)]
    register(lab, folder, names, [table])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: use(lab, name, table, table="little"), names))
    return names
