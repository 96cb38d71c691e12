"""The order of a stream, as the node computes it (`query/src/stream/order.rs`)."""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[Any]]

_ALL = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_WINDOW = 0xD1342543DE82EF95
_ONE, _TWO = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ROUNDS = 6


def _mix(value: int) -> int:
    """The finaliser of splitmix64."""
    value ^= value >> 30
    value = value * _ONE & _ALL
    value ^= value >> 27
    value = value * _TWO & _ALL
    return value ^ value >> 31


def _mixed(values: Numbers) -> Numbers:
    values = values ^ values >> np.uint64(30)
    values = values * np.uint64(_ONE)
    values = values ^ values >> np.uint64(27)
    values = values * np.uint64(_TWO)
    mixed: Numbers = values ^ values >> np.uint64(31)
    return mixed


def epoch_key(seed: int, epoch: int) -> int:
    """The key of an epoch."""
    return _mix(seed * _GOLDEN + epoch & _ALL)


class Permutation:
    """A bijection of `range(length)`: six rounds of Feistel, again while the result is too large."""

    def __init__(self, length: int, seed: int) -> None:
        bits = max(2, max(0, length - 1).bit_length())
        self._length, self._left, self._right, self._keys = length, bits // 2, bits - bits // 2, []
        for _ in range(_ROUNDS):
            seed = seed + _GOLDEN & _ALL
            self._keys.append(_mix(seed))

    def _once(self, values: Numbers) -> Numbers:
        high, low = values >> np.uint64(self._right), values & np.uint64((1 << self._right) - 1)
        wide, narrow = self._left, self._right
        for key in self._keys:
            high, low = low, high ^ (_mixed(low ^ np.uint64(key)) & np.uint64((1 << wide) - 1))
            wide, narrow = narrow, wide
        result: Numbers = (high << np.uint64(narrow)) | low
        return result

    def __call__(self, indices: Numbers) -> Numbers:
        """Where the indices go."""
        values = self._once(indices.astype(np.uint64))
        while True:
            beyond = np.nonzero(values >= np.uint64(self._length))[0]
            if not len(beyond):
                return values.astype(np.int64)
            values[beyond] = self._once(values[beyond])


class Order:
    """The rows of blocks of which every row is part of the stream: in the order of a seed and an epoch, or as they are."""

    def __init__(self, rows: Numbers, window_blocks: int, shuffle: tuple[int, int] | None) -> None:
        self._rows, self._window = rows.astype(np.int64), max(1, window_blocks)
        slots = np.arange(len(rows), dtype=np.int64)
        self._key: int | None = None
        if shuffle is not None:
            self._key = epoch_key(*shuffle)
            slots = Permutation(len(rows), self._key)(slots)
        self._slots = slots
        ends = np.cumsum(self._rows[slots])
        # Where each window ends, counted in rows.
        self._ends = ends[np.minimum(np.arange(self._window, len(rows) + self._window, self._window), len(rows)) - 1]
        self._entered: tuple[int, Numbers, Numbers, Permutation | None] | None = None

    def _enter(self, window: int) -> tuple[int, Numbers, Numbers, Permutation | None]:
        if self._entered is None or self._entered[0] != window:
            blocks = self._slots[window * self._window : (window + 1) * self._window]
            ends, permutation = np.cumsum(self._rows[blocks]), None
            if self._key is not None:
                permutation = Permutation(int(ends[-1]), _mix(self._key ^ (window + 1) * _WINDOW & _ALL))
            self._entered = (window, blocks, ends, permutation)
        return self._entered

    def read(self, first: int, end: int) -> tuple[Numbers, Numbers]:
        """Block and row at the positions `first` to `end`."""
        blocks: list[Numbers] = [np.empty(0, np.int64)]
        rows: list[Numbers] = [np.empty(0, np.int64)]
        window = int(np.searchsorted(self._ends, first, side="right"))
        while first < end and window < len(self._ends):
            start = int(self._ends[window - 1]) if window else 0
            until = min(end, int(self._ends[window]))
            _, own, ends, permutation = self._enter(window)
            indices = np.arange(first - start, until - start, dtype=np.int64)
            if permutation is not None:
                indices = permutation(indices)
            places = np.searchsorted(ends, indices, side="right")
            blocks.append(own[places])
            rows.append(indices - (ends[places] - self._rows[own[places]]))
            first, window = until, window + 1
        return np.concatenate(blocks), np.concatenate(rows)
