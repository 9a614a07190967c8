from __future__ import annotations

import numpy as np
import pytest

from metrics import Labels, MetricError
from metrics.ranking import best_labels, rank, true_pairs
from tests.metrics.lists import from_lists


@pytest.mark.parametrize("columns", [30, 3000])
@pytest.mark.parametrize("k", [1, 20, 200])
def test_best_labels_are_those_of_a_sort(columns: int, k: int) -> None:
    scores = np.random.default_rng(0).normal(size=(130, columns)).astype(np.float32)
    labels, best = best_labels(scores, k)
    wanted = np.argsort(-scores, axis=1)[:, :k]
    assert (labels == wanted).all()
    assert (best == np.take_along_axis(scores, wanted, axis=1)).all()


def test_labels_that_tie_across_the_cut_share_its_places() -> None:
    labels = from_lists([[1, 2]], 5)
    ranking = rank(labels, None, np.array([[5.0, 3.0, 3.0, 3.0, 1.0]]), 3)
    assert ranking.scores.tolist() == [[5, 3, 3]]
    assert ranking.hits[0] == pytest.approx([0, 2 / 3, 2 / 3])


def test_a_cut_of_a_ranking_is_the_shorter_ranking() -> None:
    generator = np.random.default_rng(1)
    scores = generator.integers(0, 5, size=(50, 12)).astype(np.float64)
    labels = Labels.from_dense(generator.random(scores.shape) < 0.3)
    for longer in (4, 9, 12):
        cut, short = rank(labels, None, scores, longer).cut(3), rank(labels, None, scores, 3)
        assert (cut.scores == short.scores).all()
        assert cut.hits == pytest.approx(short.hits)


def test_whole_numbers_are_ranked_too() -> None:
    labels = from_lists([[2]], 3)
    assert rank(labels, None, np.array([[1, 2, 3]]), 1).hits.tolist() == [[1]]


def test_true_pairs() -> None:
    labels = from_lists([[1], [0, 2]], 3)
    assert true_pairs(labels, np.array([[0, 1], [2, 1]])).tolist() == [[0, 1], [1, 0]]


def test_nothing_to_rank_is_refused() -> None:
    with pytest.raises(MetricError, match="at least one label"):
        rank(from_lists([[0]], 3), None, np.zeros((1, 3)), 0)
