"""Mixtures of streams by weights: of one lake as one stream, of several lakes woven here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ._cursor import Cursor
from ._lake import Lake
from ._pattern import Pattern
from ._stats import Stats
from ._stream import Stream
from ._weave import alike, padded, woven
from .errors import DataLoss, InvalidArgument, ResumeMismatch

# What is of the mixture and not of its parts, and what a part has that was not told it.
_COMMON: dict[str, Any] = {
    "batch_size": None,
    "global_batch": None,
    "seed": 0,
    "epoch": 0,
    "rank": None,
    "world_size": None,
    "start": 0,
    "drop_last": None,
    "tail": None,
    "nulls": None,
    "shuffle": True,
    "prefetch": 4,
}
# What each part has of its own.
_OWN = ("dataset", "version", "columns", "filter", "split")


def mix(
    parts: Sequence[tuple[Stream, float]],
    *,
    repeat: Sequence[Stream] = (),
    stratified: bool = False,
    resume: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Stream | Mix:
    """A stream of several tables by weights: `tarn.mix([(a, 0.7), (b, 0.3)], batch_size=256, seed=7)`.

    The parts are streams of `lake.stream(…)` with a dataset, version, columns, filter and split of their own; they are not
    read themselves. `batch_size` or `global_batch`, `seed`, `epoch`, `rank`, `world_size`, `start`, `drop_last`, `tail`,
    `nulls`, `shuffle` and `prefetch` are those of `tarn.Stream`, of the whole: give them here, or alike to the parts.

    Which source a position is of depends on weights, seed and epoch alone: of 65,536 positions each source has its share
    exactly, drawn in an order of their own, or with `stratified` (and without `shuffle`) spread as evenly as whole rows
    can be, so that every batch has about its share. Rows of each source come in the order of a shuffled stream. The
    epoch ends where a source has no rows left; those in `repeat` begin again, in another order, and one at least must
    not. All parts have the same columns.

    Parts of one lake are one `Stream` of its node. Parts of several lakes are a `Mix`, which has the same methods: each
    lab sends the rows of its own tables under its own policy, and they are woven here. Raises `InvalidArgument`
    where parts do not fit together.
    """
    parts = [(stream, float(weight)) for stream, weight in parts]
    if not parts:
        raise InvalidArgument("a mixture needs parts: tarn.mix([(stream, weight), …])")
    _check(parts)
    for stream in repeat:
        if not any(stream is part for part, _ in parts):
            raise InvalidArgument("repeat names a stream that is no part of the mixture")
    unknown = set(fields) - set(_COMMON)
    if unknown:
        raise InvalidArgument(f"mix has no {', '.join(sorted(unknown))}: give it to the parts, or leave it out")
    common = {name: _agreed(name, default, parts, fields) for name, default in _COMMON.items()}
    repeats = [any(stream is part for part in repeat) for stream, _ in parts]
    weights = [weight for _, weight in parts]
    lakes = [stream.lake for stream, _ in parts]
    mixed: Stream | Mix
    if all(_same(lakes[0], lake) for lake in lakes):
        sources = [
            {**_own(stream), "weight": weight, **({"repeat": True} if again else {})}
            for (stream, weight), again in zip(parts, repeats)
        ]
        if resume is not None and common["batch_size"] is None and common["global_batch"] is None:
            common["global_batch"] = resume.get("global_batch")
        mixed = Stream(lakes[0], None, sources=sources, stratified=stratified or None, **common)
    else:
        mixed = Mix(parts, repeats, stratified, common, resume)
    if resume is not None:
        mixed.load_state(resume)
    return mixed


def _said(stream: Stream, name: str) -> Any:
    if name in ("rank", "world_size"):
        return stream._place[name == "world_size"]
    if name in ("batch_size", "global_batch"):
        return stream._batch_size if name == "batch_size" else stream._global_batch
    return stream.prefetch if name == "prefetch" else stream._fields[name]


def _agreed(name: str, default: Any, parts: Sequence[tuple[Stream, float]], given: Mapping[str, Any]) -> Any:
    """What mix was given, or what the parts were; what nobody said is the default."""
    said = [_said(stream, name) for stream, _ in parts]
    values = [value for value in [given.get(name, default), *said] if value != default]
    for value in values:
        if value != values[0]:
            raise InvalidArgument(
                f"the mixture has one {name}, and {values[0]!r} and {value!r} were given: give it to tarn.mix alone"
            )
    return values[0] if values else default


def _check(parts: Sequence[tuple[Stream, float]]) -> None:
    for place, (stream, weight) in enumerate(parts):
        if not isinstance(stream, Stream) or "sources" in stream._fields or "share" in stream._fields:
            raise InvalidArgument(f"part {place} is no stream of one table: make it with lake.stream(…)")
        if not 0 < weight < float("inf"):
            raise InvalidArgument(f"the weight of part {place} is {weight}; weights are numbers above 0")
        if stream.mapped:
            raise InvalidArgument(f"part {place} is mapped, and mixtures are sent: leave mapped out")
        if stream._first is not None:
            raise InvalidArgument(f"part {place} has a state to go on from, which is not the mixture's: resume that")
        others = set(stream._fields) - set(_OWN) - set(_COMMON) - {"heartbeat_seconds"}
        if others:
            raise InvalidArgument(f"part {place} has {', '.join(sorted(others))}, which a mixture does not know")


def _own(stream: Stream) -> dict[str, Any]:
    return {name: stream._fields[name] for name in _OWN if stream._fields[name] is not None}


def _same(one: Lake, other: Lake) -> bool:
    return one is other or (one.url, one.token, one._renewal) == (other.url, other.token, other._renewal)


class Mix:
    """A mixture over several lakes, with the methods of `tarn.Stream`. `tarn.mix` makes it.

    Each lab is asked for the positions that its table has, for this rank alone; the order, the batches, states and errors are
    those of the same mixture at one node. An epoch ends where the first of the labs has no rows left. A lab that is
    away is waited for as by `tarn.Stream`, and the others wait with it; one that refuses ends the whole.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Stream, float]],
        repeats: Sequence[bool],
        stratified: bool,
        common: Mapping[str, Any],
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        common = dict(common)
        if resume is not None and common["batch_size"] is None and common["global_batch"] is None:
            common["global_batch"] = resume.get("global_batch")
        if all(repeats):
            raise InvalidArgument("every part repeats, so the epoch would never end; leave one out of repeat")
        self._weights = [weight for _, weight in parts]
        self._tail, self._drop_last = common.pop("tail"), common.pop("drop_last")
        if self._tail not in (None, "drop", "keep", "pad"):
            raise InvalidArgument(f"tail is {self._tail!r}; use 'drop', 'keep' or 'pad'")
        if None not in (self._tail, self._drop_last) and self._drop_last != (self._tail == "drop"):
            raise InvalidArgument("tail and drop_last say different things; give tail alone")
        self._stratified = stratified or not common["shuffle"]
        self._shares = []
        for index, (stream, _) in enumerate(parts):
            share = {"weights": self._weights, "index": index, "repeat": list(repeats)}
            said = {**_own(stream), **common, "stratified": stratified or None}
            self._shares.append(Stream(stream.lake, share=share, **said))
        self._epoch_plan: dict[str, Any] | None = None
        self._schema: pa.Schema | None = None

    @property
    def rank(self) -> int:
        """The rank that the batches are for."""
        return self._shares[0].rank

    @property
    def world_size(self) -> int:
        """How many ranks share each global batch."""
        return self._shares[0].world_size

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self._shares[0].batch_size

    @property
    def global_batch(self) -> int:
        """Rows of a step over all ranks."""
        return self._shares[0].global_batch

    @property
    def prefetch(self) -> int:
        """Batches that are read ahead of each lab."""
        return self._shares[0].prefetch

    @property
    def drop_last(self) -> bool:
        """Whether the last, incomplete step is left out."""
        if self._tail is not None:
            return bool(self._tail == "drop")
        return self.world_size > 1 if self._drop_last is None else bool(self._drop_last)

    @property
    def start(self) -> int:
        """Global position in rows at which an iteration begins."""
        return self._shares[0].start

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration."""
        return self._shares[0].epoch

    @property
    def position(self) -> int:
        """Global position in rows: after the batch that was yielded last, or where the next iteration begins."""
        return min(share.position for share in self._shares)

    @property
    def next_start(self) -> int:
        """Global position in rows at which the next iteration begins."""
        return self._shares[0].next_start

    @property
    def request(self) -> dict[str, Any]:
        """What is asked for: the descriptors of the labs as they go to them, in `shares`, and the tail."""
        tail = {} if self._tail is None else {"tail": self._tail}
        return {**tail, "shares": [share.request for share in self._shares]}

    @property
    def plan(self) -> dict[str, Any]:
        """What is pinned: plan id, versions, selected rows of this epoch, order."""
        if self._epoch_plan is None:
            for share in self._shares:
                _until(share, None)
                share._plan = None
            plans = [share.plan for share in self._shares]
            ids = "\n".join([plan["plan_id"] for plan in plans])
            selected = min(int(plan["selected"]) for plan in plans)
            for share in self._shares:
                _until(share, selected)
            left = max(0, selected - self.next_start)
            self._epoch_plan = {
                "plan_id": hashlib.sha256(ids.encode()).hexdigest(),
                "dataset": ", ".join(plan["dataset"] for plan in plans),
                "versions": {name: version for plan in plans for name, version in plan["versions"].items()},
                "filter": None,
                "selected": selected,
                "steps": left // self.global_batch if self.drop_last else -(-left // self.global_batch),
                "order": plans[0]["order"],
                "window_blocks": max(plan["window_blocks"] for plan in plans),
            }
            self._schema = alike([share.schema for share in self._shares], [plan["dataset"] for plan in plans])
        return self._epoch_plan

    @property
    def schema(self) -> pa.Schema:
        """Schema of every batch; tensors are `arrow.fixed_shape_tensor`."""
        self.plan
        assert self._schema is not None
        return self._schema.append(padded) if self._tail == "pad" else self._schema

    def __len__(self) -> int:
        """Steps of an epoch from `start` on."""
        left = max(0, int(self.plan["selected"]) - self.start)
        return left // self.global_batch if self.drop_last else -(-left // self.global_batch)

    def part(self, **fields: Any) -> Mix:
        """The same mixture with other `start`, `rank`, `world_size`, `drop_last`, `tail` or `prefetch`."""
        part = Mix.__new__(Mix)
        part.__dict__.update(self.__dict__)
        part._tail, part._drop_last = fields.pop("tail", self._tail), fields.pop("drop_last", self._drop_last)
        part._shares = [share.part(**fields) for share in self._shares]
        return part

    def set_epoch(self, epoch: int) -> None:
        """As `tarn.Stream.set_epoch`."""
        for share in self._shares:
            share.set_epoch(epoch)
        self._epoch_plan = None

    def state(self, position: int | None = None, *, sealed: bool = False) -> dict[str, Any]:
        """As `tarn.Stream.state`: small, JSON, and the same on every rank."""
        plan, share = self.plan, self._shares[0]
        position = self.position if position is None else position
        return {
            "format": 1,
            "plan_id": plan["plan_id"],
            "epoch": self.epoch,
            "position": position,
            "seed": share.request["seed"],
            "global_batch": self.global_batch,
            "versions": plan["versions"],
            "parts": [share.state(position, sealed=sealed) for share in self._shares],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """As `tarn.Stream.load_state`."""
        states = state.get("parts") or []
        if len(states) != len(self._shares):
            raise ResumeMismatch(
                f"the state is of a mixture of {len(states) or 1} parts at labs of their own, and this one has "
                f"{len(self._shares)}: make it as it was",
                ["parts"],
            )
        for share, own in zip(self._shares, states):
            share.load_state(own)
        self._epoch_plan = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch, _ in self.batches():
            yield batch

    def batches(self) -> Iterator[tuple[pa.RecordBatch, Cursor]]:
        """Batches with their cursors."""
        begin, everyone, size = self.next_start, self.global_batch, self.batch_size
        plan, schema = self.plan, self._schema
        assert schema is not None
        selected = int(plan["selected"])
        left = max(0, selected - begin)
        steps = left // everyone if self.drop_last else -(-left // everyone)
        if self._tail != "pad" and not self.drop_last and self.world_size > 1:
            raise InvalidArgument(
                "drop_last: false (tail: keep) needs world_size 1, because ranks would end at different steps; "
                "tail='pad' fills the last step"
            )
        for share in self._shares:
            # A lab sends no row that is not in a batch.
            _until(share, min(selected, begin + steps * everyone))
        request = self._shares[0].request
        pattern = Pattern(self._weights, request["seed"], self.epoch, self._stratified)
        short = int.from_bytes(bytes.fromhex(plan["plan_id"])[:8], "little")
        readers = [share.batches() for share in self._shares]
        try:
            for step in range(steps):
                found = [next(reader, None) for reader in readers]
                first = begin + step * everyone + self.rank * size
                after = min(begin + (step + 1) * everyone, selected)
                sources = pattern.sources(first, max(first, min(first + size, selected)))
                parts = [self._of(found, place, int(np.count_nonzero(sources == place))) for place in range(len(found))]
                batch, counted = woven(parts, sources, schema), len(sources)
                if self._tail == "pad":
                    last = self._last(pattern, selected, schema) if counted < size else None
                    batch = _filled(batch, last, size)
                yield batch, Cursor(short, self.epoch, counted, step, after, step + 1 == steps, False, counted < size)
            for reader in readers:
                # To their end, so that every lab knows that all of it was read.
                next(reader, None)
        finally:
            for reader in readers:
                reader.close()  # type: ignore[attr-defined]

    def _of(self, found: Sequence[tuple[pa.RecordBatch, Cursor] | None], place: int, rows: int) -> pa.RecordBatch:
        """The rows of a source in a step."""
        own = found[place]
        if own is None or own[0].num_rows != rows:
            dataset = self._shares[place].request["dataset"]
            raise DataLoss(
                f"{dataset} sent {None if own is None else own[0].num_rows} rows for the step before position "
                f"{self.position}, and the mixture has {rows} of it; tell whoever runs the node"
            )
        return own[0]

    def _last(self, pattern: Pattern, selected: int, schema: pa.Schema) -> pa.RecordBatch:
        """The last row of the epoch, of whichever rank it is."""
        [source] = pattern.sources(selected - 1, selected).tolist()
        last = self._shares[source].part(start=selected - 1, rank=0, world_size=1, prefetch=0)
        last._batch_size = 1
        _until(last, selected)
        for batch in last:
            return woven([batch], np.zeros(1, np.int64), schema)
        raise DataLoss("the last row of the epoch does not come again")

    def stats(self) -> Stats:
        """Of the iteration that was begun last: what all labs sent, and for how long the program waited for each."""
        each = [share.stats() for share in self._shares]
        return Stats(
            batches=max(own.batches for own in each),
            rows=sum(own.rows for own in each),
            bytes=sum(own.bytes for own in each),
            reconnects=sum(own.reconnects for own in each),
            waited=sum(own.waited for own in each),
            began=min(own.began for own in each),
        )

    def receipt(self) -> list[dict[str, Any]]:
        """What this rank was sent, a receipt of each part, signed by its lab."""
        return [share.receipt() for share in self._shares]


def _until(share: Stream, end: int | None) -> None:
    own = {key: value for key, value in share._fields["share"].items() if key != "end"}
    share._fields["share"] = own if end is None else {**own, "end": end}


def _filled(batch: pa.RecordBatch, last: pa.RecordBatch | None, size: int) -> pa.RecordBatch:
    counted = batch.num_rows
    if last is not None:
        rows = np.concatenate([np.zeros(counted, np.int64), np.ones(size - counted, np.int64)])
        batch = woven([batch, last.take(pa.array(np.zeros(size - counted, np.int64)))], rows, batch.schema)
    valid = pa.array(np.arange(size) < counted)
    return pa.RecordBatch.from_arrays([*batch.columns, valid], schema=batch.schema.append(padded))
