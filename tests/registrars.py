"""Registrars of DOIs as far as Tarn speaks to them: DataCite's REST API and OSTI's E-Link 2, with outages."""

import base64
import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import elinkapi
from datacite import schema45

# What DataCite's API takes beside the metadata.
OF_API = ("doi", "event", "url")


class Registrar(BaseHTTPRequestHandler):
    """What both have in common: an outage, and a log of requests."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.settimeout(30)

    def do_GET(self):
        self.answer(None)

    def do_PUT(self):
        self.answer(self.body())

    do_POST = do_PUT

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or "null")

    def answer(self, body):
        server = self.server
        with server.lock:
            server.log.append((self.command, self.path, body))
            # `drop` answers are lost on their way after the request was carried out.
            dropped = server.drop > 0
            status, headers, text = server.failing or self.handle_one(body)
            if dropped:
                server.drop -= 1
                self.close_connection = True
                return
        data = json.dumps(text).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class DataCite(Registrar):
    """A repository with the prefix 10.5072."""

    def handle_one(self, body):
        expected = "Basic " + base64.b64encode(b"LAB.TARN:s3cr3t").decode()
        if self.headers.get("Authorization") != expected:
            return 401, {}, {"errors": [{"status": "401", "title": "Bad credentials."}]}
        doi = self.path.removeprefix("/dois/")
        known = self.server.records
        if not re.fullmatch(r"10\.5072/[0-9a-z]+", doi):
            return 403, {}, {"errors": [{"status": "403", "title": "You are not authorized."}]}
        if self.command == "GET":
            if doi in known:
                return 200, {}, {"data": {"id": doi, "attributes": known[doi]}}
            return 404, {}, {"errors": [{"status": "404", "title": "The resource you are looking for doesn't exist."}]}
        if self.headers["Content-Type"] != "application/vnd.api+json" or body["data"]["type"] != "dois":
            return 400, {}, {"errors": [{"title": "no JSON:API"}]}
        sent = body["data"]["attributes"]
        attributes = {**known.get(doi, {}), **sent}
        event = attributes.pop("event", None)
        if event == "publish":
            metadata = {key: value for key, value in attributes.items() if key not in OF_API and key != "state"}
            # Coverage came with DataCite 4.6; the newest schema of this package is 4.5.
            metadata["dates"] = [date for date in metadata.get("dates", []) if date["dateType"] != "Coverage"]
            problems = [error.message for error in schema45.validator.iter_errors({**metadata, "doi": doi})]
            if problems or not attributes.get("url"):
                return 422, {}, {"errors": [{"title": problem} for problem in problems or ["url"]]}
        state = {"publish": "findable", "hide": "registered"}.get(event, "draft")
        known[doi] = {**attributes, "state": state}
        return 200 if doi in known else 201, {}, {"data": {"id": doi, "attributes": known[doi]}}


class ELink(Registrar):
    """E-Link 2 with a lab's account."""

    def handle_one(self, body):
        if self.headers.get("Authorization") != "Bearer s3cr3t":
            return 401, {}, {"errors": [{"detail": "no such token"}]}
        known, path = self.server.records, urlsplit(self.path)
        if self.command == "GET" and path.path == "/records":
            wanted = parse_qs(path.query)["site_unique_id"][0]
            return 200, {}, [record for record in known.values() if record["site_unique_id"] == wanted]
        elinkapi.Record(**body)
        if self.command == "POST" and path.path == "/records/submit":
            number = 3_000_000 + len(known)
        else:
            number = int(re.fullmatch(r"/records/(\d+)/submit", path.path).group(1))
            assert number in known
        known[number] = {**body, "osti_id": number, "doi": f"10.11578/{number}"}
        return 200, {}, [known[number]]


@contextlib.contextmanager
def registrar(kind, port=0):
    """A registrar on loopback; `failing` is what it answers to everything, `drop` how many answers get lost."""
    server = ThreadingHTTPServer(("127.0.0.1", port), kind)
    server.daemon_threads = True
    server.lock, server.log, server.records, server.failing, server.drop = threading.Lock(), [], {}, None, 0
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
