"""Training streams: batches in a reproducible order, and where to go on."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.flight as flight

from ._cursor import Cursor
from ._mapped import machine
from ._prefetch import Prefetch
from ._ranks import own_rank
from ._reader import Reader, descriptor
from ._stats import Stats
from .errors import Conflict, InvalidArgument, PlanChanged, ResumeMismatch

if TYPE_CHECKING:
    from ._lake import Lake

# How often a node with nothing to send says that it is there.
_HEARTBEAT_SECONDS = 10
_COMPARED = ("plan_id", "dataset", "versions", "filter", "order", "window_blocks", "selected")


class Stream:
    """The batches of one rank: iterate for `pyarrow.RecordBatch`. Cheap to make, may be pickled.

    `dataset` is a table, `lab.dataset.table`, at `version` (the newest). Rows are those of `filter` (SQL) with
    `columns`, in an order that `seed`, `epoch` and the global batch decide, or in that of the table without
    `shuffle`. Rank and world size are those of torch.distributed, else of RANK and WORLD_SIZE, else 0 and 1.
    A batch has `batch_size` rows (256); `global_batch`, the rows of a step over all ranks, may be given instead.
    `drop_last` leaves out rows that do not fill a step: False for one rank, so that every row comes, True for
    several, which must end at the same step. `start` is a global position in rows; `resume` takes what `state()`
    gave, and the global batch with it where none is given. `prefetch` batches are read ahead by a thread; 0 does
    without. With `mapped`, on the machine and under the account of the node, batches come from the node's own files
    where it has prepared them (it does in the first epoch), and are sent where not; what was not sent has no receipt.

    `tail` says more than `drop_last`: "drop", "keep", or "pad", which fills the last step and adds the column `_valid`.
    `nulls` says what becomes of NULL: "error" raises `BadSample`, "nan" puts NaN in its place, "mask" zero with a
    column `NAME__valid`; without, it comes as Arrow has it. `split` takes a part of the rows that is drawn once:
    "train" (four fifths), "validation", "test" (a tenth each), or fractions like (0, 0.5).

    Each iteration begins at `start`, or once at the position of a loaded state. After a cut or a restart of the node
    it goes on behind the last batch, for a minute with growing pauses; nothing is lost and nothing comes twice.
    Iterating raises `Unavailable` after that, `Unauthenticated` where no token is taken any more,
    `PermissionDenied` or `NotFound` where policy refuses or the dataset was withdrawn, also in mid-stream,
    `PolicyChanged` and `Retracted` are the kinds of `PermissionDenied` of a stream that had begun;
    `PlanChanged` where the stream is no longer the one that was begun, `DataLoss` where files are gone or damaged,
    `InvalidArgument` for a field, column or filter that does not fit.
    """

    def __init__(
        self,
        lake: Lake,
        dataset: str | None,
        *,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        filter: str | None = None,
        batch_size: int | None = None,
        global_batch: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        world_size: int | None = None,
        rank: int | None = None,
        start: int = 0,
        drop_last: bool | None = None,
        shuffle: bool = True,
        prefetch: int = 4,
        resume: Mapping[str, Any] | None = None,
        mapped: bool = False,
        tail: str | None = None,
        nulls: str | None = None,
        split: str | Sequence[float] | None = None,
        **others: Any,
    ) -> None:
        if batch_size is not None and global_batch is not None:
            raise InvalidArgument("give batch_size (rows of a rank) or global_batch (rows of all ranks), not both")
        if prefetch < 0:
            raise InvalidArgument(f"prefetch is {prefetch}; it is a number of batches, 0 for none")
        if resume is not None and batch_size is None and global_batch is None:
            global_batch = resume.get("global_batch")
        self.lake, self.prefetch, self.mapped = lake, prefetch, mapped
        self._fields: dict[str, Any] = {
            "dataset": dataset,
            "version": version,
            "columns": None if columns is None else list(columns),
            "filter": filter,
            "seed": seed,
            "epoch": epoch,
            "start": start,
            "drop_last": drop_last,
            "shuffle": shuffle,
            "tail": tail,
            "nulls": nulls,
            "split": split if split is None or isinstance(split, str) else list(split),
            "heartbeat_seconds": _HEARTBEAT_SECONDS,
            **others,
        }
        self._batch_size, self._global_batch = batch_size, global_batch
        self._place: tuple[int | None, int | None] = (rank, world_size)
        self._resolved = False
        self._position: int | None = None
        self._first: int | None = None
        # The position that a node sealed last, and how it did.
        self._token: tuple[int, str] | None = None
        self._plan: dict[str, Any] | None = None
        self._schema: pa.Schema | None = None
        self._expected: dict[str, Any] = {}
        self._reader: Reader | None = None
        self._stats = Stats()
        if resume is not None:
            self.load_state(resume)

    def __getstate__(self) -> dict[str, Any]:
        # Another process may not know the rank that this one has.
        self._resolve()
        return {**self.__dict__, "_reader": None}

    def _resolve(self) -> tuple[int, int]:
        """Rank and world size, looked up when they are first needed: after the job has set itself up."""
        rank, world_size = self._place
        if not self._resolved:
            own = own_rank() if rank is None or world_size is None else (0, 1)
            rank = own[0] if rank is None else rank
            world_size = own[1] if world_size is None else world_size
            self._place, self._resolved = (rank, world_size), True
        assert rank is not None and world_size is not None
        return rank, world_size

    @property
    def rank(self) -> int:
        """The rank that the batches are for."""
        return self._resolve()[0]

    @property
    def world_size(self) -> int:
        """How many ranks share each global batch."""
        return self._resolve()[1]

    @property
    def batch_size(self) -> int:
        """Rows of a batch. Raises `InvalidArgument` where the world size does not divide the global batch."""
        if self._global_batch is None:
            return 256 if self._batch_size is None else self._batch_size
        if self._global_batch % self.world_size:
            raise InvalidArgument(
                f"the global batch of {self._global_batch} rows cannot be shared by {self.world_size} ranks alike; "
                "use a world size that divides it"
            )
        return self._global_batch // self.world_size

    @property
    def global_batch(self) -> int:
        """Rows of a step over all ranks."""
        return self.batch_size * self.world_size

    @property
    def drop_last(self) -> bool:
        """Whether the last, incomplete step is left out."""
        if self._fields["tail"] is not None:
            return bool(self._fields["tail"] == "drop")
        chosen = self._fields["drop_last"]
        return self.world_size > 1 if chosen is None else bool(chosen)

    @property
    def start(self) -> int:
        """Global position in rows at which an iteration begins."""
        return int(self._fields["start"])

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration."""
        return int(self._fields["epoch"])

    @property
    def position(self) -> int:
        """Global position in rows: after the batch that was yielded last, or where the next iteration begins."""
        return self.start if self._position is None else self._position

    @property
    def next_start(self) -> int:
        """Global position in rows at which the next iteration begins."""
        return self.start if self._first is None else self._first

    @property
    def request(self) -> dict[str, Any]:
        """The descriptor, as it goes to the node."""
        given = {key: value for key, value in self._fields.items() if value is not None}
        place = {"batch_size": self.batch_size, "world_size": self.world_size, "rank": self.rank}
        return {"tarn.stream": 1, **given, **place}

    def part(self, **fields: Any) -> Stream:
        """The same stream with other `start`, `rank`, `world_size`, `drop_last` or `prefetch`, at its beginning."""
        part = copy.copy(self)
        part.prefetch = fields.pop("prefetch", self.prefetch)
        batch_size = self.batch_size
        part._place = (fields.pop("rank", self.rank), fields.pop("world_size", self.world_size))
        part._batch_size, part._global_batch = batch_size, None
        part._fields = {**self._fields, **fields}
        part._position = part._first = part._reader = part._token = None
        part._stats = Stats()
        return part

    def open(self, start: int, token: str | None = None) -> tuple[flight.FlightInfo, dict[str, Any]]:
        """Asks the node for the stream from a position on. Raises `PlanChanged` where it is another one than before."""
        begin = {**self.request, "start": start}
        if token is None:
            info = self._info(begin)
        else:
            sealed = {key: value for key, value in begin.items() if key != "start"}
            try:
                info = self._info({**sealed, "resume": token})
            except InvalidArgument:
                # The key was replaced, or another person goes on: the receipt begins here then. If it is another
                # stream, what differs is told below.
                info = self._info(begin)
        plan: dict[str, Any] = json.loads(info.app_metadata)
        if self._expected.get("plan_id", plan["plan_id"]) != plan["plan_id"]:
            raise _changed(self._expected, plan)
        # What the first call found is what every later call means.
        pinned = json.loads(info.descriptor.command)
        self._fields.update({key: pinned[key] for key in ("dataset", "version", "sources") if key in pinned})
        self._expected = {key: plan.get(key) for key in _COMPARED}
        self._plan, self._schema = plan, info.schema
        return info, plan

    def _info(self, request: Mapping[str, Any]) -> flight.FlightInfo:
        command = descriptor(dict(request))
        here = machine() if self.mapped else {}
        return self.lake.call(lambda: self.lake.client.get_flight_info(command, self.lake.options(**here)))

    @property
    def _is_mixed(self) -> bool:
        return "sources" in self._fields or "share" in self._fields

    @property
    def plan(self) -> dict[str, Any]:
        """What is pinned: plan id, versions, filter, selected rows, steps, order."""
        if self._plan is None:
            self.open(self.start)
        assert self._plan is not None
        return self._plan

    @property
    def schema(self) -> pa.Schema:
        """Schema of every batch; tensors are `arrow.fixed_shape_tensor`."""
        self.plan
        return self._schema

    def __len__(self) -> int:
        """Steps of an epoch from `start` on."""
        left = max(0, int(self.plan["selected"]) - self.start)
        return left // self.global_batch if self.drop_last else -(-left // self.global_batch)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is of this epoch, from its beginning; where a state of this epoch was loaded that no
        iteration has begun at, from there."""
        if self._first is not None and epoch == self.epoch:
            return
        self._fields["epoch"] = epoch
        self._position = self._first = self._token = None
        if self._is_mixed:
            # Which source has its last row first is another one in every epoch.
            self._plan = None

    def state(self, position: int | None = None, *, sealed: bool = False) -> dict[str, Any]:
        """Where the stream is: after the batch that was yielded last, or at a position. Rank, world size and workers
        are not in it, so that it is the same on every rank; it is small, and JSON. With `sealed` it also holds, in `token`,
        the node's word of what this rank was sent, so that the receipt of a run that goes on from it has that too."""
        plan = self.plan
        position = self.position if position is None else position
        token = {"token": self._token[1]} if sealed and self._token and self._token[0] == position else {}
        # The versions of a mixture by source: a dataset may be several of them.
        sources = self._fields.get("sources")
        mixed = {} if sources is None else {"source_versions": [source.get("version") for source in sources]}
        return {
            **token,
            **mixed,
            "format": 1,
            "plan_id": plan["plan_id"],
            "epoch": self.epoch,
            "position": position,
            "seed": self._fields["seed"],
            "order": plan["order"],
            "window_blocks": plan["window_blocks"],
            "global_batch": self.global_batch,
            "versions": plan["versions"],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The next iteration goes on where a state was taken. Another world size is fine, another global batch is not.

        Raises `ResumeMismatch` for the state of another stream. Whether columns, filter and data are still the same
        is known when the node was asked: then `PlanChanged` is raised.
        """
        own = {"format": 1, "seed": self._fields["seed"], "global_batch": self.global_batch}
        wrong = {key: (state.get(key), value) for key, value in own.items() if state.get(key) != value}
        if wrong:
            told = ", ".join(f"{key} is {ours!r} and was {theirs!r}" for key, (theirs, ours) in wrong.items())
            raise ResumeMismatch(f"the state is of another stream ({told}): make it as it was", list(wrong))
        if "sources" in self._fields:
            versions = state.get("source_versions", [])
            if len(versions) != len(self._fields["sources"]):
                raise ResumeMismatch(
                    f"the state is of a stream of {len(versions) or 1} sources, and this one has "
                    f"{len(self._fields['sources'])}: make it as it was",
                    ["sources"],
                )
            self._fields["sources"] = [
                {**source, "version": source.get("version") or version}
                for source, version in zip(self._fields["sources"], versions)
            ]
        elif self._fields["version"] is None:
            self._fields["version"] = next(iter(state["versions"].values()))
        self._fields["epoch"] = state["epoch"]
        self._expected = {key: state[key] for key in _COMPARED if key in state}
        self._plan = None
        self._first = self._position = state["position"]
        self._token = (state["position"], state["token"]) if state.get("token") else None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch, _ in self.batches():
            yield batch

    def batches(self) -> Iterator[tuple[pa.RecordBatch, Cursor]]:
        """Batches with their cursors."""
        position, self._first = self.next_start, None
        self._position = position
        sealed = None if self._token is None or self._token[0] != position else self._token[1]
        reader = self._reader = Reader(self, position, sealed)
        stats = self._stats = Stats()
        items = iter(reader)
        if self.prefetch:
            items = iter(Prefetch(items, self.prefetch, reader.cancel))
        try:
            while True:
                asked = time.monotonic()
                found = next(items, None)
                stats.waited += time.monotonic() - asked
                stats.reconnects = reader.reconnects
                if found is None:
                    return
                batch, cursor = found
                stats.batches, stats.rows = stats.batches + 1, stats.rows + batch.num_rows
                stats.bytes += batch.nbytes
                self._position = cursor.next_position
                self._token = None if cursor.token is None else (cursor.next_position, cursor.token)
                yield batch, cursor
        finally:
            reader.cancel()
            items.close()  # type: ignore[attr-defined]

    def stats(self) -> Stats:
        """Batches, rows, bytes, reconnections and seconds waited of the iteration that was begun last."""
        return self._stats

    def receipt(self) -> dict[str, Any]:
        """What this rank was sent, signed by the lab: versions, filter, policies, rows and the hash of their order.

        It is kept by the node, over restarts, and goes over all connections of an iteration, and over those before
        where it went on from a state. It is there once an iteration has come to its end, or was left. Raises
        `Conflict` where nothing was read.
        """
        reader = self._reader
        if reader is None or reader.ticket is None:
            raise Conflict("there is no receipt: read the stream first, in this process")
        for pause in (0.05, 0.2, 1.0, None):
            try:
                return self._receipt_of(reader.ticket)
            except Conflict:
                # A node needs a moment to notice that an iteration was left.
                if pause is not None:
                    time.sleep(pause)
        # The node could not keep it as the stream ended. Who comes with the state of an end gets it then.
        ticket = reader.ended()
        if ticket is None:
            raise Conflict("there is no receipt: nothing of the stream was read, or the node could not keep it")
        return self._receipt_of(ticket)

    def _receipt_of(self, ticket: bytes) -> dict[str, Any]:
        receipt: dict[str, Any] = self.lake.action("tarn.stream.receipt", ticket)
        return receipt


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> PlanChanged:
    changes = {key: (before[key], now.get(key)) for key in before if before[key] != now.get(key)}
    told = "; ".join(f"{key} was {old!r} and is {new!r}" for key, (old, new) in changes.items() if key != "plan_id")
    return PlanChanged(
        "the stream is no longer the one that was begun: "
        f"{told or 'columns, filter, seed or the files of the table differ'}. Make it as it was, or begin a new one",
        changes,
    )
