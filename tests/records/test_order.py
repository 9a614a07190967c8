from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.order import EpochOrder

sizes = st.lists(st.integers(0, 6), min_size=1, max_size=12).filter(any)


def shard_column(counts: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(counts), dtype=np.uint32), counts)


@settings(max_examples=100, deadline=None)
@given(sizes, st.integers(0, 9), st.integers(0, 3), st.integers(1, 5), st.integers(1, 9))
def test_pieces_make_up_a_permutation(
    counts: list[int], seed: int, epoch: int, group: int, piece: int
) -> None:
    shard = shard_column(counts)
    order = EpochOrder(shard, seed, epoch, group)
    whole = order.rows(0, len(shard))
    assert sorted(whole.tolist()) == list(range(len(shard)))
    for start in reversed(range(0, len(shard), piece)):
        end = min(start + piece, len(shard))
        np.testing.assert_array_equal(order.rows(start, end), whole[start:end])
        fresh = EpochOrder(shard, seed, epoch, group)
        np.testing.assert_array_equal(fresh.rows(start, end), whole[start:end])


@settings(max_examples=50, deadline=None)
@given(sizes, st.integers(1, 5))
def test_records_stay_within_their_group_of_shards(counts: list[int], group: int) -> None:
    shard = shard_column(counts)
    visited = shard[EpochOrder(shard, 1, 0, group).rows(0, len(shard))]
    present = sum(count > 0 for count in counts)
    done: set[int] = set()
    current: list[int] = []
    for number in visited.tolist():
        assert number not in done
        if number not in current:
            if len(current) == group:
                assert sum(counts[c] for c in current) == sum(v in current for v in visited)
                done.update(current)
                current = []
            current.append(number)
    assert len(done) + len(current) == present


def test_seeds_and_epochs_differ() -> None:
    shard = shard_column([20, 20, 20])
    orders = {
        tuple(EpochOrder(shard, seed, epoch, 2).rows(0, 60).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


@pytest.mark.parametrize("epoch", [0, 3])
def test_without_a_seed_rows_keep_their_order(epoch: int) -> None:
    order = EpochOrder(shard_column([3, 4]), None, epoch, 1)
    assert order.rows(2, 6).tolist() == [2, 3, 4, 5]
