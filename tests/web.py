"""A web server that answers ranges of one folder's files, after a delay, and counts what it is asked for."""

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Served(BaseHTTPRequestHandler):
    """Files by ranges, with an ETag of size and time."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        server = self.server
        time.sleep(server.delay)
        with server.lock:
            server.requests += 1
        path = server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        stat = path.stat()
        first, last = 0, stat.st_size - 1
        asked = self.headers.get("Range")
        if asked:
            first, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
        length = last - first + 1
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{stat.st_size}")
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", f'"{stat.st_size}-{stat.st_mtime_ns}"')
        self.end_headers()
        if body:
            with server.lock:
                server.bytes += length
            with open(path, "rb") as file:
                file.seek(first)
                self.wfile.write(file.read(length))

    def log_message(self, *_):
        pass


class Web(ThreadingHTTPServer):
    """The server; `requests` and `bytes` may be set to zero."""

    daemon_threads = True

    def __init__(self, folder, delay):
        super().__init__(("127.0.0.1", 0), Served)
        self.folder, self.delay, self.lock = Path(folder), delay, threading.Lock()
        self.requests = self.bytes = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def web_server(folder, delay=0.0):
    """Serves a folder; every answer waits so many seconds."""
    with Web(folder, delay) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        try:
            yield web
        finally:
            web.shutdown()
