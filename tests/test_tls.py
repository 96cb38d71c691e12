"""TLS of both doors, with real clients: requests, pyarrow, ADBC, the Python client, another lab."""

import datetime
import ipaddress
import os
import socket
import ssl
import time
import urllib.error
import urllib.request

import adbc_driver_flightsql.dbapi as flightsql
import numpy as np
import pyarrow.flight as flight
import pytest
import requests
import tarn as client
import xarray as xr
from adbc_driver_flightsql import DatabaseOptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from records import write_record
from story.labs import Lab
from test_statements import options


def name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


class Authority:
    """A certificate authority of a lab."""

    def __init__(self, folder, text="the lab"):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), name(text)
        certificate = self.signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=0))
        self.path = folder / f"{text}.pem".replace(" ", "_")
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def signed(self, subject, key, *extensions):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, certificate, key):
        """Writes a certificate of this machine and its key; gives the serial number."""
        own = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
        signed = self.signed(name("node"), own, here)
        key.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        key.chmod(0o600)
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return signed.serial_number


class SecureLab(Lab):
    """A lab whose doors have TLS."""

    def __init__(self, binary, name, folder, authority):
        super().__init__(binary, name, folder, {"SSL_CERT_FILE": str(authority.path)})
        self.context = ssl.create_default_context(cafile=authority.path)
        self.init('\n[tls]\ncertificate = "node.pem"\nkey = "node.key"\n')
        self.serial = authority.issue(self.home / "node.pem", self.home / "node.key")

    @property
    def http_url(self):
        return f"https://127.0.0.1:{self.http}"

    @property
    def flight_url(self):
        return f"grpc+tls://127.0.0.1:{self.flight}"

    def ready(self):
        try:
            with urllib.request.urlopen(f"{self.http_url}/readyz", timeout=2, context=self.context) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def served_serial(self, port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            with self.context.wrap_socket(plain, server_hostname="127.0.0.1") as secret:
                return x509.load_der_x509_certificate(secret.getpeercert(binary_form=True)).serial_number


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def labs(binary, tmp_path_factory, authority):
    """Two labs that are peers, each with a public table of three rows."""
    folder = tmp_path_factory.mktemp("labs")
    made = []
    for number, lab_name in enumerate(["east", "west"]):
        lab = SecureLab(binary, lab_name, folder, authority)
        made.append(lab)
        path = folder / f"{lab_name}.nc"
        xr.Dataset({"v": ("row", np.arange(3) + 10 * number)}).to_netcdf(path)
        lab.start()
        lab.run("register", write_record(folder / f"{lab_name}.yaml", [path], tier="public"))
        lab.run("ingest", path, "--dataset", "data", "--in-place")
    yield made
    for lab in made:
        lab.stop()


@pytest.fixture(scope="module")
def token(labs):
    return labs[0].run("token", "create", "--name", "ann", "--scope", "read", "--quiet").out.strip()


def test_http_is_secret(labs, authority, tmp_path):
    lab, _ = labs
    assert requests.get(f"{lab.http_url}/readyz", verify=str(authority.path), timeout=10).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{lab.http_url}/readyz", verify=str(Authority(tmp_path, "another").path), timeout=10)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"http://127.0.0.1:{lab.http}/readyz", timeout=10)


def test_flight_is_secret(labs, authority, token, monkeypatch):
    lab, _ = labs
    roots = authority.path.read_bytes()
    with pytest.raises(flight.FlightUnavailableError):
        list(flight.connect(f"grpc://127.0.0.1:{lab.flight}").list_actions(options(token)))
    assert list(flight.connect(lab.flight_url, tls_root_certs=roots).list_actions(options(token)))
    db = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}",
        DatabaseOptions.TLS_ROOT_CERTS.value: roots.decode(),
    }
    with flightsql.connect(lab.flight_url, db_kwargs=db) as adbc, adbc.cursor() as cursor:
        cursor.execute("SELECT sum(v) FROM east.data.row")
        assert cursor.fetchone() == (3,)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    lake = client.connect(lab.flight_url, token=token)
    assert lake.sql("SELECT v FROM data.row ORDER BY v").arrow()["v"].to_pylist() == [0, 1, 2]


def test_labs_speak_to_each_other_in_secret(labs):
    east, west = labs
    east.invite(west)
    shown = west.run("sql", "--json", "SELECT sum(a.v + b.v) AS n FROM east.data.row a JOIN west.data.row b USING (row)")
    assert shown.json()["rows"] == [{"n": 36}]


def test_who_says_nothing_holds_nobody_up(labs, authority):
    lab, _ = labs
    silent = [socket.create_connection(("127.0.0.1", port)) for port in [lab.http, lab.flight] for _ in range(20)]
    began = time.monotonic()
    assert requests.get(f"{lab.http_url}/readyz", verify=str(authority.path), timeout=5).status_code == 200
    assert list(flight.connect(lab.flight_url, tls_root_certs=authority.path.read_bytes()).list_actions())
    assert time.monotonic() - began < 5
    for one in silent:
        one.close()


def test_a_certificate_is_renewed_while_the_node_runs(labs, authority):
    lab, _ = labs
    assert lab.served_serial(lab.http) == lab.served_serial(lab.flight) == lab.serial
    (lab.home / "node.pem").write_text("half written")
    time.sleep(12)
    assert lab.served_serial(lab.http) == lab.serial, "files that do not fit change nothing"
    serial = authority.issue(lab.home / "node.pem", lab.home / "node.key")
    until = time.monotonic() + 30
    while lab.served_serial(lab.http) != serial:
        assert time.monotonic() < until
        time.sleep(0.5)
    assert lab.served_serial(lab.flight) == serial


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda home: (home / "node.pem").unlink(), ["node.pem"]),
        (lambda home: (home / "node.pem").write_text("nothing"), ["node.pem", "BEGIN CERTIFICATE"]),
        (lambda home: (home / "node.key").write_text("nothing"), ["node.key", "BEGIN PRIVATE KEY"]),
        (lambda home: Authority(home, "x").issue(home / "other.pem", home / "node.key"), ["node.key", "does not fit"]),
    ],
)
def test_files_that_do_not_do_are_named(binary, tmp_path, authority, change, words):
    lab = SecureLab(binary, "ornl", tmp_path, authority)
    change(lab.home)
    refused = lab.run("serve", code=None, timeout=20)
    assert refused.code != 0
    assert all(word in refused.err for word in words), refused.err


def test_clear_text_to_other_machines_is_warned_of(new_lab):
    lab = new_lab("ornl")
    config = lab.home / "tarn.toml"
    config.write_text(config.read_text().replace(f'http = "127.0.0.1:{lab.http}"', f'http = "0.0.0.0:{lab.http}"'))
    lab.start()
    assert "clear text" in lab.log.read_text()
    assert os.environ.get("TARN_TLS_KEY") is None
