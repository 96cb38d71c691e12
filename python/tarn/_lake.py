"""Connections, queries, search and datasets."""

import json
import os
import pathlib

import pyarrow as pa
import pyarrow.flight as flight

from ._logins import stored_token
from ._stream import Stream
from ._wire import statement
from .errors import InvalidArgument, NotFound, translated


def connect(url, token=None):
    """Connects to a node: `grpc://host:port`, `grpc+tls://host:port`, or the folder of a home.

    Without a token it is that of `tarn login` at this node, if there is one; with `token=""` there is none.
    """
    return Lake(url, token)


def _address(url):
    url = os.fspath(url)
    if url.startswith(("http://", "https://")):
        raise InvalidArgument(f"{url!r} is not the address of Flight: write grpc://host:port (8815 by default)")
    if "://" in url:
        return url
    import tomllib

    path = pathlib.Path(url).expanduser() / "tarn.toml"
    if not path.is_file():
        raise NotFound(f"{url!r} is neither a URL (grpc://host:port) nor the folder of a home")
    config = tomllib.loads(path.read_text())
    scheme = "grpc+tls" if "tls" in config else "grpc"
    return f"{scheme}://{os.environ.get('TARN_FLIGHT', config.get('flight', '127.0.0.1:8815'))}"


def _trusted(url):
    """Authorities beside those of gRPC: those of `SSL_CERT_FILE`, as for other programs of this machine."""
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and url.startswith("grpc+tls://"):
        return {"tls_root_certs": pathlib.Path(bundle).read_bytes()}
    return {}


class Lake:
    """A connection to a node, and through it to all labs that the node knows. May be pickled."""

    def __init__(self, url, token=None):
        self.url = _address(url)
        self._token = (stored_token(self.url) if token is None else token) or None
        self._client, self._pid = None, None

    def __repr__(self):
        return f"tarn.connect({self.url!r})"

    def __getstate__(self):
        return {"url": self.url, "_token": self._token, "_client": None, "_pid": None}

    @property
    def client(self):
        """The `pyarrow.flight.FlightClient`; one per process, because channels do not survive a fork."""
        if self._client is None or self._pid != os.getpid():
            with translated():
                self._client, self._pid = flight.FlightClient(self.url, **_trusted(self.url)), os.getpid()
        return self._client

    def options(self, **headers):
        """Options of a call with the token."""
        pairs = [(f"x-tarn-{name}".encode(), value.encode()) for name, value in headers.items()]
        if self._token is not None:
            pairs.append((b"authorization", f"Bearer {self._token}".encode()))
        return flight.FlightCallOptions(headers=pairs)

    def action(self, kind, body):
        """Calls an action of Tarn with a JSON body (or bytes) and returns its JSON answer."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        with translated():
            results = list(self.client.do_action(flight.Action(kind, body), self.options()))
        return json.loads(results[0].body.to_pybytes())

    def sql(self, query, partial="error"):
        """Plans a query. With `partial="allow"` labs that do not answer are left out and reported."""
        if partial not in ("error", "allow"):
            raise InvalidArgument(f"partial is {partial!r}; use 'error' or 'allow'")
        return Result(self, query, partial)

    def search(self, text="", filters=None, facets=(), limit=20):
        """Searches the catalogs of all labs. Returns `{"hits": […], "total": n, "facets": {…}, "sites": […]}`."""
        pairs = []
        for key, values in (filters or {}).items():
            pairs += [[key, value] for value in ([values] if isinstance(values, str) else values)]
        request = {"text": text, "filters": pairs, "facets": list(facets), "limit": limit}
        return self.action("tarn.search", request)

    def dataset(self, name):
        """A dataset of the node's lab: `name`, `lab.name` or `lab.name@version`."""
        return Dataset(self, name)

    def stream(self, dataset, **request):
        """A training stream of a table; see `tarn.Stream` for the fields of a request."""
        return Stream(self, dataset, **request)


class Result:
    """The answer to a query. It runs when the rows are first asked for."""

    def __init__(self, lake, query, partial):
        self._lake, self._query = lake, query
        self._options = lake.options(partial=partial)
        self._table, self._sites = None, None
        self._info = self._plan()
        self.schema = self._info.schema

    def _plan(self):
        with translated():
            descriptor = flight.FlightDescriptor.for_command(statement(self._query))
            return self._lake.client.get_flight_info(descriptor, self._options)

    def batches(self):
        """Record batches as they arrive. Asking again runs the query again, unless it was read whole."""
        if self._table is not None:
            yield from self._table.to_batches()
            return
        info, self._info = self._info or self._plan(), None
        for endpoint in info.endpoints:
            with translated():
                reader = self._lake.client.do_get(endpoint.ticket, self._options)
            while True:
                with translated():
                    try:
                        chunk = reader.read_chunk()
                    except StopIteration:
                        break
                if chunk.app_metadata is not None:
                    self._sites = json.loads(chunk.app_metadata.to_pybytes())["sites"]
                if chunk.data is not None and chunk.data.num_rows:
                    yield chunk.data

    def arrow(self):
        """All rows as a `pyarrow.Table`."""
        if self._table is None:
            self._table = pa.Table.from_batches(self.batches(), self.schema)
        return self._table

    def pandas(self):
        """All rows as a `pandas.DataFrame`."""
        return self.arrow().to_pandas()

    def polars(self):
        """All rows as a `polars.DataFrame`."""
        import polars

        return polars.from_arrow(self.arrow())

    @property
    def sites(self):
        """How each lab took part: `[{"lab", "status", "rows", "bytes", "ms", …}]`. Reads all rows first."""
        if self._sites is None:
            self.arrow()
        return self._sites

    def __repr__(self):
        return f"<tarn.Result {', '.join(self.schema.names)}>"


class Dataset:
    """A dataset and its tables."""

    def __init__(self, lake, name):
        self._lake = lake
        if name.count(".") > 1:
            dataset, table = name.rsplit(".", 1)
            raise InvalidArgument(f"{name!r} is a table: write lake.dataset({dataset!r}) and name the table {table!r}")
        self.info = lake.action("tarn.dataset", {"dataset": name})
        self.name = f"{self.info['lab']}.{self.info['name']}"
        self.version = self.info["version"]

    def tables(self):
        """Tables with their rows and columns."""
        return self.info["tables"]

    def _table(self, table):
        names = [known["name"] for known in self.tables()]
        if table is None and len(names) == 1:
            return names[0]
        if table in names:
            return table
        raise NotFound(f"dataset {self.name} has the tables {', '.join(names)}; name one of them")

    def to_xarray(self, table=None, dims=None, where=None):
        """A table of cells as an `xarray.Dataset`.

        `dims` names the columns that become dimensions; without it they are the fewest leading columns whose
        combinations name each row once. `where` is a SQL condition.
        """
        import xarray

        condition = f" WHERE {where}" if where else ""
        rows = self._lake.sql(f"SELECT * FROM {self.name}.{self._table(table)}{condition}").arrow()
        dims = list(dims) if dims is not None else _leading_dims(rows)
        frame = rows.to_pandas().set_index(dims)
        if not frame.index.is_unique:
            raise InvalidArgument(f"{', '.join(dims)} do not name each row once; pass dims=[…]")
        found = xarray.Dataset.from_dataframe(frame)
        for field in rows.schema:
            for key, value in (field.metadata or {}).items():
                if not key.startswith((b"ARROW:", b"PARQUET:")):
                    found[field.name].attrs[key.decode()] = value.decode()
        return found

    def stream(self, table=None, **request):
        """A training stream of a table at this version."""
        request.setdefault("version", self.version)
        return self._lake.stream(f"{self.name}.{self._table(table)}", **request)


def _leading_dims(rows):
    for count in range(1, rows.num_columns + 1):
        names = rows.column_names[:count]
        if rows.select(names).group_by(names).aggregate([]).num_rows == rows.num_rows:
            return names
    raise InvalidArgument("no columns name each row once; pass dims=[…]")
