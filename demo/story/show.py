"""Prints the story: plain text, bold and dim on a terminal."""

import os
import shutil
import sys
import textwrap

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
WIDTH = min(shutil.get_terminal_size((100, 24)).columns, 110)


def style(code, text):
    """Text in a style, on a terminal."""
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def bold(text):
    """Important text."""
    return style("1", text)


def dim(text):
    """Text for those who look closer."""
    return style("2", text)


def mark(right):
    """Right or wrong."""
    return style("32", "✓") if right else style("31;1", "✗")


def say(text=""):
    """A line, at once."""
    print(text, flush=True)


def paragraph(text):
    """Running text."""
    say(textwrap.fill(" ".join(text.split()), WIDTH))


def chapter(title):
    """The head of a chapter."""
    say()
    say(bold(f"━━ {title} " + "━" * max(0, WIDTH - len(title) - 4)))


def query(sql):
    """The SQL of a question."""
    for line in sql.splitlines():
        say(dim("    " + line))


def number(value):
    """A value as people read it."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value)


def table(columns, rows, indent="  "):
    """Aligned columns; numbers to the right."""
    cells = [[number(value) for value in row] for row in rows]
    widths = [
        max(len(name), *(len(row[i]) for row in cells), 0) if cells else len(name) for i, name in enumerate(columns)
    ]
    right = [all(not isinstance(row[i], str) for row in rows) if rows else False for i in range(len(columns))]

    def line(values):
        parts = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right)]
        return indent + "  ".join(parts).rstrip()

    say(dim(line(columns)))
    for row in cells:
        say(line(row))


def beside(columns, rows, expected, key, verdicts):
    """Tarn's rows with the expected value of the key column and a mark."""
    at = expected["columns"].index(key)
    shown = []
    for i, row in enumerate(rows):
        want = expected["rows"][i][at] if i < len(expected["rows"]) else "nothing"
        verdict = i < len(verdicts) and verdicts[i]
        shown.append([*row, want, "✓" if verdict else "✗"])
    table([*columns, f"expected {key}", ""], shown)
    for i, verdict in enumerate(verdicts):
        if not verdict:
            say(style("31;1", f"  ✗ expected row {i + 1}: {', '.join(number(v) for v in expected['rows'][i])}"))
    for want in expected["rows"][len(rows) :]:
        say(style("31;1", f"  ✗ missing row: {', '.join(number(v) for v in want)}"))


def sites(reports):
    """Which lab did what."""
    parts = []
    for site in reports:
        if site["status"] == "ok":
            parts.append(f"{site['lab']} {site['rows']} rows in {site['ms']} ms")
        else:
            parts.append(f"{site['lab']} {site['status']}: {site.get('error') or 'no answer'}")
    return "; ".join(parts)


def shorten(columns, rows, wide=24):
    """Long text cut in the middle, so that a row stays on its line."""

    def cut(value):
        if isinstance(value, str) and len(value) > wide:
            return value[: wide // 2 - 1] + "…" + value[-(wide // 2) :]
        return value

    return columns, [[cut(value) for value in row] for row in rows]
