"""The prompt of `tarn sql` on a real terminal: names by Tab, commands, progress, Ctrl-C, a history."""

import json
import re
import shutil
import time

import pexpect
import pytest
import xarray as xr

PROMPT = "tarn> "
SLOW = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b WHERE a.value < b.value - 200000;"


class Terminal:
    """A prompt, and what it shows."""

    def __init__(self, binary, home, *args):
        env = {"HOME": str(home), "TERM": "xterm", "PATH": "/usr/bin:/bin", "TARN_HOME": str(home)}
        command = [*args, "sql"]
        self.child = pexpect.spawn(
            str(binary), command, env=env, encoding="utf-8", timeout=60, dimensions=(40, 160), cwd=str(home)
        )
        self.child.expect_exact(PROMPT)

    def type(self, text):
        """Types without Enter."""
        self.child.send(text)

    def ask(self, text):
        """Types a line; gives what is shown until the next prompt, without escapes."""
        self.child.sendline(text)
        return self.until_prompt()

    def until_prompt(self):
        # The editor draws the prompt again with each key; the one after the answer has nothing behind it.
        self.child.expect_exact("tarn> \r\x1b[6C")
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.child.before)
        return shown

    def close(self):
        self.child.close(force=True)


@pytest.fixture
def beads(tmp_path):
    """A file of five beads."""
    path = tmp_path / "beads.nc"
    mass = xr.DataArray([0.5, 1.5, 2.5, 3.5, 4.5], dims="bead", attrs={"units": "g", "long_name": "mass of a bead"})
    xr.Dataset({"Mass": mass}, coords={"bead": [10, 11, 12, 13, 14]}).to_netcdf(path)
    return path


@pytest.fixture
def lab(lab_with, beads):
    """A lab with a table of five rows, `data.bead`."""
    lab = lab_with([beads])
    lab.run("ingest", beads, "--dataset", "data", "--in-place")
    return lab


@pytest.fixture
def terminal(binary, lab):
    opened = []

    def open_one(*args):
        opened.append(Terminal(binary, lab.home, *args))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_statements_run_when_a_semicolon_ends_them(terminal):
    prompt = terminal()
    shown = prompt.ask("SELECT 6 * 7 AS answer;")
    assert "42" in shown and "1 row(s) in" in shown
    prompt.child.sendline("SELECT 'a;b' AS text,")
    time.sleep(0.5)
    shown = prompt.ask("1 + 1 AS two;")
    assert "a;b" in shown and "2" in shown
    shown = prompt.ask("SELECT 1 AS one; SELECT 2 AS other;")
    assert "one" in shown and "other" in shown
    shown = prompt.ask("SELEC 1;")
    assert "error" in shown
    assert "3" in prompt.ask("SELECT 3;"), "an error ends nothing"


def test_commands_list_and_describe(terminal, lab):
    prompt = terminal()
    assert "data.bead" in prompt.ask("\\d")
    columns = prompt.ask("\\d data.bead")
    assert re.search(r'"Mass" .*Float64 .*g .*mass of a bead', columns)
    assert "data.bead" in prompt.ask("\\d data") and "data.bead" in prompt.ask("\\d ornl")
    assert "not" in prompt.ask("\\d nothing_of_the_kind")
    assert "convert_units" in prompt.ask("\\df units") and "read_netcdf" in prompt.ask("\\df read_n")
    assert "timing is off" in prompt.ask("\\timing")
    shown = prompt.ask("SELECT 1 AS one;")
    assert "1 row(s)" in shown and " s" not in shown.split("row(s)")[1].split("\n")[0]
    prompt.ask("\\format csv")
    assert re.search(r"one,two\r?\n1,2", prompt.ask("SELECT 1 AS one, 2 AS two;"))
    assert "\\o FILE" in prompt.ask("\\?")
    assert "\\?" in prompt.ask("\\nothing")
    prompt.ask("\\o answer.json")
    prompt.ask("SELECT 5 AS five;")
    assert json.loads((lab.home / "answer.json").read_text())["rows"] == [{"five": 5}]
    assert "7" in prompt.ask("SELECT 7;"), "only one answer goes to the file"
    prompt.child.sendline("\\q")
    prompt.child.expect(pexpect.EOF)


def test_tab_completes_tables_columns_functions_and_files(terminal, lab, beads):
    prompt = terminal()
    time.sleep(1)
    prompt.type("SELECT count(*) FROM da\t")
    shown = prompt.ask(";")
    assert "5" in shown, shown
    assert "data.bead" in shown
    prompt.type("SELECT sum(mas FROM data.bead")
    for _ in range(len(" FROM data.bead")):
        prompt.type("\x1b[D")
    prompt.type("\t)")
    assert "12.5" in prompt.ask("\x05;")
    prompt.type("SELECT conve\t1.0, 'km', 'm')")
    assert "1000" in prompt.ask(";")
    shutil.copy(beads, lab.home / "here only.nc")
    prompt.type("SELECT sum(bead) FROM read_netcdf('here\t')")
    assert "60" in prompt.ask(";")


def test_ctrl_c_stops_the_statement_and_not_the_prompt(terminal):
    prompt = terminal()
    prompt.child.sendline(SLOW)
    prompt.child.expect(r"[3-9] s, ")
    began = time.monotonic()
    prompt.child.sendintr()
    shown = prompt.until_prompt()
    assert time.monotonic() - began < 2
    assert "cancelled" in shown
    assert "9" in prompt.ask("SELECT 4 + 5;")
    prompt.child.sendline("SELECT 'never ended")
    time.sleep(0.3)
    prompt.child.sendintr()
    prompt.until_prompt()
    assert "8" in prompt.ask("SELECT 8;")


def test_the_history_is_kept(terminal):
    prompt = terminal()
    prompt.ask("SELECT 11 AS kept;")
    prompt.child.sendeof()
    prompt.child.expect(pexpect.EOF)
    again = terminal()
    again.type("\x1b[A")
    assert "11" in again.ask("")


def test_an_estimate_says_what_would_be_read(lab):
    whole = lab.run("sql", "--json", "--estimate", 'SELECT "Mass" FROM data.bead').json()
    assert whole == {"rows": 5, "bytes": 40, "beyond": False, "certain": True}
    part = lab.run("sql", "--json", "--estimate", "SELECT * FROM data.bead LIMIT 1").json()
    assert part["rows"] <= 5 and not part["certain"]
    assert lab.run("sql", "--json", "--estimate", "SELECT 1").json()["rows"] == 0
