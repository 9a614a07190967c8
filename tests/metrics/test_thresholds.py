"""Thresholds and what they are worth, against plain loops over every cut and every clip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from metrics import Labels, MetricError, StreamingScores
from metrics.bootstrap import resampled_ratio
from metrics.thresholds import choose_thresholds

CLIPS, LABELS = 150, 8
# As many clips have each label, about; one that none has, and one that no list has.
SHARES = (0.5, 0.3, 0.2, 0.1, 0.04, 0.02, 0.0, 0.3)
UNLISTED = 7


@pytest.fixture(scope="module")
def dense() -> tuple[np.ndarray, np.ndarray]:
    """Truth and log-odds (N, V), many of them equal."""
    generator = np.random.default_rng(0)
    truth = generator.random((CLIPS, LABELS)) < np.array(SHARES)
    scores = np.round(generator.normal(size=truth.shape) * 2 + 2 * truth, 1).astype(np.float32)
    scores[:, UNLISTED] = -50
    return truth, scores


def listed(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def best_by_hand(
    scores: list[float], truth: list[bool], positives: int, precision: float | None
) -> float | None:
    """Each score is tried as the lowest that is taken; half way to the next below."""
    best, found = 0.0, None
    for cut in sorted(set(scores), reverse=True):
        taken = [true for score, true in zip(scores, truth, strict=True) if score >= cut]
        if precision is None:
            f1 = 2 * sum(taken) / (len(taken) + positives)
            better = f1 > best
            best = max(best, f1)
        else:
            better = sum(taken) / len(taken) >= precision
        if better:
            below = [score for score in scores if score < cut]
            found = (cut + max(below)) / 2 if below else cut
    return found


@pytest.mark.parametrize("k", [4, 7])
@pytest.mark.parametrize("precision", [None, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("fewest", [1, 10])
def test_every_cut_is_tried(
    dense: tuple[np.ndarray, np.ndarray], k: int, precision: float | None, fewest: int
) -> None:
    truth, scores = dense
    labels, (order, values) = Labels.from_dense(truth), listed(scores, k)
    found = choose_thresholds(labels, order, values, precision, fewest)
    assert found.dtype == np.float32 and found.shape == (LABELS,)
    hits = np.take_along_axis(truth, order, axis=1)
    whole = best_by_hand(
        values.ravel().tolist(), hits.ravel().tolist(), int(truth.sum()), precision
    )
    shared = math.inf if whole is None else whole
    own_ones = 0
    for label in range(LABELS):
        there = order == label
        positives = int(truth[:, label].sum())
        expected = shared
        if positives >= fewest and there.any():
            own = best_by_hand(values[there].tolist(), hits[there].tolist(), positives, precision)
            expected = own if own is not None else math.inf if precision else shared
            own_ones += expected != shared
        assert found[label] == pytest.approx(expected, abs=1e-6)
    assert own_ones >= 3


def test_a_threshold_parts_neighbours_that_are_as_close_as_floats_can_be() -> None:
    above = np.float32(1)
    below = np.nextafter(above, np.float32(0))
    labels = Labels.from_dense(np.array([[True], [False]]))
    values = np.array([[above], [below]])
    (found,) = choose_thresholds(labels, np.zeros((2, 1), int), values, fewest=1)
    assert below < found <= above


def test_of_no_clips_nothing_is_given() -> None:
    labels = Labels.from_dense(np.zeros((0, 3), bool))
    nothing = np.zeros((0, 2), int), np.zeros((0, 2), np.float32)
    assert choose_thresholds(labels, *nothing).tolist() == [math.inf] * 3


def test_tags_are_scored_as_by_scikit_learn(dense: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = dense
    thresholds = np.linspace(-1, 2, LABELS).astype(np.float32)
    thresholds[2] = np.inf
    streamed = StreamingScores(LABELS, thresholds)
    for rows in (slice(0, 40), slice(40, 41), slice(41, CLIPS)):
        streamed.update(scores[rows], Labels.from_dense(truth[rows]))
    found = streamed.compute()
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth.ravel(), (scores >= thresholds).ravel(), average="binary"
    )
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(
        (precision, recall, f1)
    )
    plain = StreamingScores(LABELS)
    plain.update(scores, Labels.from_dense(truth))
    assert found.items() >= plain.compute().items() and "f1" not in plain.compute()
    # Another sample of clips would have an F1 that is about so far away.
    generator, drawn = np.random.default_rng(1), []
    for _ in range(300):
        picked = generator.integers(0, CLIPS, CLIPS)
        given, true = scores[picked] >= thresholds, truth[picked]
        drawn.append(2 * (given & true).sum() / (given.sum() + true.sum()))
    assert streamed.errors()["f1_error"] == pytest.approx(np.std(drawn), rel=0.2)
    with pytest.raises(MetricError, match="log-odds of all labels"):
        streamed.update(listed(scores, 3), Labels.from_dense(truth))


def test_nothing_given_is_not_wrong() -> None:
    streamed = StreamingScores(2, np.array([np.inf, np.inf], np.float32))
    streamed.update(np.zeros((3, 2), np.float32), np.array([[0, 1]]))
    found = streamed.compute()
    assert (found["precision"], found["recall"], found["f1"]) == (1.0, 0.0, 0.0)


def test_a_ratio_is_resampled_as_its_sums_are() -> None:
    above, below = np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 4.0])
    found = resampled_ratio(above, below, draws=20, seed=5)
    for draw, value in enumerate(found):
        rows = np.random.default_rng([5, draw]).integers(0, 3, 3)
        total = below[rows].sum()
        assert value == pytest.approx(above[rows].sum() / total if total else 0.0)
