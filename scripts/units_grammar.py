"""Asks UDUNITS-2 (through cf-units) what odd texts of units mean, and prints the table that the tests read.

    python scripts/units_grammar.py > schemas/src/units/grammar.tsv

Texts are put together at random of numbers, names, exponents, operators, blanks and brackets. A line is
`from TAB to TAB number TAB answer`, as of `units_conversions.py`: a number in the text's unit, converted to the base
units of what the text measures or to their reciprocal; `-` for a text that UDUNITS refuses.
"""

import os
import random
import warnings

import cf_units

LINES = 4000
NAMES = ["m", "s", "kg", "K", "degC", "km", "ms", "mol", "%", "degF", "hPa", "µm", "'", "meter"]
NUMBERS = ["1", "2", "3", "10", "100", ".5", "1.5", "2.", "10.25", "1e3", "1.e-2", "2e+1", "-2", "+3", "-.5"]
EXPONENTS = ["", "", "2", "-1", "+2", "-3", "0", "^2", "^-1", "**3", "**-2", "²", "³", "1.5", "-0.5", "-2.", ".5"]
OPERATORS = [" ", " ", ".", "*", "-", "/", " / ", " per ", "·", "", "", " -", "- ", " * ", "--", "  "]
BY_HAND = [
    "10-3 kg m-3",
    "10+3 m",
    "100-1 m",
    "m1.5",
    "s-0.5",
    "degC - 1",
    "degC -1",
    "10--3",
    "m^2-3",
    "m^2s",
    "m²s",
    "m².5",
    "m^2.5",
    "(10-3)2",
    "( m)",
    "(m )",
    "m2.s",
    "2.m",
    "m2..s",
    "2..m",
    "-m",
    "lg(re 1 mW) 2",
    "lg(re: 1 mW)",
    "lg(re:1 mW)",
    "LG(re 1 mW)",
    "log(re 1 mW)",
    "(K@5) m",
    "K@5 m",
]


def text(choose, depth=0):
    """A text that may be a unit."""
    parts = []
    for place in range(choose.choice([1, 2, 2, 3, 4])):
        if place:
            parts.append(choose.choice(OPERATORS))
        kind = choose.random()
        if kind < 0.12 and depth < 2:
            factor = "(" + text(choose, depth + 1) + ")"
        elif kind < 0.4:
            factor = choose.choice(NUMBERS)
        else:
            factor = choose.choice(NAMES)
        parts.append(factor + choose.choice(EXPONENTS))
    return "".join(parts)


def base(unit):
    """The dimensions of a unit as a text of base units."""
    words = unit.definition.split("@")[0].replace(".", " ").split()
    return " ".join(word for word in words if word[0].isalpha()) or "1"


def reciprocal(dimensions):
    """The text of one over such dimensions."""
    return "1" if dimensions == "1" else f"({dimensions})-1"


def main():
    """Prints the table."""
    warnings.simplefilter("ignore")
    # UDUNITS speaks of what it refuses.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    choose = random.Random(20261122)
    print("# Answers of UDUNITS-2 through cf-units to odd texts, by scripts/units_grammar.py.")
    seen = set()
    texts = iter(BY_HAND)
    while len(seen) < LINES:
        odd = next(texts, None) or text(choose)
        if odd in seen or "lg(" in odd and ":" not in odd and "2" in odd:
            continue
        seen.add(odd)
        try:
            unit = cf_units.Unit(odd)
        except ValueError:
            print(odd, "1", "7.0", "-", sep="\t")
            continue
        if unit.is_unknown() or "lg(" in unit.definition:
            continue
        target = base(unit)
        if choose.random() < 0.1:
            target = reciprocal(target)
        try:
            answer = float(unit.convert(7.0, target))
        except (ValueError, OverflowError):
            continue
        # Beyond that doubles have no digits left, and Tarn refuses the factor.
        if 1e-200 < abs(answer) < 1e200:
            print(odd, target, "7.0", repr(answer), sep="\t")


main()
