"""Asks UDUNITS-2 (through cf-units, `pip install cf-units`) what the texts of a table measure, and rewrites the table.

    python scripts/units_oracle.py schemas/src/units/oracle.tsv

A line is `JSON text TAB answer`: exponents of the base units, `moment`, `log …`, or `-` for no unit.
"""

import json
import re
import sys
import warnings
from pathlib import Path

import cf_units

BASES = ("m", "kg", "s", "A", "K", "mol", "cd")


def answer(text):
    """What UDUNITS says of a text."""
    try:
        unit = cf_units.Unit(text)
    except ValueError:
        return "-"
    if unit.is_unknown():
        return "1"  # empty
    if unit.is_no_unit():
        return "-"
    if unit.is_time_reference():
        return "moment"
    definition = unit.definition.split("@")[0]
    log = re.search(r"lg\(re (.*)\)", definition)
    definition = log[1] if log else definition
    powers = (re.fullmatch(r"([A-Za-z]+)(-?\d+)?", word) for word in re.split(r"[.\s]+", definition))
    found = {power[1]: power[2] or "" for power in powers if power}
    shown = " ".join(name + found[name] for name in BASES if name in found) or "1"
    return f"log {shown}" if log else shown


def main(path):
    """Rewrites the table."""
    warnings.simplefilter("ignore")
    texts = [line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [f"{text}\t{answer(json.loads(text))}" for text in texts]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


main(Path(sys.argv[1]))
