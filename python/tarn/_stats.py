"""What an iteration of a stream did so far."""

from __future__ import annotations

import dataclasses
import time


@dataclasses.dataclass
class Stats:
    """Counts of one iteration. `waited` are the seconds in which the program waited for a batch: where they are
    close to `seconds`, the stream is what limits training."""

    batches: int = 0
    rows: int = 0
    bytes: int = 0
    reconnects: int = 0
    waited: float = 0.0
    began: float = dataclasses.field(default_factory=time.monotonic, repr=False)

    @property
    def seconds(self) -> float:
        """Since the iteration began."""
        return time.monotonic() - self.began
