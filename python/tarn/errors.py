"""What can go wrong, with the stable code of the node."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.flight as flight


class TarnError(Exception):
    """A refusal or failure of a node. `code` is stable; the text says what to do."""

    code = "internal"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InvalidArgument(TarnError):
    """The SQL, a name in it or an argument is wrong."""

    code = "invalid_argument"


class ResumeMismatch(InvalidArgument):
    """A state is of another stream. `fields` are those that differ."""

    code = "resume_mismatch"

    def __init__(self, message: str, fields: list[str]) -> None:
        super().__init__(message, self.code)
        self.fields = fields

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.fields)


class NotFound(TarnError):
    """A name does not exist, or may not be known to exist."""

    code = "not_found"


class Unauthenticated(TarnError):
    """The token is missing, unknown, expired or revoked."""

    code = "unauthenticated"


class PermissionDenied(TarnError):
    """Policy refuses."""

    code = "permission_denied"


class PolicyChanged(PermissionDenied):
    """Policy allowed a stream when it began and no longer does; the text has the reason."""

    code = "policy_changed"


class Retracted(PermissionDenied):
    """The dataset of a running stream was withdrawn; the text has the reason."""

    code = "retracted"


class InvalidData(TarnError):
    """Data that cannot be used as asked: a NULL where a tensor has none, a value that cannot be decoded."""

    code = "invalid_data"


class BadSample(InvalidData):
    """A sample of a stream cannot be given as it was asked for, such as NULL under `nulls="error"`."""

    code = "bad_sample"


class Conflict(TarnError):
    """Something changed or expired meanwhile."""

    code = "conflict"


class PlanExpired(Conflict):
    """The ticket of a stream is too old, or its plan cannot be made again. Ask for the stream anew."""

    code = "plan_expired"


class Idle(Conflict):
    """A stream was not read for a quarter of an hour, and the node left it. It can be gone on with."""

    code = "idle"


class PlanChanged(Conflict):
    """The stream is no longer the one that was begun. `changes` has what was and what is, by field."""

    def __init__(self, message: str, changes: dict[str, tuple[object, object]]) -> None:
        super().__init__(message)
        self.changes = changes

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.changes)


class ResourceExhausted(TarnError):
    """A limit was reached."""

    code = "resource_exhausted"


class Unavailable(TarnError):
    """A node or a lab does not answer."""

    code = "unavailable"


class Partial(TarnError):
    """Some labs did not answer, and `partial="error"` was asked for."""

    code = "partial"


class DeadlineExceeded(TarnError):
    """It took longer than is allowed."""

    code = "deadline_exceeded"


class Cancelled(TarnError):
    """Somebody ended the call."""

    code = "cancelled"


class DataLoss(TarnError):
    """Data are gone or damaged: a file is missing, or is not the one that was registered."""

    code = "data_loss"


def _coded(base: type[TarnError]) -> Iterator[tuple[str, type[TarnError]]]:
    for kind in base.__subclasses__():
        if "code" in vars(kind):
            yield kind.code, kind
        yield from _coded(kind)


_CLASSES = dict(_coded(TarnError))
_DIFFERS = re.compile(r"differs in ([a-z_, ]+):")
_CODES = "|".join([*_CLASSES, "internal"])
_OURS = re.compile(rf"^(?:Flight returned .*? error, with message: )?(.*?) \[({_CODES})\]", re.DOTALL)
_BY_TYPE = (
    (flight.FlightUnauthenticatedError, "unauthenticated"),
    (flight.FlightUnauthorizedError, "permission_denied"),
    (flight.FlightUnavailableError, "unavailable"),
    (flight.FlightTimedOutError, "deadline_exceeded"),
    (flight.FlightCancelledError, "cancelled"),
    (KeyError, "not_found"),
    (pa.ArrowInvalid, "invalid_argument"),
)
# How gRPC words the end of a connection where its status is not "unavailable".
_CUT = re.compile(
    r"RST_STREAM|GOAWAY|socket closed|connection reset|broken pipe|stream removed|transport closed|keepalive|"
    r"ended without|Connection closed|h2 protocol error|incomplete",
    re.IGNORECASE,
)


def translate(error: Exception) -> TarnError:
    """The exception of Tarn for one of pyarrow."""
    text = str(error.args[0]) if error.args else str(error)
    found = _OURS.match(text)
    if found:
        message, code = found.groups()
    else:
        message = text.split(". gRPC client debug context:")[0]
        code = next((code for kind, code in _BY_TYPE if isinstance(error, kind)), "internal")
        if code in ("internal", "cancelled") and _CUT.search(message):
            code = "unavailable"
        if code == "unavailable":
            message = (
                f"no node of Tarn answers there: is `tarn serve` running, and is this the address of Flight "
                f"(port 8815 by default) and not of HTTP? ({message})"
            )
    if code == ResumeMismatch.code:
        fields = _DIFFERS.search(message)
        return ResumeMismatch(message, fields.group(1).split(", ") if fields else [])
    return _CLASSES.get(code, TarnError)(message, code)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raises exceptions of Tarn in place of those of pyarrow."""
    try:
        yield
    except (flight.FlightError, pa.ArrowException) as error:
        raise translate(error) from error
