"""Which source each position of a mixture is of, as the node computes it (`query/src/stream/mixture/pattern.rs`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ._order import _ALL, Numbers, Permutation, _mix, epoch_key

PERIOD = 1 << 16
_PERIOD_FACTOR = 0xA0761D6478BD642F


def quotas(weights: Sequence[float]) -> list[int]:
    """How many positions of a period each source has: by the largest remainder, and one at least."""
    greatest = max(weights)
    scaled = [weight / greatest for weight in weights]
    total = 0.0
    # `sum` adds in another way than the node.
    for weight in scaled:
        total += weight
    exact = [weight / total * PERIOD for weight in scaled]
    found = [max(1, math.floor(value)) for value in exact]
    order = sorted(range(len(found)), key=lambda place: found[place] - exact[place])
    for place in order[: max(0, PERIOD - sum(found))]:
        found[place] += 1
    while sum(found) > PERIOD:
        found[found.index(max(found))] -= 1
    return found


class Pattern:
    """The source of each position: drawn by seed and epoch, or, stratified, as evenly as the weights allow."""

    def __init__(self, weights: Sequence[float], seed: int, epoch: int, stratified: bool) -> None:
        self._quotas = quotas(weights)
        self._key = None if stratified else epoch_key(seed, epoch)
        self._kept: tuple[int, Numbers] | None = None

    def _period(self, number: int) -> Numbers:
        number = 0 if self._key is None else number
        if self._kept is None or self._kept[0] != number:
            self._kept = (number, self._made(number))
        return self._kept[1]

    def _made(self, number: int) -> Numbers:
        if self._key is None:
            return _stratified(self._quotas)
        key = _mix(self._key ^ (number + 1) * _PERIOD_FACTOR & _ALL)
        slots = np.repeat(np.arange(len(self._quotas)), self._quotas)
        made: Numbers = slots[Permutation(PERIOD, key)(np.arange(PERIOD))]
        return made

    def sources(self, first: int, end: int) -> Numbers:
        """The sources of the positions `first` to `end`."""
        found = [np.empty(0, np.int64)]
        while first < end:
            number, offset = divmod(first, PERIOD)
            rows = min(end - first, PERIOD - offset)
            found.append(self._period(number)[offset : offset + rows])
            first += rows
        return np.concatenate(found)


def _stratified(quotas: Sequence[int]) -> Numbers:
    """Each position is of the source that is behind by most."""
    own, behind = np.array(quotas, np.int64), np.zeros(len(quotas), np.int64)
    found = np.empty(PERIOD, np.int64)
    for position in range(PERIOD):
        behind += own
        source = int(behind.argmax())
        behind[source] -= PERIOD
        found[position] = source
    return found
