"""Functions that take much memory or time: they end where their query does, and harm nobody else."""

import threading
import time

import pytest
import requests
from test_access import sql

# Each is some 20 kB of text in each of many rows.
LONG = "repeat('x', CAST(20000 + value % 2 AS BIGINT))"
MEMORY = {
    "concat": f"SELECT max(length(concat({', '.join([LONG] * 40)}))) FROM generate_series(1, 16384)",
    "operator": f"SELECT max(length({' || '.join([LONG] * 40)})) FROM generate_series(1, 16384)",
    "doubled": "SELECT max(length(e)) FROM (SELECT d || d || d || d || d || d || d || d AS e FROM (SELECT c || c || c || c || c || c || c || c AS d FROM (SELECT b || b || b || b || b || b || b || b AS c FROM (SELECT "
    + LONG
    + " AS b FROM generate_series(1, 8192)))))",
    "constants": f"SELECT length(concat({', '.join(['repeat($$x$$, 250000000)'] * 9)}))".replace("$$", "'"),
    "regexp_replace": f"SELECT max(length(regexp_replace({LONG}, 'x', repeat('y', 100000), 'g'))) FROM generate_series(1, 8192)",
    "array_to_string": "SELECT max(length(array_to_string(range(1000), repeat('y', 100000)))) FROM generate_series(1, 8192)",
    "translate": f"SELECT max(length(concat({LONG}, translate({LONG}, 'x', '€'), upper({LONG}), reverse({LONG})))) FROM generate_series(1, 500000)",
    "to_char": "SELECT max(length(to_char(CAST('2020-01-01' AS DATE) + CAST(value % 5 AS INT), repeat('%Y', 100000)))) FROM generate_series(1, 16384)",
    "groups": f"SELECT max(array_length(regexp_match({LONG}, repeat('(x*)', 200)))) FROM generate_series(1, 8192)",
}
SLOW = {
    "levenshtein": "SELECT max(levenshtein(repeat('a', CAST(2000 + value % 3 AS INT)), repeat('b', 2000))) FROM generate_series(1, 8000)",
    "regexp": "SELECT count(*) FROM generate_series(1, 100000000) WHERE regexp_like(repeat('a', CAST(50 + value % 3 AS INT)), '((a|aa|aaa){1,20}){1,20}(b|bb)+(a|b)*c$')",
}


@pytest.fixture(scope="module")
def lab(module_lab):
    lab = module_lab("ornl", settings="memory_mib = 512\n")
    lab.start()
    return lab


def resident(lab):
    """Bytes of memory that the node has had at most."""
    with open(f"/proc/{lab.process.pid}/status", encoding="ascii") as status:
        (peak,) = [line for line in status if line.startswith("VmHWM")]
    return int(peak.split()[1]) << 10


@pytest.mark.parametrize("name", MEMORY)
def test_what_functions_make_is_within_what_queries_may_hold(lab, name):
    before = resident(lab)
    answer = requests.post(f"{lab.http_url}/api/v1/sql", json={"query": MEMORY[name], "limits": {"seconds": 40}}, timeout=120)
    # An answer, or the reason why there is none: never more memory than all queries may have, and some for its copies.
    assert answer.status_code in (200, 429, 504), answer.text
    assert resident(lab) - before < 1_600 << 20, answer.text
    assert sql(lab, "SELECT 1 AS x").json()["rows"] == [{"x": 1}]


def ticks(lab):
    """Hundredths of a second that the node has computed."""
    with open(f"/proc/{lab.process.pid}/stat", encoding="ascii") as stat:
        return sum(map(int, stat.read().split()[13:15]))


@pytest.mark.parametrize("name", SLOW)
def test_slow_functions_end_with_their_query_and_keep_nobody_waiting(lab, name):
    answers = []

    def ask():
        began = time.monotonic()
        body = {"query": SLOW[name], "limits": {"seconds": 4}}
        answer = requests.post(f"{lab.http_url}/api/v1/sql", json=body, timeout=120)
        answers.append((answer.status_code, time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    began = time.monotonic()
    assert sql(lab, "SELECT 1 AS x").json()["rows"] == [{"x": 1}]
    assert time.monotonic() - began < 3
    for thread in threads:
        thread.join()
    assert all(status == 504 and seconds < 8 for status, seconds in answers), answers
    # Nothing goes on: soon there is a second in which the node does next to nothing.
    ends, idle = time.monotonic() + 20, False
    while not idle and time.monotonic() < ends:
        used = ticks(lab)
        time.sleep(1)
        idle = ticks(lab) - used < 30
    assert idle


def test_numbers_that_are_bound_mean_what_they_mean_when_they_are_written(lab):
    """Also where the statement asks for another kind of number: 7 / 2.0 is no division of whole numbers."""
    import adbc_driver_flightsql.dbapi as flightsql

    with flightsql.connect(lab.flight_url, autocommit=True) as connection, connection.cursor() as cursor:
        for written in ("7 / {}", "value * {}", "value + {}", "CAST(value AS INT) * {}", "CAST(value AS REAL) * {}", "value / {}"):
            for value in (2, 2.0, 2.5, 1_500_000_000, 1_500_000_000.0, -3, 0.1):
                if "REAL" in written and isinstance(value, int):
                    # What is bound for a float has 64 bits, so that the type of the answer is known before.
                    continue
                query = f"SELECT {written} AS x FROM generate_series(3, 4) ORDER BY 1"
                cursor.execute(query.format(value))
                expected = cursor.fetchall()
                cursor.execute(query.format("?"), (value,))
                assert cursor.fetchall() == expected, (written, value)
