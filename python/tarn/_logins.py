"""Logins that `tarn login` stored for this user."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .errors import Unauthenticated


def stored_token(address: str) -> str | None:
    """The token of a login at the node with this Flight address, or None.

    A login counts for the host alone where the user logged in: what a node says of its Flight address may
    name another's. A login that came by TLS is not sent without it.
    """
    wanted = urlsplit(address)
    plain = wanted.scheme in ("grpc", "grpc+tcp")
    fitting = {}
    for node, login in _logins():
        known = urlsplit(str(login.get("flight", "")))
        same = _place(known) == _place(wanted) and _place(urlsplit(node))[0] == _place(wanted)[0]
        if same and _lasts(login) and not (plain and known.scheme == "https"):
            fitting[node] = login.get("token")
    if len(fitting) > 1:
        raise Unauthenticated(
            f"there are several logins for {address}, at {' and '.join(sorted(fitting))}: "
            "run `tarn logout --server` for those that are not meant, or give a token"
        )
    return next(iter(fitting.values()), None)


def _lasts(login: dict[str, Any]) -> bool:
    try:
        until = datetime.datetime.fromisoformat(str(login.get("expires_at", "")).replace("Z", "+00:00"))
        return until > datetime.datetime.now(datetime.timezone.utc)
    except (ValueError, TypeError):
        return False


def _place(address: SplitResult) -> tuple[str, int | None]:
    """Host and port; all names of this machine are one."""
    host = (address.hostname or "").lower()
    try:
        port = address.port
    except ValueError:
        port = None
    return ("localhost" if host in ("127.0.0.1", "::1") else host), port


def _logins() -> list[tuple[str, dict[str, Any]]]:
    told = os.environ.get("XDG_CONFIG_HOME") or ""
    folder = pathlib.Path(told) if os.path.isabs(told) else pathlib.Path.home() / ".config"
    try:
        found = json.loads((folder / "tarn" / "logins.json").read_text(encoding="utf-8"))
        return [(node, login) for node, login in found["logins"].items() if isinstance(login, dict)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
