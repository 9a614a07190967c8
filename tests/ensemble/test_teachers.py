from __future__ import annotations

import numpy as np
import pytest

from ensemble import EnsembleError, best_combination
from tests.ensemble.small import DenseGap, make_members, store


def test_every_triple_is_scored_by_its_flat_mean() -> None:
    dense, labels = make_members(5, 100, 40, noise=1.0)
    names = ["e", "a", "c", "b", "d"]
    predictions = {name: store(one, 40) for name, one in zip(names, dense, strict=True)}
    teacher = best_combination(predictions, labels)
    assert len(teacher.table) == 10
    for one in teacher.table:
        weights = np.array([1 / 3 if name in one.names else 0 for name in names])
        assert one.gap == DenseGap(dense, labels, weights)
        assert one.exact
    assert teacher.names == teacher.table[0].names
    assert teacher.gap == max(one.gap for one in teacher.table)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_members_are_all_taken(count: int) -> None:
    dense, labels = make_members(count, 30, 40)
    predictions = {str(n): store(one, 40) for n, one in enumerate(dense)}
    teacher = best_combination(predictions, labels)
    assert teacher.names == tuple(map(str, range(count)))
    assert len(teacher.table) == 1


def test_no_member_is_refused() -> None:
    _, labels = make_members(1, 10, 30)
    with pytest.raises(EnsembleError, match="no member"):
        best_combination({}, labels)
