"""Streams as JAX arrays: `for batch in tarn.jax.batches(stream)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from . import numpy as arrays
from ._mix import Mix
from ._stream import Stream


def batches(stream: Stream | Mix, device: Any = None) -> Iterator[dict[str, jax.Array | list[Any]]]:
    """Batches as dicts of JAX arrays of shape `[rows, *tensor]` on a device or sharding (JAX's default).

    Columns that are no numbers are lists. JAX makes 64-bit numbers 32-bit unless `jax_enable_x64` is set. Of a job of
    several processes each needs a stream of its own: `rank=jax.process_index(), world_size=jax.process_count()`.
    Raises what the stream raises, and `InvalidData` for a NULL in a column of integers.
    """
    for batch in arrays.batches(stream):
        yield {
            name: jax.device_put(values, device) if isinstance(values, np.ndarray) else values
            for name, values in batch.items()
        }
