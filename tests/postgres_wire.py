"""PostgreSQL's protocol by hand, for what drivers do not let one say."""

import os
import socket
import struct
import subprocess
import time


def psql(port, token, *commands, user="ann", database="ornl", host="127.0.0.1", code=0, **env):
    """Runs psql without alignment; the lines that it prints, or its error text where it fails."""
    given = [part for command in commands for part in ("-c", command)]
    ended = subprocess.run(
        ["psql", "-X", "-A", "-t", "-w", "-h", host, "-p", str(port), "-U", user, "-d", database, *given],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PGPASSWORD": token or "", "PGCONNECT_TIMEOUT": "20", **env},
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout.splitlines() if code == 0 else ended.stderr


class Wire:
    """A connection that sends whatever it is told."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def send(self, tag, body=b""):
        """A message."""
        self.socket.sendall(tag + struct.pack("!i", len(body) + 4) + body)

    def begin(self, token, user=b"ann", database=b"ornl"):
        """Comes in; the parameters and the key of the connection."""
        self.send(b"", struct.pack("!i", 196608) + b"user\0" + user + b"\0database\0" + database + b"\0\0")
        if user != b"anonymous":
            assert self.message() == (b"R", struct.pack("!i", 3))
            self.send(b"p", token.encode() + b"\0")
        return self.until(b"Z")

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def message(self):
        """The next message: tag and body."""
        tag, size = struct.unpack("!ci", self.read(5))
        return tag, self.read(size - 4)

    def until(self, last):
        """All messages up to one of this tag."""
        messages = []
        while not messages or messages[-1][0] != last:
            messages.append(self.message())
        return messages

    def is_closed(self, seconds):
        """Whether the server closes the connection within some seconds, whatever it says before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.socket.settimeout(max(until - time.monotonic(), 0.01))
            try:
                if not self.socket.recv(65536):
                    return True
            except ConnectionError:
                return True
            except TimeoutError:
                return False
        return False


def state(body):
    """The SQLSTATE of an error."""
    return dict((field[:1], field[1:]) for field in body.split(b"\0") if field)[b"C"].decode()
