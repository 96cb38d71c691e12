"""Writes names, units and aliases of the CF standard name table as the table that `schemas` reads.

    python scripts/cf_names_table.py cf-standard-name-table.xml > schemas/src/standard_names/cf.tsv

A line is `name TAB canonical unit`, or `alias TAB = TAB name`. Descriptions are left out.
"""

import sys
import xml.etree.ElementTree as ET

HEAD = """\
# Names, canonical units and aliases of the CF standard name table, version {version} ({date}), by
# scripts/cf_names_table.py from cfconventions.org. The community has put the conventions under CC0."""


def main(path):
    """Prints the table."""
    root = ET.parse(path).getroot()
    print(HEAD.format(version=root.findtext("version_number"), date=root.findtext("last_modified")[:10]))
    for entry in root.iter("entry"):
        print(f"{entry.get('id')}\t{' '.join((entry.findtext('canonical_units') or '').split())}")
    for alias in root.iter("alias"):
        print(f"{alias.get('id')}\t=\t{alias.findtext('entry_id').strip()}")


main(sys.argv[1])
