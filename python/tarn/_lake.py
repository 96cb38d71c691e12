"""Connections to nodes."""

from __future__ import annotations

import json
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pyarrow.flight as flight

from ._dataset import Dataset
from ._logins import stored_token
from ._result import Result
from ._stream import Stream
from .errors import InvalidArgument, NotFound, Unauthenticated, translated

Answer = TypeVar("Answer")
Token = str | Callable[[], str] | None

# A dead network does not end a connection by itself: gRPC asks every 20 seconds whether the node is still there.
_ALIVE = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]
# The process in which gRPC has its threads: a child that is forked later has none of them and would wait for ever.
_grpc_process: int | None = None


def connect(url: str | os.PathLike[str], token: Token = None) -> Lake:
    """Connects to a node: `grpc://host:port`, `grpc+tls://host:port`, `grpc+unix:///path/of/socket`, or the folder of
    a home.

    Without a token it is that of `tarn login` at this node, if there is one; with `token=""` there is none. A token
    may also be a function that gives one: it is called at first and whenever the node no longer takes the last one,
    also in the middle of a stream. For worker processes that are spawned it must be one that can be pickled.

    Raises `InvalidArgument` for an address of HTTP, `NotFound` for a folder that is no home, `Unauthenticated`
    where several logins are stored for the address. Nothing is sent before the first question.
    """
    return Lake(url, token)


def _address(url: str | os.PathLike[str]) -> str:
    url = os.fspath(url)
    if url.startswith(("http://", "https://")):
        raise InvalidArgument(f"{url!r} is not the address of Flight: write grpc://host:port (8815 by default)")
    if "://" in url:
        return url
    path = pathlib.Path(url).expanduser() / "tarn.toml"
    if not path.is_file():
        raise NotFound(f"{url!r} is neither a URL (grpc://host:port) nor the folder of a home")
    import tomllib

    config = tomllib.loads(path.read_text())
    scheme = "grpc+tls" if "tls" in config else "grpc"
    return f"{scheme}://{os.environ.get('TARN_FLIGHT', config.get('flight', '127.0.0.1:8815'))}"


def _settings(url: str) -> list[tuple[str, int | str]]:
    # gRPC would name the path of a socket as the host, which HTTP/2 has no place for.
    local = [("grpc.default_authority", "localhost")] if url.startswith("grpc+unix:") else []
    return [*_ALIVE, *local]


def _trusted(url: str) -> dict[str, bytes]:
    """Authorities beside those of gRPC: those of `SSL_CERT_FILE`, as for other programs of this machine."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and url.startswith("grpc+tls://"):
        return {"tls_root_certs": pathlib.Path(bundle).read_bytes()}
    return {}


class Lake:
    """A connection to a node, and through it to all labs that the node knows. May be pickled."""

    def __init__(self, url: str | os.PathLike[str], token: Token = None) -> None:
        self.url = _address(url)
        self._renewal = token if callable(token) else None
        self._stored = token is None
        self._token: str | None = None
        if token is None:
            self._token = stored_token(self.url)
        elif isinstance(token, str):
            self._token = token or None
        self._forget_connection()

    def _forget_connection(self) -> None:
        self._client: flight.FlightClient | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"tarn.connect({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("url", "_renewal", "_stored", "_token")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_connection()

    @property
    def token(self) -> str | None:
        """The token that calls carry now."""
        return self._token

    @property
    def client(self) -> flight.FlightClient:
        """The `pyarrow.flight.FlightClient`.

        Raises `InvalidArgument` in a process that was forked from one that had already talked to a node.
        """
        global _grpc_process
        if _grpc_process not in (None, os.getpid()):
            raise InvalidArgument(
                "this process was forked from one that has already talked to a node, and gRPC does not survive that: "
                "start it by 'spawn' (multiprocessing_context='spawn' of a DataLoader), or fork before the first question"
            )
        if self._client is None:
            _grpc_process = os.getpid()
            with translated():
                self._client = flight.FlightClient(self.url, generic_options=_settings(self.url), **_trusted(self.url))
        return self._client

    def options(self, **headers: str) -> flight.FlightCallOptions:
        """Options of a call with the token."""
        if self._token is None and self._renewal is not None:
            self.renew(None)
        pairs = [(f"x-tarn-{name}".encode(), value.encode()) for name, value in headers.items()]
        if self._token is not None:
            pairs.append((b"authorization", f"Bearer {self._token}".encode()))
        return flight.FlightCallOptions(headers=pairs)

    def renew(self, refused: str | None) -> bool:
        """Asks for another token in place of the one that was refused; False if there is none."""
        with self._lock:
            if self._token == refused:
                if self._renewal is not None:
                    self._token = self._renewal() or None
                elif self._stored:
                    self._token = stored_token(self.url)
            return self._token != refused

    def call(self, ask: Callable[[], Answer]) -> Answer:
        """Calls the node; once more with a new token where it no longer takes the old one and there is another."""
        used = self._token
        try:
            with translated():
                return ask()
        except Unauthenticated:
            if not self.renew(used):
                raise
            with translated():
                return ask()

    def action(self, kind: str, body: Any) -> Any:
        """Calls an action of Tarn with a JSON body (or bytes) and returns its JSON answer."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        results = self.call(lambda: list(self.client.do_action(flight.Action(kind, body), self.options())))
        return json.loads(results[0].body.to_pybytes())

    def sql(self, query: str, partial: str = "error") -> Result:
        """Plans a query. With `partial="allow"` labs that do not answer are left out and reported.

        Raises `InvalidArgument` for SQL that cannot be planned, `NotFound` and `PermissionDenied` for its tables.
        """
        if partial not in ("error", "allow"):
            raise InvalidArgument(f"partial is {partial!r}; use 'error' or 'allow'")
        return Result(self, query, partial)

    def search(
        self,
        text: str = "",
        filters: Mapping[str, str | Iterable[str]] | None = None,
        facets: Iterable[str] = (),
        limit: int = 20,
    ) -> dict[str, Any]:
        """Searches the catalogs of all labs. Returns `{"hits": […], "total": n, "facets": {…}, "sites": […]}`."""
        pairs: list[list[str]] = []
        for key, values in (filters or {}).items():
            pairs += [[key, value] for value in ([values] if isinstance(values, str) else values)]
        request = {"text": text, "filters": pairs, "facets": list(facets), "limit": limit}
        found: dict[str, Any] = self.action("tarn.search", request)
        return found

    def dataset(self, name: str) -> Dataset:
        """A dataset of the node's lab: `name`, `lab.name` or `lab.name@version`. Raises `NotFound`."""
        return Dataset(self, name)

    def stream(self, dataset: str, **request: Any) -> Stream:
        """A training stream of a table; see `tarn.Stream` for the fields of a request."""
        return Stream(self, dataset, **request)
