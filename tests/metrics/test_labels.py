from __future__ import annotations

import numpy as np
import pytest

from metrics import Labels, MetricError
from tests.metrics.lists import from_lists


def test_all_ways_to_build_agree() -> None:
    dense = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]])
    wanted = Labels(np.array([0, 2, 2, 3]), np.array([1, 2, 0]), 3)
    for labels in (
        Labels.from_dense(dense),
        from_lists([[1, 2], [], [0]], 3),
        Labels.from_pairs(np.array([2, 0, 0]), np.array([0, 2, 1]), 3, 3),
    ):
        assert labels.offsets.tolist() == wanted.offsets.tolist()
        assert labels.columns.tolist() == wanted.columns.tolist()
        assert (labels.dense() == dense).all()
        assert labels.counts.tolist() == [2, 0, 1]
        assert len(labels) == 3


@pytest.mark.parametrize(
    ("offsets", "columns", "message"),
    [
        ([0, 1], [3], r"\[0, 3\)"),
        ([0, 1], [-1], r"\[0, 3\)"),
        ([0, 2], [1], "rise from 0"),
        ([0, 2, 1, 2], [0, 1], "rise from 0"),
        ([], [], "one-dimensional"),
        ([0, 1, 3], [0, 2, 2], "clip number 1 has label 2 more than once"),
    ],
)
def test_wrong_labels_are_refused(offsets: list[int], columns: list[int], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        Labels(np.array(offsets, dtype=np.int64), np.array(columns, dtype=np.int64), 3)


def test_pairs_out_of_range_are_refused() -> None:
    with pytest.raises(MetricError, match=r"clip numbers must lie in \[0, 2\)"):
        Labels.from_pairs(np.array([2]), np.array([0]), 2, 3)


def test_some_clips_in_another_order() -> None:
    labels = from_lists([[3, 1], [], [2], [0, 2, 4]], 5)
    rows = np.array([3, 1, 0])
    assert np.array_equal(labels.select(rows).dense(), labels.dense()[rows])
    assert len(labels.select(rows[:0])) == 0
