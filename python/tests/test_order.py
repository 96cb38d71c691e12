"""The order that the client computes is that of the node: the numbers are those of the node's own test."""

import numpy as np
import pytest
from tarn._order import Order, Permutation


def pairs(order, first, end):
    return [(int(block), int(row)) for block, row in zip(*order.read(first, end))]


def test_the_order_is_the_one_of_the_reference_program():
    # From `Plan([3, 5, 2, 4], set(), 7, 1, 2).read(0, 14)` of peers/streams/order_check.py.
    expected = [(0, 0), (1, 3), (1, 1), (0, 2), (1, 0), (1, 2), (1, 4), (0, 1), (3, 3), (2, 1), (3, 0), (2, 0), (3, 2), (3, 1)]
    order = Order(np.array([3, 5, 2, 4]), 2, (7, 1))
    assert pairs(order, 0, 14) == expected
    for first in range(15):
        for end in range(first, 15):
            assert pairs(order, first, end) == expected[first:end]
    assert pairs(order, 14, 20) == []


def test_without_shuffling_rows_come_as_they_are():
    assert pairs(Order(np.array([2, 0, 3]), 2, None), 0, 9) == [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
    assert pairs(Order(np.array([], int), 2, (1, 0)), 0, 9) == []


@pytest.mark.parametrize("length", [1, 2, 3, 5, 17, 1000, 65_537])
def test_a_permutation_hits_every_index_once(length):
    assert sorted(Permutation(length, 7)(np.arange(length)).tolist()) == list(range(length))
