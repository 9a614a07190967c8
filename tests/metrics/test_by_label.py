from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from metrics import Labels
from metrics.average_precision import mean_average_precision
from metrics.by_label import score_labels
from metrics.calibration import BINS, calibrate
from metrics.clips import cross_entropies

CLIPS, LABELS = 120, 9


@pytest.fixture(scope="module")
def dense() -> tuple[np.ndarray, np.ndarray]:
    """Truth and log-odds (N, V); one label that no clip has, and many equal scores."""
    generator = np.random.default_rng(0)
    truth = generator.random((CLIPS, LABELS)) < np.linspace(0.02, 0.5, LABELS)
    truth[:, 4] = False
    scores = np.round(generator.normal(size=truth.shape) + truth, 1)
    return truth, scores.astype(np.float32)


def listed(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def test_scores_of_labels_are_those_of_scikit_learn(dense: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = dense
    labels, lists = Labels.from_dense(truth), listed(scores, LABELS)
    found = score_labels(labels, *lists)
    assert found.clips.tolist() == truth.sum(0).tolist()
    for label in range(LABELS):
        if not truth[:, label].any():
            assert np.isnan([found.average_precision[label], found.precision[label]]).all()
            continue
        expected = average_precision_score(truth[:, label], scores[:, label])
        assert found.average_precision[label] == pytest.approx(expected)
        precisions, recalls, _ = precision_recall_curve(truth[:, label], scores[:, label])
        sums = np.maximum(precisions + recalls, 1e-12)
        best = (2 * precisions * recalls / sums).max()
        own = found.precision[label], found.recall[label]
        assert 2 * own[0] * own[1] / sum(own) == pytest.approx(best)
    mean = mean_average_precision(labels, *lists)
    assert mean == pytest.approx(np.nanmean(found.average_precision))


@pytest.mark.parametrize("k", [2, 5])
def test_confusions_are_counted_as_by_hand(dense: tuple[np.ndarray, np.ndarray], k: int) -> None:
    truth, scores = dense
    order, values = listed(scores, LABELS)
    found = score_labels(Labels.from_dense(truth), order, values, k=k)
    for label in range(LABELS):
        counts: Counter[int] = Counter()
        for clip in np.flatnonzero(truth[:, label]):
            for other in order[clip, :k].tolist():
                if other == label:
                    break
                counts[other] += not truth[clip, other]
        wanted = sorted(((-n, other) for other, n in counts.items() if n))[:3]
        named = [own for own in found.confused[label].tolist() if own >= 0]
        assert named == [other for _, other in wanted]
        assert found.confusions[label, : len(wanted)].tolist() == [-n for n, _ in wanted]


def test_calibration_of_a_bin_is_its_mean_and_its_share() -> None:
    generator = np.random.default_rng(1)
    probability = generator.random((400, 6))
    truth = generator.random(probability.shape) < probability**2
    order, values = listed(np.log(probability / (1 - probability)), 4)
    found = calibrate(Labels.from_dense(truth), order, values)
    said = np.take_along_axis(probability, order, axis=1).ravel()
    true = np.take_along_axis(truth, order, axis=1).ravel()
    distance = 0.0
    rows = iter(zip(found.said, found.true, found.count, strict=True))
    for place in range(BINS):
        inside = (said >= place / BINS) & (said < (place + 1) / BINS)
        if inside.any():
            row = next(rows)
            assert row == pytest.approx((said[inside].mean(), true[inside].mean(), inside.sum()))
            distance += inside.sum() * abs(said[inside].mean() - true[inside].mean())
    assert next(rows, None) is None
    assert found.error == pytest.approx(distance / said.size)


def test_cross_entropy_of_whole_lists_is_exact(dense: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = dense
    labels, lists = Labels.from_dense(truth), listed(scores, LABELS)
    probability = 1 / (1 + np.exp(-scores.astype(np.float64)))
    exact = -np.where(truth, np.log(probability), np.log(1 - probability)).sum(1)
    ends, nothing = np.full(CLIPS, -np.inf, np.float32), np.zeros(CLIPS, np.float32)
    assert cross_entropies(labels, *lists, ends, nothing) == pytest.approx(exact)
    # Of shorter lists it is a lower bound.
    order, values = lists[0][:, :3], lists[1][:, :3]
    left_out = lists[1][:, 3]
    tail = np.take_along_axis(probability, lists[0][:, 3:], axis=1).sum(1)
    bound = cross_entropies(labels, order, values, left_out, tail)
    assert (bound <= exact + 1e-6).all() and bound.mean() > 0.5 * exact.mean()
