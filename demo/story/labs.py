"""Runs the `tarn` binary: single commands, and labs with a home and a server of their own.

Standard library only. The end-to-end tests use it too.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A command did not end as it should; the message holds what it printed."""


@dataclass
class Done:
    """A command that has ended."""

    command: list
    code: int
    out: str
    err: str
    seconds: float

    def json(self):
        """Standard output as JSON."""
        try:
            return json.loads(self.out)
        except json.JSONDecodeError as problem:
            raise Failed(f"{self.describe()}: no JSON ({problem})") from problem

    def describe(self):
        """The command with its exit code and output, for messages."""
        shown = " ".join(word if len(word) < 200 else word[:200] + "…" for word in self.command)
        return f"{shown}\n  exit code {self.code}\n  {self.err.strip() or self.out.strip()}"


@dataclass
class Answer:
    """The answer to a query: rows as lists in the order of `columns`, and the part each lab took."""

    columns: list
    rows: list
    sites: list
    seconds: float
    code: int = 0
    fields: list = field(default_factory=list)


class Tarn:
    """The binary with an optional home."""

    def __init__(self, binary, home=None, env=None):
        self.binary = str(binary)
        self.home = None if home is None else Path(home)
        self.env = dict(env or {})

    def environment(self):
        """The environment of every command: the caller's, without settings of another home."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TARN_")}
        return {**kept, **self.env}

    def command(self, *args):
        """The command line."""
        home = [] if self.home is None else ["--home", str(self.home)]
        return [self.binary, *home, *map(str, args)]

    def run(self, *args, code=0, timeout=300, cwd=None, stdin=None):
        """Runs a command; an exit code other than `code` is an error (None takes any)."""
        command, began = self.command(*args), time.perf_counter()
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=cwd,
            input=stdin,
            env=self.environment(),
            check=False,
        )
        done = Done(command, ended.returncode, ended.stdout, ended.stderr, time.perf_counter() - began)
        if code is not None and done.code != code:
            raise Failed(done.describe())
        return done

    def sql(self, query, partial=None, code=0, timeout=300, cwd=None):
        """Asks; the answer as rows."""
        flags = [] if partial is None else ["--partial", partial]
        done = self.run("sql", query, "--format", "json", *flags, code=code, timeout=timeout, cwd=cwd)
        answer = done.json()
        columns = [column["name"] for column in answer["schema"]]
        rows = [[row.get(name) for name in columns] for row in answer["rows"]]
        return Answer(columns, rows, answer["sites"], done.seconds, done.code, answer["schema"])


class Lab(Tarn):
    """A lab: a home in a folder, and a server on free ports of the loopback interface."""

    def __init__(self, binary, name, folder, env=None):
        super().__init__(binary, Path(folder) / name, env)
        self.name = name
        self.http, self.flight = free_ports(2)
        self.log = Path(folder) / f"{name}.log"
        self.process = None

    def init(self, settings=""):
        """Makes the home. `settings` is appended to its tarn.toml."""
        self.run("init", "--lab", self.name)
        config = self.home / "tarn.toml"
        text = config.read_text(encoding="utf-8")
        for key, port in (("http", self.http), ("flight", self.flight)):
            text = re.sub(rf'(?m)^{key} = ".*"$', f'{key} = "127.0.0.1:{port}"', text)
        config.write_text(text + settings, encoding="utf-8")

    @property
    def http_url(self):
        """Where HTTP answers."""
        return f"http://127.0.0.1:{self.http}"

    @property
    def flight_url(self):
        """Where Flight answers, as Flight clients write it."""
        return f"grpc://127.0.0.1:{self.flight}"

    def start(self, timeout=30):
        """Starts the server and waits until it is ready."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command("serve"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
                env=self.environment(),
            )
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"the server of {self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if self.ready():
                return
            time.sleep(0.05)
        self.stop()
        raise Failed(f"the server of {self.name} was not ready within {timeout} s:\n{self.tail()}")

    def ready(self):
        """Whether the server answers."""
        try:
            with urllib.request.urlopen(f"{self.http_url}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, timeout=10):
        """Asks the server to end and waits; kills it where it does not. Gives its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        code, self.process = self.process.returncode, None
        return code

    def tail(self, lines=15):
        """The end of the server's log."""
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def invite(self, other):
        """Makes `other` a peer; the server of this lab must be running."""
        invitation = self.run("peer", "invite", "--quiet").out.strip()
        other.run("peer", "accept", invitation)


def free_ports(count):
    """Ports of the loopback interface that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def die_with_parent():
    """In the child: end when the parent ends in whatever way. Linux only, and no loss elsewhere."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        pass
