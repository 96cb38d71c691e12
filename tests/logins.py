"""People who log in: a browser that fills in forms, and a terminal; and nodes that are none."""

import base64
import contextlib
import html
import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

import requests
from story.labs import die_with_parent


def issuer_settings(*providers, **more):
    """`[[issuers]]` of a tarn.toml; `more` is added to the first, as TOML."""
    text = ""
    for number, provider in enumerate(providers):
        text += (
            f'\n[[issuers]]\nname = "{"lab" if number == 0 else f"other{number}"}"\nurl = "{provider.url}"\n'
            'client_id = "web"\nclient_secret_env = "TEST_SECRET"\ndevice_client_id = "cli"\n'
            'audience = ["urn:tarn:api"]\nscopes = ["openid", "profile", "email", "groups"]\n'
        )
        if number == 0:
            text += "".join(f"{key} = {value}\n" for key, value in more.items())
    return text


class Browser(requests.Session):
    """A browser without scripts: it keeps cookies, follows links and fills in forms."""

    def visit(self, url, person="alice"):
        """Goes to an address and through every page that asks who it is; the last answer."""
        return self.through(self.get(url, timeout=30), person)

    def through(self, page, person="alice"):
        """Fills in forms until a page has none."""
        for _ in range(10):
            found = re.search(r'(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page.text)
            if page.status_code != 200 or "html" not in page.headers["content-type"] or not found:
                return page
            action, inside = urljoin(page.url, html.unescape(found[1])), found[2]
            fields = {}
            for tag in re.findall(r"<input[^>]*>", inside):
                name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
                if name:
                    fields[name[1]] = html.unescape(value[1]) if value else ""
            if "login" in fields:
                fields["login"], fields["password"] = person, "any"
            page = self.post(action, data=fields, timeout=30)
        raise AssertionError(f"no end of forms at {page.url}")

    def until_callback(self, url, person="alice"):
        """Logs in as far as the address with the code, which is not visited."""
        page = self.get(url, timeout=30, allow_redirects=False)
        for _ in range(20):
            if page.is_redirect:
                target = urljoin(page.url, page.headers["location"])
                if "/login/callback" in target:
                    return target
                page = self.get(target, timeout=30, allow_redirects=False)
                continue
            found = re.search(r'(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page.text)
            assert found, page.text
            hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', found[2]))
            if 'name="login"' in found[2]:
                hidden |= {"login": person, "password": "any"}
            action = urljoin(page.url, html.unescape(found[1]))
            page = self.post(action, data=hidden, timeout=30, allow_redirects=False)
        raise AssertionError("the login leads nowhere")


def device_code(provider, person, scope="openid profile groups"):
    """What the provider gives to a terminal, with the person's consent: its tokens."""
    asked = requests.post(
        f"{provider.url}/device/auth", data={"client_id": "cli", "scope": scope}, timeout=30
    ).json()
    Browser().visit(asked["verification_uri_complete"], person)
    given = requests.post(
        f"{provider.url}/token",
        data={
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": asked["device_code"],
            "client_id": "cli",
        },
        timeout=30,
    )
    assert given.status_code == 200, given.text
    return given.json()


@contextlib.contextmanager
def pretender(doors, session=None):
    """A program that says of itself what a node says of how to log in; its address, and what it was given."""
    given = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(doors)

        def do_POST(self):
            given.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            made = {"token": "tarn_s_x", "expires_at": "2099-01-01T00:00:00Z", "name": "n", "called": "c"}
            self.answer({**made, **(session or {})})

        def answer(self, value):
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", given
    finally:
        server.shutdown()
        server.server_close()


def terminal_login(lab, person, *flags, given=""):
    """`tarn login` in a terminal while the person confirms in a browser; the command when it has ended."""
    process = subprocess.Popen(
        lab.command("login", "--json", *flags),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
        env=lab.environment(),
    )
    process.stdin.write(given)
    process.stdin.close()
    process.stdin, said = None, ""
    for line in process.stderr:
        said += line
        if "user_code=" in line:
            Browser().visit(line.strip(), person)
            break
    out, err = process.communicate(timeout=60)
    return process.returncode, out, said + err


def claims(token):
    """What is in a token."""
    return json.loads(decoded(token.split(".")[1]))


def decoded(part):
    """A part of a token."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(value):
    """A part of a token, of bytes or of JSON."""
    value = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
