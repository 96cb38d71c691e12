"""Training streams: batches in a reproducible order, and where to go on."""

import json
import os
import struct
import time
import typing

import pyarrow.flight as flight

from .errors import Conflict, InvalidArgument, TarnError, Unavailable, translated

_LAYOUT = struct.Struct("<4sHHQIIQQII")
_RETRIES = 6


class Cursor(typing.NamedTuple):
    """Where a stream is after a batch."""

    plan: int
    epoch: int
    rows: int
    step: int
    next_position: int
    last: bool

    @classmethod
    def parse(cls, metadata):
        """Reads the cursor in `app_metadata` of a batch."""
        magic, version, flags, plan, epoch, rows, step, position, _, _ = _LAYOUT.unpack_from(metadata)
        if magic != b"TRNC" or version != 1:
            raise TarnError("the batch has no cursor that this client knows; update the client")
        return cls(plan, epoch, rows, step, position, bool(flags & 1))


class Stream:
    """The batches of one rank: iterate for `pyarrow.RecordBatch`. Cheap to make, may be pickled.

    Fields of a request, all optional: `version`, `columns`, `filter` (SQL), `batch_size` (per rank, 256), `seed` (0),
    `epoch` (0), `world_size` and `rank` (from the environment variables WORLD_SIZE and RANK, else 1 and 0), `start`
    (global position in rows), `drop_last` (False for one rank, so that every row comes; True for several, which must
    end at the same step), `shuffle` (True). `resume` takes what
    `state()` gave. Each iteration begins at `start`, or once at the position of a loaded state.
    """

    def __init__(self, lake, dataset, resume=None, **request):
        self._lake = lake
        request.setdefault("world_size", int(os.environ.get("WORLD_SIZE", 1)))
        request.setdefault("rank", int(os.environ.get("RANK", 0)))
        request = {key: value for key, value in request.items() if value is not None}
        self.request = {"tarn.stream": 1, "dataset": dataset, **request}
        self._position = None
        self._ticket = None
        self._plan = None
        self._first = None
        self._expected = None
        if resume is not None:
            self.load_state(resume)

    def __getstate__(self):
        return {**self.__dict__, "_ticket": None}

    def _open(self, start):
        request = {**self.request, "start": start}
        with translated():
            descriptor = flight.FlightDescriptor.for_command(json.dumps(request).encode())
            info = self._lake.client.get_flight_info(descriptor, self._lake.options())
        plan = json.loads(info.app_metadata)
        pinned = json.loads(info.descriptor.command)
        if self._expected not in (None, plan["plan_id"]):
            raise Conflict("the stream is no longer the one of the state: dataset, columns, filter, seed or order changed")
        # What the first call found is what every later call means.
        self.request.update(dataset=pinned["dataset"], version=pinned["version"])
        self._expected, self._plan = plan["plan_id"], plan
        self.schema = info.schema
        return info

    @property
    def start(self):
        """Global position in rows at which an iteration begins."""
        return self.request.get("start", 0)

    @property
    def plan(self):
        """What is pinned: plan id, versions, filter, selected rows, steps, order."""
        if self._plan is None:
            self._open(self.start)
        return self._plan

    @property
    def global_batch(self):
        """Rows of a step over all ranks."""
        return self.request.get("batch_size", 256) * self.request["world_size"]

    @property
    def drop_last(self):
        """Whether the last, incomplete step is left out."""
        return self.request.get("drop_last", self.request["world_size"] > 1)

    def __len__(self):
        left = max(0, self.plan["selected"] - self.start)
        if self.drop_last:
            return left // self.global_batch
        return -(-left // self.global_batch)

    def set_epoch(self, epoch):
        """The next iteration is of this epoch."""
        self.request["epoch"] = epoch
        self._position = None

    def state(self):
        """Where the stream is: after the batch that was yielded last. Rank and world size are not in it."""
        plan = self.plan
        return {
            "format": 1,
            "plan_id": plan["plan_id"],
            "epoch": self.request.get("epoch", 0),
            "position": self._position if self._position is not None else self.start,
            "seed": self.request.get("seed", 0),
            "order": plan["order"],
            "window_blocks": plan["window_blocks"],
            "global_batch": self.global_batch,
            "versions": plan["versions"],
        }

    def load_state(self, state):
        """The next iteration goes on where a state was taken. Another world size is fine, another global batch is not."""
        own = {"format": 1, "seed": self.request.get("seed", 0), "global_batch": self.global_batch}
        wrong = [key for key, value in own.items() if state.get(key) != value]
        if wrong:
            raise InvalidArgument(f"the state is of another stream: {', '.join(wrong)} differ")
        if "version" not in self.request:
            self.request["version"] = next(iter(state["versions"].values()))
        self.request["epoch"] = state["epoch"]
        self._expected = state["plan_id"]
        self._first = self._position = state["position"]

    def __iter__(self):
        position, self._first = self._first if self._first is not None else self.start, None
        self._position = position
        tries = 0
        while True:
            try:
                info = self._open(position)
                for endpoint in info.endpoints:
                    self._ticket = endpoint.ticket.ticket
                    with translated():
                        reader = self._lake.client.do_get(endpoint.ticket, self._lake.options())
                    while True:
                        with translated():
                            try:
                                chunk = reader.read_chunk()
                            except StopIteration:
                                break
                        cursor = Cursor.parse(chunk.app_metadata)
                        position = self._position = cursor.next_position
                        tries = 0
                        yield chunk.data
                return
            except Unavailable:
                tries += 1
                if tries > _RETRIES:
                    raise
                time.sleep(min(0.1 * 2**tries, 5))

    def receipt(self):
        """What was read, once an iteration has come to its end: versions, filter, rows and their hash."""
        if self._ticket is None:
            raise Conflict("there is no receipt: the stream has not been read")
        return self._lake.action("tarn.stream.receipt", self._ticket)
