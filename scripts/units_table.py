"""Writes the names and definitions of units of UDUNITS-2 as the table that `schemas/src/units` reads.

    python scripts/units_table.py FOLDER_OF_udunits2-*.xml > schemas/src/units/udunits.txt

A line is `definition TAB names TAB symbols`, in the order of the database: a definition uses what stands above
it. Names are in lower case and have their plurals; a base unit defines itself with `!`. Prefixes come first, with `*` and their factor.
"""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HEAD = """\
# Units and prefixes of UDUNITS-2, by scripts/units_table.py from its XML database.
# Copyright 2008, 2009 University Corporation for Atmospheric Research; the notice is in NOTICE.
"""


def plural(name):
    """The plural that UDUNITS forms where the database gives none."""
    if re.search(r"[^aeiou]y$", name):
        return name[:-1] + "ies"
    return name + ("es" if re.search(r"(s|x|z|ch|sh)$", name) else "s")


def names_of(element):
    """Names with their plurals, in lower case; blanks are underscores."""
    found = []
    for name in element.findall("name"):
        singular = name.findtext("singular").strip()
        found.append(singular)
        if name.find("noplural") is None:
            found.append((name.findtext("plural") or plural(singular)).strip())
    return [name.lower() for name in found]


def main(folder):
    """Prints the table."""
    lines = [HEAD.rstrip()]
    for prefix in ET.parse(folder / "udunits2-prefixes.xml").getroot().iter("prefix"):
        names = [name.text.strip() for name in prefix.findall("name")]
        symbols = [symbol.text.strip() for symbol in prefix.findall("symbol")]
        lines.append("\t".join(("*" + prefix.findtext("value").strip(), " ".join(names), " ".join(symbols))))
    for part in ("base", "derived", "accepted", "common"):
        for unit in ET.parse(folder / f"udunits2-{part}.xml").getroot().iter("unit"):
            named = [unit, *unit.findall("aliases")]
            names = [name for element in named for name in names_of(element)]
            symbols = [symbol.text.strip() for element in named for symbol in element.findall("symbol")]
            if unit.find("base") is not None:
                definition = "!"
            elif unit.find("dimensionless") is not None:
                definition = "1"
            else:
                definition = " ".join(unit.findtext("def").split())
            if names or symbols:
                lines.append("\t".join((definition, " ".join(names), " ".join(symbols))))
    print("\n".join(lines))


main(Path(sys.argv[1]))
