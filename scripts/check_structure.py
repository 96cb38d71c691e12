#!/usr/bin/env python3
"""Rules of structure that no compiler checks: which crate may use which, how long a file may be,
and that the big libraries are there once.

    python3 scripts/check_structure.py

Exit status 1 with one line for each broken rule.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Crates from left to right; a crate may use those left of it. `ingest` and `query` stand side by side.
LAYERS = [["schemas"], ["client", "formats"], ["connectors"], ["catalog"], ["ingest", "query"], ["server"]]

SUFFIXES = {".rs", ".py", ".sh", ".ts", ".svelte"}
WARN_LINES, MOST_LINES = 600, 800

# One copy each: two would not accept each other's types, and double the build.
SINGLE = re.compile(r"(arrow|arrow-.+|parquet|object_store|deltalake|deltalake-core|datafusion|datafusion-.+)$")


def imports():
    """A crate names only crates left of it, in any table of dependencies."""
    layer_of = {name: at for at, names in enumerate(LAYERS) for name in names}
    for crate, at in layer_of.items():
        manifest = (ROOT / crate / "Cargo.toml").read_text(encoding="utf-8")
        for used in re.findall(r"^tarn-([a-z]+)\s*[.=]", manifest, re.MULTILINE):
            if used not in layer_of:
                yield f"{crate}/Cargo.toml: tarn-{used} has no place in LAYERS of scripts/check_structure.py"
            elif layer_of[used] >= at:
                yield f"{crate}/Cargo.toml: {crate} may not use {used}; move what both need to the left"
    known = set(layer_of)
    members = re.search(r"members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.DOTALL)
    for member in re.findall(r'"([^"]+)"', members[1]):
        if member not in known:
            yield f"Cargo.toml: the crate {member} has no place in LAYERS of scripts/check_structure.py"


def sizes(warnings):
    """No source file is longer than 800 lines; above 600 it is named."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > MOST_LINES:
            yield f"{name}: {lines} lines, more than {MOST_LINES}; one concept a file reads better"
        elif lines > WARN_LINES:
            warnings.append(f"{name}: {lines} lines; above {WARN_LINES} look for the second concept in it")


def copies():
    """Cargo.lock holds one version of each library whose types cross our crates."""
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    versions = {}
    for name, version in re.findall(r'\[\[package\]\]\nname = "([^"]+)"\nversion = "([^"]+)"', lock):
        if SINGLE.match(name):
            versions.setdefault(name, set()).add(version)
    for name in ("arrow", "datafusion", "object_store", "parquet", "deltalake"):
        if name not in versions:
            yield f"Cargo.lock: {name} is missing"
    for name, found in sorted(versions.items()):
        if len(found) > 1:
            yield f"Cargo.lock: {name} is there {len(found)} times: {', '.join(sorted(found))}"


def main():
    warnings = []
    broken = [*imports(), *sizes(warnings), *copies()]
    for line in warnings:
        print(f"warning: {line}")
    for line in broken:
        print(f"error: {line}")
    if broken:
        return 1
    print("structure: imports go one way, files are short, libraries are there once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
