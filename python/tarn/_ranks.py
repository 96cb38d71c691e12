"""Which part of a training job this process is."""

from __future__ import annotations

import os
import sys

from .errors import InvalidArgument


def own_rank() -> tuple[int, int]:
    """Rank and world size: of torch.distributed, else RANK and WORLD_SIZE, else 0 of 1.

    torch is only looked at where the program has imported it.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return _number("RANK", 0), _number("WORLD_SIZE", 1)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{name} is {text!r} in the environment; it must be a whole number") from None
