"""Asks UDUNITS-2 (through cf-units) to convert numbers between random units, and prints the table that the tests read.

    python scripts/units_conversions.py schemas/src/units/udunits.txt > schemas/src/units/conversions.tsv

A line is `from TAB to TAB number TAB answer`; `-` for an answer means that one does not convert to the other.
Constants that were measured again since UDUNITS-2 are left out (the electronvolt, the atomic mass unit, the footcandle,
which this version of the database corrects), and so is what cf-units itself does not know.
"""

import collections
import random
import sys
import warnings
from pathlib import Path

import cf_units

LINES = 1500
NEWER = {"bev", "electronvolt", "electron_volt", "eV", "amu", "u", "atomic_mass_unit", "atomicmassunit", "footcandle"}
PREFIXES = ["", "", "", "k", "m", "M", "µ", "n", "h", "c", "kilo", "milli", "mega"]
BY_HAND = [
    ("degF", "degC"),
    ("degC", "degF"),
    ("degF", "K"),
    ("degC", "K"),
    ("1 degC", "K"),
    ("K @ 273.15", "degF"),
    ("degC m", "K m"),
    ("degF-1", "K-1"),
    ("dBZ", "mm6 m-3"),
    ("dBm", "W"),
    ("W", "dBm"),
    ("lg(re 1 mW)", "lg(re 1 W)"),
    ("ln(re 1 Pa)", "Pa"),
    ("lb(re 2 s)", "s"),
    ("%", "1"),
    ("1e-3", "%"),
    ("degrees_north", "radian"),
    ("arcsec", "degree"),
    ("knot", "m/s"),
    ("mile/hour", "km/h"),
    ("psi", "hPa"),
    ("inHg", "mbar"),
    ("acre", "hectare"),
    ("gallon", "liter"),
    ("cal", "J"),
    ("BTU", "kWh"),
    ("kWh", "MJ"),
    ("horsepower", "kW"),
    ("days since 2000-01-01", "hours since 1999-12-31 12:00"),
    ("seconds since 1970-01-01", "days since 1850-01-01"),
    ("minutes since 1990-06-01 06:30 +2:00", "s since 1990-06-01"),
]


def base(unit):
    """The unit without factor, offset and logarithm: its dimensions alone."""
    return " ".join(word for word in unit.split("@")[0].replace(".", " ").split() if word[0].isalpha()) or "1"


def names(table):
    """One name or symbol of each unit of the database."""
    for line in table.read_text(encoding="utf-8").splitlines():
        if line.startswith(("#", "*")):
            continue
        _, words, symbols = line.split("\t")
        own = [*words.split(), *symbols.split()]
        if not NEWER.intersection(own):
            yield from own[:1] + own[-1:]


def convert(source, target, number):
    """The answer of cf-units as text."""
    source, target = cf_units.Unit(source), cf_units.Unit(target)
    if source.is_time_reference() != target.is_time_reference() or not source.is_convertible(target):
        return "-"
    return repr(float(source.convert(number, target)))


def main(table):
    """Prints the table."""
    warnings.simplefilter("ignore")
    choose = random.Random(20261122)
    known = [name for name in names(table) if parse(name)]
    by_dimension = collections.defaultdict(list)
    for _ in range(6000):
        factors = []
        for _ in range(choose.choice([1, 1, 2, 2, 3])):
            name = choose.choice(known)
            # Signs take no prefix here: nobody writes millidegrees as m°.
            name = (choose.choice(PREFIXES) if name.isascii() and name[0].isalpha() else "") + name
            factors.append(name + choose.choice(["", "", "2", "-1", "^-2", "**3"]))
        text = choose.choice([" ", ".", "/", " per ", " * "]).join(factors)
        text = choose.choice(["", "", "", "2.5e-3 ", "100 "]) + text
        unit = parse(text)
        if unit and "lg(" not in unit.definition and "ln(" not in unit.definition:
            by_dimension[base(unit.definition)].append(text)
    pairs = list(BY_HAND)
    groups = list(by_dimension.items())
    while len(pairs) < LINES:
        dimension, texts = choose.choice(groups)
        other = choose.choice([choose.choice(texts), dimension, choose.choice(choose.choice(groups)[1])])
        pairs.append((choose.choice(texts), other))
    print("# Answers of UDUNITS-2 through cf-units, by scripts/units_conversions.py.")
    for source, target in pairs:
        number = choose.choice([1.0, 0.0, -40.0, 273.15, choose.uniform(-1e3, 1e3), 10 ** choose.uniform(-6, 6)])
        try:
            print(source, target, repr(number), convert(source, target, number), sep="\t")
        except (ValueError, OverflowError):
            continue


def parse(text):
    """The unit of a text, or nothing."""
    try:
        unit = cf_units.Unit(text)
    except ValueError:
        return None
    return None if unit.is_unknown() or unit.is_no_unit() or unit.is_time_reference() else unit


main(Path(sys.argv[1]))
