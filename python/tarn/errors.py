"""What can go wrong, with the stable code of the node."""

import contextlib
import re

import pyarrow as pa
import pyarrow.flight as flight


class TarnError(Exception):
    """A refusal or failure of a node. `code` is stable; the text says what to do."""

    code = "internal"

    def __init__(self, message, code=None):
        super().__init__(message)
        if code is not None:
            self.code = code


class InvalidArgument(TarnError):
    """The SQL, a name in it or an argument is wrong."""

    code = "invalid_argument"


class NotFound(TarnError):
    """A name does not exist, or may not be known to exist."""

    code = "not_found"


class Unauthenticated(TarnError):
    """The token is missing, unknown, expired or revoked."""

    code = "unauthenticated"


class PermissionDenied(TarnError):
    """Policy refuses."""

    code = "permission_denied"


class Conflict(TarnError):
    """Something changed or expired meanwhile."""

    code = "conflict"


class ResourceExhausted(TarnError):
    """A limit was reached."""

    code = "resource_exhausted"


class Unavailable(TarnError):
    """A node or a lab does not answer."""

    code = "unavailable"


_CLASSES = {kind.code: kind for kind in TarnError.__subclasses__()}
_CODES = (
    "invalid_argument|not_found|unauthenticated|permission_denied|invalid_data|conflict|resource_exhausted"
    "|unavailable|partial|deadline_exceeded|cancelled|data_loss|internal"
)
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


def translate(error):
    """The exception of Tarn for one of pyarrow."""
    text = str(error.args[0]) if error.args else str(error)
    found = _OURS.match(text)
    if found:
        message, code = found.groups()
    else:
        message = text.split(". gRPC client debug context:")[0]
        code = next((code for kind, code in _BY_TYPE if isinstance(error, kind)), "internal")
        if code == "unavailable":
            message = (
                f"no node of Tarn answers there: is `tarn serve` running, and is this the address of Flight "
                f"(port 8815 by default) and not of HTTP? ({message})"
            )
    return _CLASSES.get(code, TarnError)(message, code)


@contextlib.contextmanager
def translated():
    """Raises exceptions of Tarn in place of those of pyarrow."""
    try:
        yield
    except (flight.FlightError, pa.ArrowException) as error:
        raise translate(error) from error
