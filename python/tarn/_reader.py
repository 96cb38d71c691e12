"""Reads the batches of a stream from a position on, over as many connections as it takes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.flight as flight

from ._backoff import Backoff
from ._cursor import Cursor
from ._mapped import Gone, batches, folder_of
from .errors import (
    Conflict,
    DataLoss,
    Idle,
    PermissionDenied,
    PolicyChanged,
    Retracted,
    TarnError,
    Unauthenticated,
    Unavailable,
    translated,
)

if TYPE_CHECKING:
    from ._lake import Lake
    from ._stream import Stream

log = logging.getLogger("tarn")


class _Stale(Exception):
    """The node does not take the ticket: its key was replaced since, or the plan cannot be made again."""

    def __init__(self, cause: TarnError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Reader:
    """Batches with their cursors. After a cut it goes on behind the last batch that arrived whole."""

    def __init__(self, stream: Stream, position: int, token: str | None) -> None:
        self._stream, self._lake = stream, stream.lake
        self._position, self._token = position, token
        self._flight: flight.FlightStreamReader | None = None
        self._cancelled = False
        self.ticket: bytes | None = None
        self.reconnects = self.mapped = 0

    def cancel(self) -> None:
        """Ends the reading, from any thread."""
        self._cancelled = True
        reading = self._flight
        if reading is not None:
            reading.cancel()

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch, Cursor]]:
        backoff, used, renewed, planned_again = Backoff(), None, False, False
        while not self._cancelled:
            try:
                used = self._lake.token
                for found in self._connection():
                    backoff.succeeded()
                    renewed = planned_again = False
                    yield found
                return
            except Unavailable as error:
                if self._cancelled or not backoff.wait():
                    raise
                if backoff.tries == 1:
                    log.warning("the stream was cut at position %s and goes on there: %s", self._position, error)
            except Idle:
                # The program computed for longer than the node waits.
                pass
            except Unauthenticated:
                # Only once for a batch, so that a node that takes no token at all is not asked for ever.
                if renewed or not self._lake.renew(used):
                    raise
                renewed = True
            except _Stale as stale:
                if planned_again:
                    raise stale.cause from None
                planned_again = True
            self.reconnects += 1

    def ended(self) -> bytes | None:
        """The ticket of an end that was reached, read to its end; none where the stream was left before."""
        if self._token is None:
            return None
        info, plan = self._stream.open(self._position, self._token)
        if plan["steps"] or not info.endpoints:
            return None
        self._cancelled = False
        for _ in _chunks(self._lake, info.endpoints[0], self):
            pass
        ticket: bytes = info.endpoints[0].ticket.ticket
        return ticket

    def _connection(self) -> Iterator[tuple[pa.RecordBatch, Cursor]]:
        info, plan = self._stream.open(self._position, self._token)
        if plan["steps"] == 0:
            return
        begun, last = self._position, False
        for endpoint in info.endpoints:
            for found in self._mapped(endpoint, plan):
                last = found[1].last
                yield found
            if last:
                return
            if self._position != begun:
                # What is left of it was planned from another position on.
                raise Unavailable("a file of the node is gone; the rest is asked for again")
            self.ticket = endpoint.ticket.ticket
            for chunk in _chunks(self._lake, endpoint, self):
                cursor = Cursor.parse(chunk.app_metadata)
                if cursor.heartbeat:
                    continue
                self._check(cursor, plan)
                self._position, last, self._token = cursor.next_position, cursor.last, cursor.token
                yield chunk.data, cursor
        if not last:
            raise Unavailable("the stream ended before its last batch")

    def _mapped(
        self, endpoint: flight.FlightEndpoint, plan: dict[str, Any]
    ) -> Iterator[tuple[pa.RecordBatch, Cursor]]:
        """Batches from the node's own files, as far as these go; none where they are not offered."""
        folder = folder_of(endpoint) if self._stream.mapped else None
        if folder is None:
            return
        # Of what is not sent the node writes no receipt.
        self.ticket = None
        found = batches(self._stream, plan, folder, self._position, lambda: self._ask())
        try:
            for batch, cursor in found:
                if self._cancelled:
                    return
                self._check(cursor, plan)
                # The node has sealed nothing of what it did not send.
                self._position, self._token = cursor.next_position, None
                self.mapped += 1
                yield batch, cursor
        except Gone as error:
            log.info("the stream goes on over the connection: %s", error)

    def _ask(self) -> None:
        self._stream.open(self._position)

    def _check(self, cursor: Cursor, plan: dict[str, Any]) -> None:
        expected = min(self._position + self._stream.global_batch, plan["selected"])
        if cursor.next_position != expected:
            raise DataLoss(
                f"the batch after position {self._position} leads to {cursor.next_position} and not to {expected}: "
                "rows are missing or come twice; tell whoever runs the node"
            )

    def attach(self, reading: flight.FlightStreamReader) -> None:
        """Remembers what `cancel` has to end."""
        self._flight = reading
        if self._cancelled:
            reading.cancel()


def _chunks(lake: Lake, endpoint: flight.FlightEndpoint, owner: Reader) -> Iterator[flight.FlightStreamChunk]:
    first = True
    try:
        with translated():
            reading = lake.client.do_get(endpoint.ticket, lake.options())
            owner.attach(reading)
        while True:
            with translated():
                try:
                    chunk = reading.read_chunk()
                except StopIteration:
                    return
            first = False
            yield chunk
    except (PolicyChanged, Retracted, Idle):
        raise
    except (Conflict, PermissionDenied) as error:
        if first:
            raise _Stale(error) from error
        raise


def descriptor(request: dict[str, Any]) -> flight.FlightDescriptor:
    """The descriptor of a stream."""
    return flight.FlightDescriptor.for_command(json.dumps(request).encode())
