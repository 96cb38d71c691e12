"""How long to wait before the next try."""

from __future__ import annotations

import random
import time

_FIRST, _LONGEST, _PATIENCE = 0.1, 5.0, 60.0


class Backoff:
    """Waits that double up to five seconds, each shortened at random so that the ranks of a job do not return at once.

    It gives up a minute after the last success, which is as long as a node may take to restart.
    """

    def __init__(self) -> None:
        self.tries = 0
        self._until = 0.0

    def succeeded(self) -> None:
        """The next failure is the first again."""
        self.tries = 0

    def wait(self) -> bool:
        """Waits before another try; False if there shall be none."""
        now = time.monotonic()
        if self.tries == 0:
            self._until = now + _PATIENCE
        if now >= self._until:
            return False
        longest = min(_FIRST * 2**self.tries, _LONGEST)
        self.tries += 1
        time.sleep(random.uniform(longest / 2, longest))
        return True
