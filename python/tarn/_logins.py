"""Logins that `tarn login` stored for this user."""

import json
import os
import pathlib
from urllib.parse import urlsplit


def stored_token(address):
    """The token of a login at the node with this Flight address, or None.

    A login that came by TLS is not sent without it.
    """
    wanted = urlsplit(address)
    for login in _logins():
        known = urlsplit(str(login.get("flight", "")))
        plain = wanted.scheme in ("grpc", "grpc+tcp")
        if known.netloc.lower() == wanted.netloc.lower() and not (plain and known.scheme == "https"):
            return login.get("token")
    return None


def _logins():
    folder = os.environ.get("XDG_CONFIG_HOME") or ""
    folder = pathlib.Path(folder) if os.path.isabs(folder) else pathlib.Path.home() / ".config"
    try:
        found = json.loads((folder / "tarn" / "logins.json").read_text(encoding="utf-8"))
        return [login for login in found["logins"].values() if isinstance(login, dict)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
