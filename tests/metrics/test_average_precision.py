from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score

from metrics import Labels, MetricError, gap
from metrics.average_precision import average_precision, mean_average_precision
from tests.metrics import references
from tests.metrics.lists import from_lists

TIED = st.integers(0, 4).map(float)
SPREAD = st.floats(-1e6, 1e6, width=32)


@st.composite
def scored_clips(draw: st.DrawFn, values: st.SearchStrategy[float]) -> tuple[np.ndarray, ...]:
    """Truth (N, V) with a true label, and scores (N, V)."""
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 9)))
    truth = draw(arrays.arrays(bool, shape))
    truth[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    return truth, draw(arrays.arrays(np.float64, shape, elements=values))


def as_lists(generator: np.random.Generator, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every label of each clip in random order, with its score."""
    order = generator.permuted(np.tile(np.arange(scores.shape[1]), (len(scores), 1)), axis=1)
    return order, np.take_along_axis(scores, order, axis=1)


@settings(deadline=None)
@given(scored_clips(TIED | SPREAD), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_gap_is_that_of_scikit_learn(
    clips: tuple[np.ndarray, np.ndarray], k: int, seed: int
) -> None:
    truth, scores = clips
    labels = Labels.from_dense(truth)
    wanted = references.gap(truth, scores, k)
    assert gap(labels, None, scores, k) == pytest.approx(wanted, abs=1e-9)
    lists = as_lists(np.random.default_rng(seed), scores)
    assert gap(labels, *lists, k) == pytest.approx(wanted, abs=1e-9)


@settings(deadline=None)
@given(scored_clips(TIED), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_gap_does_not_depend_on_the_order_of_ties(
    clips: tuple[np.ndarray, np.ndarray], k: int, seed: int
) -> None:
    truth, scores = clips
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(len(truth)), generator.permutation(truth.shape[1])
    shuffled = truth[rows][:, columns], scores[rows][:, columns]
    assert gap(Labels.from_dense(shuffled[0]), None, shuffled[1], k) == pytest.approx(
        gap(Labels.from_dense(truth), None, scores, k), abs=1e-12
    )


@settings(deadline=None)
@given(scored_clips(TIED | SPREAD), st.integers(0, 2**32 - 1))
def test_map_is_that_of_scikit_learn(clips: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    truth, scores = clips
    labels = Labels.from_dense(truth)
    wanted = references.mean_average_precision(truth, scores)
    lists = as_lists(np.random.default_rng(seed), scores)
    assert mean_average_precision(labels, *lists) == pytest.approx(wanted, abs=1e-9)


def test_gap_over_many_labels_is_that_of_scikit_learn() -> None:
    # Wide enough for the bound on the k-th best score to prune, with ties within and across.
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(300, 1000)).round(2).astype(np.float32)
    truth = generator.random(scores.shape) < 0.003
    scores[truth] += 2
    wanted = references.gap(truth, scores, 20)
    assert gap(Labels.from_dense(truth), None, scores, 20) == pytest.approx(wanted, abs=1e-9)


def test_saturated_scores_are_one_threshold() -> None:
    # 192 of 80,000 scores tied at 1.0 in one real run, and their order alone moved GAP.
    scores = np.array([[1.0, 1.0, 0.2], [1.0, 0.5, 0.1]])
    labels = from_lists([[1], [1]], 3)
    assert gap(labels, None, scores, k=2) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_recall_counts_positives_outside_the_pool() -> None:
    labels = from_lists([[0, 2]], 3)
    assert gap(labels, None, np.array([[3.0, 2.0, 1.0]]), k=2) == 0.5


def test_gap_is_zero_where_no_true_label_is_listed() -> None:
    labels = from_lists([[2]], 3)
    assert gap(labels, np.array([[0, 1]]), np.array([[3.0, 2.0]])) == 0.0


def test_map_of_lists_misses_what_is_not_listed() -> None:
    labels = from_lists([[0], [0]], 2)
    assert mean_average_precision(labels, np.array([[0], [1]]), np.array([[1.0], [2.0]])) == 0.5


def test_shares_count_as_parts_of_a_hit() -> None:
    scores, hits = np.array([2.0, 1.0, 1.0]), np.array([1.0, 0.5, 0.5])
    wanted = average_precision_score([1, 1, 0], scores)
    assert average_precision(scores, hits, 2) == pytest.approx(wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [3, 700])
def test_scores_that_are_not_finite_are_refused(bad: float, columns: int) -> None:
    labels = from_lists([[0], [1]], columns)
    scores = np.zeros((2, columns), dtype=np.float32)
    scores[1, -1] = bad
    with pytest.raises(MetricError, match="clip number 1 has a score that is NaN or infinite"):
        gap(labels, None, scores)
    everything = np.tile(np.arange(columns), (2, 1))
    with pytest.raises(MetricError, match="clip number 1"):
        gap(labels, everything, scores)
    with pytest.raises(MetricError, match="clip number 1"):
        mean_average_precision(labels, everything, scores)


def test_sums_that_overflow_are_no_error() -> None:
    labels = from_lists([[0]], 3)
    assert gap(labels, None, np.array([[3e38, 2e38, 1e38]], dtype=np.float32)) == 1.0


def test_input_that_does_not_fit_is_refused() -> None:
    labels = from_lists([[0]], 3)
    with pytest.raises(MetricError, match="dense scores have 3 columns"):
        gap(labels, None, np.zeros((1, 2)))
    with pytest.raises(MetricError, match="labels of 1 clips"):
        gap(labels, None, np.zeros((2, 3)))
    with pytest.raises(MetricError, match=r"must lie in \[0, 3\)"):
        gap(labels, np.array([[3]]), np.zeros((1, 1)))
    with pytest.raises(MetricError, match="do not match"):
        gap(labels, np.array([[0, 1]]), np.zeros((1, 1)))
    with pytest.raises(MetricError, match="no true label"):
        gap(from_lists([[]], 3), None, np.zeros((1, 3)))
    with pytest.raises(MetricError, match="no true label"):
        mean_average_precision(from_lists([[]], 3), np.array([[0, 1, 2]]), np.zeros((1, 3)))
