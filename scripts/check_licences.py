#!/usr/bin/env python3
"""Every crate that goes into the binary must have a licence that Apache-2.0 can live with.

    python3 scripts/check_licences.py

Reads `cargo metadata`; the licence is an SPDX expression. Copyleft that reaches the whole program
(GPL, AGPL, LGPL) and licences that forbid uses are refused, unless the expression offers another.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REFUSED = re.compile(r"^((A|L)?GPL|CECILL|SSPL|BUSL|EUPL|OSL|CC-BY-NC|CC-BY-SA|Elastic|Commons-Clause)", re.IGNORECASE)

# Crates without a licence expression, and what their licence file says.
BY_FILE = {"opendp": "MIT", "opendp_derive": "MIT"}


class Expression:
    """SPDX: `A OR B`, `A AND B`, `A WITH exception`, parentheses, and the old `A/B`."""

    def __init__(self, text):
        self.tokens = re.findall(r"\(|\)|[^\s()]+", text.replace("/", " OR "))

    def accepted(self):
        result = self.alternatives()
        if self.tokens:
            raise ValueError(f"unexpected {self.tokens[0]}")
        return result

    def alternatives(self):
        result = self.conjunction()
        while self.take("OR"):
            result = self.conjunction() or result
        return result

    def conjunction(self):
        result = self.single()
        while self.take("AND"):
            result = self.single() and result
        return result

    def single(self):
        if self.take("("):
            result = self.alternatives()
            if not self.take(")"):
                raise ValueError("a parenthesis is not closed")
            return result
        licence = self.tokens.pop(0)
        if self.take("WITH"):
            # The classpath exception and its like lift the reach of copyleft; LLVM's widens Apache.
            self.tokens.pop(0)
            return not REFUSED.match(licence) or licence.upper().startswith("GPL-2.0")
        return not REFUSED.match(licence)

    def take(self, token):
        if self.tokens and self.tokens[0].upper() == token:
            self.tokens.pop(0)
            return True
        return False


def shipped(metadata):
    """Packages reachable from ours through normal and build dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    seen, todo = set(), list(metadata["workspace_members"])
    while todo:
        package = todo.pop()
        if package in seen:
            continue
        seen.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return seen


def main():
    command = [
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        print(f"error: {' '.join(command)}: exit code {listed.returncode}: {listed.stderr.strip()}")
        return 1
    metadata = json.loads(listed.stdout)
    reached, broken = shipped(metadata), []
    for package in metadata["packages"]:
        if package["id"] not in reached:
            continue
        name = f"{package['name']} {package['version']}"
        licence = package["license"] or BY_FILE.get(package["name"])
        if not licence:
            broken.append(f"{name}: no licence in its manifest; read its licence file and add it to BY_FILE")
            continue
        try:
            accepted = Expression(licence).accepted()
        except (ValueError, IndexError) as problem:
            broken.append(f"{name}: {licence!r} is no SPDX expression: {problem}")
            continue
        if not accepted:
            broken.append(f"{name}: {licence} does not go with Apache-2.0")
    for line in broken:
        print(f"error: {line}")
    if broken:
        return 1
    print(f"licences: {len(reached)} crates, all go with Apache-2.0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
