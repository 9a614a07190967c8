"""Against a plain loop that draws clips, and gives the plain metrics what was drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metrics import Labels, StreamingScores, bootstrap, gap
from metrics.average_precision import mean_average_precision
from metrics.ranking import rank
from tests.metrics.means import map_at_k
from tests.metrics.test_streaming import some_clips

DRAWS = 12


def looped(clips: int, score: Callable[[np.ndarray], float], seed: int = 0) -> list[float]:
    """A plain metric of the clips of each draw, a clip as often as it was drawn."""
    generators = (np.random.default_rng([seed, number]) for number in range(DRAWS))
    return [score(generator.integers(0, clips, clips)) for generator in generators]


@pytest.mark.parametrize("seed", [0, 5])
def test_gap_is_that_of_the_clips_drawn(seed: int) -> None:
    truth, scores = some_clips(50)
    # Ties, within a clip and between clips, also across the k-th place; clips without labels.
    scores = np.round(scores * 2)
    truth[:7] = False
    labels = Labels.from_dense(truth)
    found = bootstrap.resampled_gap(rank(labels, None, scores, 5), labels.counts, DRAWS, seed)
    wanted = looped(
        len(scores), lambda d: gap(Labels.from_dense(truth[d]), None, scores[d], 5), seed
    )
    assert found == pytest.approx(wanted, abs=1e-12)
    assert len(set(found)) == DRAWS


def test_map_is_that_of_the_clips_drawn() -> None:
    truth, scores = some_clips(30)
    scores = np.round(scores * 4)
    top = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    listed = np.take_along_axis(scores, top, axis=1)
    found = bootstrap.resampled_map(Labels.from_dense(truth), top, listed, DRAWS)
    wanted = looped(
        len(scores),
        lambda d: mean_average_precision(Labels.from_dense(truth[d]), top[d], listed[d]),
    )
    assert found == pytest.approx(wanted, abs=1e-12)


def test_means_are_those_of_the_clips_drawn() -> None:
    truth, scores = some_clips(40)
    truth[::3] = False
    every = np.tile(np.arange(40), (len(scores), 1))
    values = np.array(
        [
            map_at_k(Labels.from_dense(truth[i : i + 1]), every[:1], scores[i : i + 1], 10)
            for i in np.flatnonzero(truth.any(axis=1))
        ]
    )
    labeled = np.any(truth, axis=1)
    hits = truth[:, 5].astype(float)
    found, hit = bootstrap.resampled_means([values, hits], [labeled, labeled | True], DRAWS)
    wanted = looped(
        len(scores), lambda d: map_at_k(Labels.from_dense(truth[d]), every, scores[d], 10)
    )
    assert found == pytest.approx(wanted, abs=1e-12)
    assert hit == pytest.approx(looped(len(scores), lambda d: float(hits[d].mean())), abs=1e-12)


def test_a_pair_s_difference_is_surer_than_either() -> None:
    truth, scores = some_clips(50, clips=400)
    noise = np.random.default_rng(0).normal(0, 0.1, scores.shape)
    labels = Labels.from_dense(truth)
    one, other = (
        bootstrap.resampled_gap(rank(labels, None, s, 20), labels.counts, 200)
        for s in (scores, scores + noise)
    )
    errors = [bootstrap.standard_error(drawn) for drawn in (one, other, one - other)]
    assert errors[2] < 0.3 * min(errors[:2])
    # What the theory of means has to say of a score that is nearly one.
    assert 0.3 < errors[0] * 400**0.5 < 1.0


def test_long_lists_are_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, scores = some_clips(50)
    labels = Labels.from_dense(truth)
    ranking = rank(labels, None, scores, 20)
    assert len(bootstrap.resampled_gap(ranking, labels.counts)) == 1000
    monkeypatch.setattr(bootstrap, "RANKED", 300 * ranking.scores.size)
    many = bootstrap.resampled_gap(ranking, labels.counts)
    assert len(many) == 300
    monkeypatch.setattr(bootstrap, "CELLS", 1)
    assert np.array_equal(bootstrap.resampled_gap(ranking, labels.counts), many)
    monkeypatch.setattr(bootstrap, "RANKED", 0)
    assert len(bootstrap.resampled_gap(ranking, labels.counts)) == 100


def test_streamed_batches_have_the_errors_of_the_whole() -> None:
    truth, scores = some_clips(50)
    truth[3] = False
    labels = Labels.from_dense(truth)
    stream = StreamingScores(50)
    for start in range(0, len(scores), 32):
        stream.update(scores[start : start + 32], Labels.from_dense(truth[start : start + 32]))
    errors = stream.errors()
    assert errors.keys() == {f"{name}_error" for name in stream.compute()} - {"videos_error"}
    drawn = bootstrap.resampled_gap(rank(labels, None, scores, 20), labels.counts)
    assert np.array_equal(stream.resampled_gap(), drawn)
    assert errors["gap_error"] == bootstrap.standard_error(drawn)
    best = np.argsort(-scores, axis=1)
    drawn = bootstrap.resampled_map(labels, best, np.take_along_axis(scores, best, axis=1))
    assert errors["map_error"] == pytest.approx(bootstrap.standard_error(drawn))
    # Of a mean it is known without any draw.
    hits = truth[np.arange(len(truth)), best[:, 0]]
    wanted = float(hits.std() / len(hits) ** 0.5)
    assert errors["hit_at_1_error"] == pytest.approx(wanted, rel=0.1)


def test_nothing_found_is_zero_in_every_draw() -> None:
    labels = Labels.from_pairs(np.array([0, 2]), np.array([9, 9]), 4, 10)
    ranking = rank(labels, np.arange(5)[None].repeat(4, axis=0), np.ones((4, 5)), 5)
    assert not bootstrap.resampled_gap(ranking, labels.counts, DRAWS).any()
