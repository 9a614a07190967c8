"""Labels that are unknown of a clip, against plain loops that never see them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metrics import Labels, MetricError, StreamingScores, gap
from metrics.average_precision import mean_average_precision
from metrics.by_label import score_labels
from metrics.calibration import calibrate
from metrics.clips import cross_entropies
from metrics.thresholds import choose_thresholds

CLIPS, COLUMNS = 60, 33


def drawn(share: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (N, V) float64, and what is true, and unknown, of which so many are."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(CLIPS, COLUMNS))
    unknown = generator.random((CLIPS, COLUMNS)) < share
    true = (generator.random((CLIPS, COLUMNS)) < 0.2) & ~unknown
    scores[true] += 1
    # The unknown ones would do the most harm.
    scores[unknown] += 3
    return scores, true, unknown


def labels_of(true: np.ndarray, unknown: np.ndarray) -> Labels:
    rows, columns = np.nonzero(true)
    return Labels.from_pairs(rows, columns, len(true), true.shape[1], unknown)


def by_score(scores: np.ndarray, true: np.ndarray, unknown: np.ndarray) -> list[list[bool]]:
    """Of each row whether its known entries are true, best first."""
    return [
        [bool(true[row, n]) for n in np.argsort(-scores[row]) if not unknown[row, n]]
        for row in range(len(scores))
    ]


def precision_sum(hits: list[bool]) -> float:
    return sum(sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit)


def loops(scores: np.ndarray, true: np.ndarray, unknown: np.ndarray) -> dict[str, float]:
    """Every score, entry by entry."""
    pool = []
    for row in range(len(scores)):
        known = [n for n in np.argsort(-scores[row]) if not unknown[row, n]]
        pool += [(scores[row, n], bool(true[row, n])) for n in known[:20]]
    pool.sort(reverse=True)
    clips = by_score(scores, true, unknown)
    columns = [hits for hits in by_score(scores.T, true.T, unknown.T) if any(hits)]
    labeled = [hits for hits in clips if any(hits)]
    return {
        "gap": precision_sum([hit for _, hit in pool]) / true.sum(),
        "map": float(np.mean([precision_sum(hits) / sum(hits) for hits in columns])),
        "map_at_10": float(np.mean([precision_sum(hits[:10]) / sum(hits) for hits in labeled])),
        "hit_at_1": float(np.mean([any(hits[:1]) for hits in clips])),
        "perr": float(np.mean([sum(hits[: sum(hits)]) / sum(hits) for hits in labeled])),
    }


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_unknown_labels_are_in_no_score(share: float) -> None:
    scores, true, unknown = drawn(share)
    wanted = loops(scores, true, unknown)
    whole = StreamingScores(COLUMNS)
    whole.update(scores, labels_of(true, unknown))
    parts = StreamingScores(COLUMNS)
    for rows in (slice(0, 25), slice(25, CLIPS)):
        pairs = np.argwhere(true[rows])
        parts.update(torch.from_numpy(scores[rows]), pairs, torch.from_numpy(unknown[rows]))
    listed = StreamingScores(COLUMNS)
    every = np.broadcast_to(np.arange(COLUMNS), scores.shape)
    listed.update((every, scores), labels_of(true, unknown))
    for found in (whole.compute(), parts.compute(), listed.compute()):
        for name, value in wanted.items():
            assert found[name] == pytest.approx(value, abs=1e-12), name
    labels = labels_of(true, unknown)
    assert gap(labels, None, scores) == pytest.approx(wanted["gap"])
    assert mean_average_precision(labels, every, scores) == pytest.approx(wanted["map"])
    # As many clips as there are, drawn: the errors are of the same entries.
    whole_errors, wrong = whole.errors(), StreamingScores(COLUMNS)
    wrong.update(scores, labels_of(true, np.zeros_like(unknown)))
    assert whole_errors["gap_error"] > 0
    assert wrong.compute()["gap"] < 0.9 * wanted["gap"]


def test_what_is_said_of_labels_and_of_clips_leaves_them_out() -> None:
    scores, true, unknown = drawn(0.4)
    labels = labels_of(true, unknown)
    order = np.argsort(-scores, axis=1)
    listed = np.take_along_axis(scores, order, axis=1)
    found = score_labels(labels, order, listed)
    for label in range(COLUMNS):
        above: dict[int, int] = {}
        for row in np.flatnonzero(true[:, label]):
            wrong = (scores[row] > scores[row, label]) & ~true[row] & ~unknown[row]
            ranked = np.flatnonzero(np.isin(np.arange(COLUMNS), order[row, :20]) & wrong)
            for other in ranked.tolist():
                above[other] = above.get(other, 0) + 1
        assert sorted(above.values(), reverse=True)[:3] == [
            count for count in found.confusions[label].tolist() if count
        ]
    diagram = calibrate(labels, order, listed)
    assert diagram.count.sum() == (~unknown).sum()
    surprise = cross_entropies(labels, order, listed, np.zeros(CLIPS), np.zeros(CLIPS))
    losses = np.logaddexp(0, np.where(true, -scores, scores))
    np.testing.assert_allclose(surprise, np.where(unknown, 0, losses).sum(axis=1))


def test_clips_keep_what_is_unknown_of_them() -> None:
    scores, true, unknown = drawn(0.4)
    labels = labels_of(true, unknown)
    rows = np.array([7, 3, 40])
    joined = Labels.concatenate([labels.select(rows), labels.select(np.array([1]))])
    np.testing.assert_array_equal(joined.is_unknown(None), unknown[[7, 3, 40, 1]])
    asked = np.array([[2, 32]])
    np.testing.assert_array_equal(labels.is_unknown(asked, slice(5, 6)), unknown[5:6, [2, 32]])
    assert gap(labels.select(rows), None, scores[rows]) == pytest.approx(
        loops(scores[rows], true[rows], unknown[rows])["gap"]
    )
    with pytest.raises(MetricError, match="clip number 0 has label 2, which is unknown too"):
        Labels.from_pairs(np.array([0]), np.array([2]), 1, 3, np.array([[False, False, True]]))
    with pytest.raises(MetricError, match="some parts have unknown labels, and some cannot"):
        Labels.concatenate([labels, Labels.from_dense(true)])


@pytest.mark.parametrize("precision", [None, 0.3])
def test_thresholds_are_of_what_is_known(precision: float | None) -> None:
    scores, true, unknown = drawn(0.5)
    scores = scores.astype(np.float32)
    labels = labels_of(true, unknown)
    every = np.broadcast_to(np.arange(COLUMNS), scores.shape)
    found = choose_thresholds(labels, every, scores, precision, fewest=3)
    for label in np.flatnonzero(true.sum(axis=0) >= 3).tolist():
        known = ~unknown[:, label]
        own = Labels.from_dense(true[known, label][:, None])
        alone = np.zeros((len(own), 1), int)
        wanted = choose_thresholds(own, alone, scores[known, label][:, None], precision, fewest=3)
        if precision is None or np.isfinite(wanted[0]):
            assert found[label] == wanted[0]
    tags = StreamingScores(COLUMNS, found)
    tags.update(scores, labels)
    given = (scores >= found) & ~unknown
    assert tags.compute()["f1"] == pytest.approx(
        2 * (given & true).sum() / (given.sum() + true.sum())
    )
