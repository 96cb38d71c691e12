"""Servers that tests talk to."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from story.labs import die_with_parent, free_ports

# READER may read the bucket and nothing else.
KEY, READER, SECRET, BUCKET = "labadmin", "labreader", "labadminsecret", "lake"


def end(process):
    """Ends a server, if need be by force."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def s3_server(folder):
    """SeaweedFS with two users and an empty bucket `lake`; gives the URL."""
    weed = Path(sys.executable).with_name("weed")
    folder = Path(folder)
    config = folder / "s3.json"
    users = {
        (KEY, SECRET): ["Admin", "Read", "Write", "List", "Tagging"],
        (READER, SECRET): [f"Read:{BUCKET}", f"List:{BUCKET}"],
    }
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for (key, secret), actions in users.items()
    ]
    config.write_text(json.dumps({"identities": identities}), encoding="utf-8")
    data = folder / "weed"
    data.mkdir()
    # Each port of SeaweedFS has a gRPC port 10000 above it.
    ports = low_ports(4)
    command = [
        str(weed),
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports[0]}",
        f"-volume.port={ports[1]}",
        f"-filer.port={ports[2]}",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=20",
        "-s3",
        f"-s3.port={ports[3]}",
        f"-s3.config={config}",
        # Servers of their own, which have the same ports in every process.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    log = folder / "weed.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    url = f"http://127.0.0.1:{ports[3]}"
    try:
        make_bucket(url, process, log)
        yield url
    finally:
        end(process)


def low_ports(count):
    """Free ports that stay below 65536 with 10000 added."""
    found = []
    while len(found) < count:
        found += [port for port in free_ports(8) if port < 55000]
        if not found:
            found += [port for port in range(20000 + os.getpid() % 5000, 26000, 7)]
    return found[:count]


def make_bucket(url, process, log, timeout=60):
    """Waits for the server, then makes the bucket through its own S3 door."""
    import pyarrow.fs

    files = s3_files(url)
    until = time.monotonic() + timeout
    while True:
        try:
            files.create_dir(BUCKET)
            if files.get_file_info(BUCKET).type == pyarrow.fs.FileType.Directory:
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=1).close()
        time.sleep(0.3)


def s3_files(url):
    """The bucket's files by pyarrow, an S3 client of its own."""
    import pyarrow.fs

    return pyarrow.fs.S3FileSystem(
        access_key=KEY,
        secret_key=SECRET,
        endpoint_override=url.removeprefix("http://"),
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
        connect_timeout=5,
        request_timeout=20,
    )


def s3_environment(url):
    """What clients on object_store read."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


@contextlib.contextmanager
def postgres():
    """A throw-away PostgreSQL; gives the URL of an empty database, with a password that it does not ask for."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.fail("PostgreSQL is missing: apt-get install postgresql (scripts/setup.sh does)")
    [port] = free_ports(1)
    script = """set -e; cd /; D=$(mktemp -d)
"$1/initdb" -D "$D/data" -U lab -A trust -E UTF8 --locale=C.UTF-8 -N >/dev/null
"$1/postgres" -D "$D/data" -p "$2" -k "$D" -c listen_addresses=127.0.0.1 -c fsync=off >"$D/log" 2>&1 </dev/null &
for i in $(seq 300); do "$1/pg_isready" -q -h 127.0.0.1 -p "$2" && break; sleep 0.1; done
"$1/createdb" -h 127.0.0.1 -p "$2" -U lab catalog; echo ready
cat >/dev/null; kill -QUIT $!; wait $! || true; rm -rf "$D"
"""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*user, "sh", "-c", script, "sh", str(found[-1].parent), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "ready", "PostgreSQL did not start"
        yield f"postgres://lab:secret-word@127.0.0.1:{port}/catalog"
        process.stdin.close()


class Provider:
    """An OpenID provider, and what tests do with it."""

    def __init__(self, url):
        self.url = url

    def test(self, path, body=None):
        """One of the provider's doors for tests; its answer as text."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/test/{path}", data=data, timeout=10) as answer:
            return answer.read().decode()

    def sign(self, header=None, **claims):
        """A token of the provider's own key with any claims."""
        now = int(time.time())
        base = {"iss": self.url, "sub": "alice", "aud": "urn:tarn:api", "iat": now, "exp": now + 600}
        claims = {name: value for name, value in {**base, **claims}.items() if value is not None}
        return self.test("sign", {"header": header or {}, "claims": claims})

    def says(self, **people):
        """Lets the provider say these claims of people from now on."""
        self.test("claims", people)


@contextlib.contextmanager
def oidc_provider(folder, redirects=(), strict=False):
    """A real OpenID provider (npm oidc-provider, see node/provider.mjs); a strict one has claims at its userinfo
    endpoint alone."""
    modules = Path(os.environ.get("TARN_NODE_MODULES", ""))
    node = shutil.which("node")
    if node is None or not (modules / "oidc-provider").is_dir():
        pytest.fail("the OpenID provider is missing: scripts/setup.sh installs node and npm's oidc-provider")
    [port] = free_ports(1)
    log = Path(folder) / f"oidc-{port}.log"
    script = Path(__file__).with_name("node") / "provider.mjs"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [node, str(script), str(port), *redirects],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=die_with_parent,
            env={**os.environ, "TARN_NODE_MODULES": str(modules), "STRICT": str(int(strict))},
        )
    provider, until = Provider(f"http://127.0.0.1:{port}"), time.monotonic() + 30
    try:
        while True:
            with contextlib.suppress(urllib.error.URLError, OSError):
                provider.test("public-key")
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the provider did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield provider
    finally:
        end(process)
