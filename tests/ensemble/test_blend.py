"""Blends, held against the dense mixture of their members."""

from __future__ import annotations

import json

import numpy as np
import pytest

from common.codec import from_plain, to_plain
from ensemble.blend import Blend, blend
from ensemble.choice import Evidence
from ensemble.config import EnsembleConfig
from metrics import Labels, gap
from metrics.bootstrap import resampled_gap, standard_error
from metrics.ranking import rank
from tests.ensemble.small import DenseGap, dense_mixture, make_members, store

NAMES = ("bundle", "theirs", "bad")


def members(seed: int) -> tuple[np.ndarray, Labels]:
    dense, labels = make_members(3, 60, 25, seed, 1.0)
    dense[2] = np.random.default_rng(seed).normal(-5, 2, dense[2].shape)
    return dense, labels


def evidence(seed: int) -> Evidence:
    dense, labels = members(seed)
    return Evidence({n: store(own, 25) for n, own in zip(NAMES, dense, strict=True)}, labels)


@pytest.fixture(scope="module")
def found() -> Blend:
    return blend(evidence(0), evidence(1), EnsembleConfig(trials=200), seed=3)


def test_weights_are_those_of_the_search(found: Blend) -> None:
    assert list(found.weights) == list(NAMES)
    assert sum(found.weights.values()) == pytest.approx(1)
    assert found.weights["bad"] < 0.05
    assert (found.method, found.trials, found.mix) == ("random", 200, "probability")
    assert found.search.gap > max(own.search.gap for own in found.members.values())


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_are_those_of_the_dense_mixture(found: Blend, seed: int) -> None:
    dense, labels = members(seed)
    score = (found.search, found.report)[seed]
    assert score.gap == DenseGap(dense, labels, list(found.weights.values()))
    assert score.exact
    for own, member in zip(found.members.values(), dense, strict=True):
        alone = (own.search, own.report)[seed]
        assert alone.gap == pytest.approx(gap(labels, None, member), abs=1e-6)


def test_errors_are_those_of_the_same_draws(found: Blend) -> None:
    dense, labels = members(1)
    mixed = dense_mixture(dense, list(found.weights.values()))

    def drawn(scores: np.ndarray) -> np.ndarray:
        every = np.tile(np.arange(25), (60, 1))
        return resampled_gap(rank(labels, every, scores, 20), labels.counts)

    theirs = found.members["theirs"]
    assert found.report.error == pytest.approx(standard_error(drawn(mixed)), rel=1e-4)
    assert theirs.gain == pytest.approx(found.report.gap - theirs.report.gap)
    paired = standard_error(drawn(mixed) - drawn(dense[1].astype(np.float64)))
    assert theirs.error == pytest.approx(paired, rel=1e-3)


def test_it_is_read_as_it_was_written(found: Blend) -> None:
    assert from_plain(Blend, json.loads(json.dumps(to_plain(found))), "blend") == found
