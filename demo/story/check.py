"""Compares answers with the expected ones."""

import json
import math
from pathlib import Path

# The expected numbers are printed with six decimals: half a unit of the last one, and 1e-6 of the
# value. Counts and text are exact.
RELATIVE, PRINTED = 1e-6, 6e-7
# Correlations lose digits in both engines.
LOOSE = 1e-5


def load(folder):
    """The expected answers by question."""
    return json.loads((Path(folder) / "expected.json").read_text(encoding="utf-8"))


def same(got, want, loose=False):
    """Whether a value is the expected one."""
    if isinstance(want, str):
        return isinstance(got, str) and got.replace("T", " ").removesuffix("Z") == want.replace("T", " ")
    if isinstance(got, bool) or not isinstance(got, (int, float)) or math.isnan(got):
        return False
    if isinstance(want, int):
        return got == want
    return abs(got - want) <= max(RELATIVE, LOOSE if loose else 0) * abs(want) + PRINTED


def rows(answer_columns, answer_rows, expected):
    """One verdict for each expected row, and whether the whole answer is right."""
    loose = set(expected.get("loose", []))
    flags = [name in loose for name in expected["columns"]]
    verdicts = [
        len(row) == len(want) and all(same(*triple) for triple in zip(row, want, flags))
        for row, want in zip(answer_rows, expected["rows"])
    ]
    right = answer_columns == expected["columns"] and len(answer_rows) == len(expected["rows"]) and all(verdicts)
    return verdicts, right
