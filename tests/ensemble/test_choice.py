from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from common.codec import from_plain, to_plain
from ensemble import WeightedScorer, search_weights
from ensemble.choice import Choice, Evidence, choose
from ensemble.config import EnsembleConfig
from ensemble.search import SearchResult
from metrics import Labels, gap
from metrics.bootstrap import resampled_gap, standard_error
from metrics.ranking import rank
from tests.ensemble.small import DenseGap, dense_mixture, make_members, store

FAMILIES = {"a": "one", "b": "one", "c": "other", "d": "one", "e": "one"}


def evidence(dense: np.ndarray, labels: Labels, names: str) -> Evidence:
    predictions = {name: store(member, 25) for name, member in zip(names, dense, strict=True)}
    return Evidence(predictions, labels)


@pytest.fixture(scope="module")
def choice() -> Choice:
    """Of five members, whose splits are of different clips."""
    settings = EnsembleConfig(trials=100, teacher_size=2)
    search, report = (evidence(*make_members(5, 60, 25, seed, 1.0), "abcde") for seed in (0, 1))
    return choose(search, report, FAMILIES, settings, seed=3)


def test_each_family_has_a_teacher_of_its_own_members(choice: Choice) -> None:
    dense, labels = make_members(5, 60, 25, 0, 1.0)
    assert list(choice.families) == ["one", "other"]
    assert choice.families["other"].members == ("c",)
    first, second = ("abcde".index(name) for name in choice.families["one"].members)
    assert "c" not in choice.families["one"].members
    assert choice.families["one"].gap == DenseGap(dense[[first, second]], labels, [0.5, 0.5])
    assert choice.families["one"].scored == 6


def test_it_is_scored_where_nothing_was_chosen(choice: Choice) -> None:
    assert list(choice.weights) == list("abcde")
    weights, flat = list(choice.weights.values()), [0.2] * 5
    for seed, scores in ((0, choice.search), (1, choice.report)):
        dense, labels = make_members(5, 60, 25, seed, 1.0)
        assert scores.gap == DenseGap(dense, labels, weights)
        assert scores.flat_gap == DenseGap(dense, labels, flat)
        assert scores.exact and scores.flat_exact
    assert choice.trials == 100 and choice.method == "random"


def test_scores_have_their_errors_and_that_of_their_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense, labels = make_members(4, 60, 25, noise=1.5)
    search = evidence(dense, labels, "abcd")
    weights = np.array([0.7, 0.1, 0.1, 0.1])
    found = SearchResult(weights, trials=1)
    monkeypatch.setattr("ensemble.choice.search_weights", lambda *args, **settings: found)
    scores = choose(search, search, FAMILIES, EnsembleConfig(), seed=0).search
    drawn, flat_drawn = (
        resampled_gap(rank(labels, None, dense_mixture(dense, w), 20), labels.counts)
        for w in (weights, [0.25] * 4)
    )
    assert scores.error == pytest.approx(standard_error(drawn), rel=1e-3)
    assert scores.flat_error == pytest.approx(standard_error(flat_drawn), rel=1e-3)
    assert scores.gain_error == pytest.approx(standard_error(drawn - flat_drawn), rel=1e-2)
    assert scores.gain_error < 0.5 * min(scores.error, scores.flat_error)


def test_the_weights_earn_the_bonus_that_packing_gives() -> None:
    dense, labels = make_members(4, 60, 25, noise=1.5)
    dense[1] = np.random.default_rng(1).normal(-5, 3, size=dense[1].shape)
    search = evidence(dense, labels, "abcd")
    choice = choose(search, search, FAMILIES, EnsembleConfig(trials=400), seed=0)
    scorer = WeightedScorer([store(member, 25) for member in dense], labels)
    plain = search_weights(scorer, trials=400)
    weights = np.array(list(choice.weights.values()))

    def worth(gap: float, weights: np.ndarray) -> float:
        return gap + 2.5 / 60 * float(stats.entropy(weights))

    plain_gap = float(scorer.gap(plain.weights[None]).gap[0])
    assert worth(choice.search.gap, weights) > worth(plain_gap, plain.weights)
    assert choice.search.gap < plain_gap
    assert stats.entropy(weights) > stats.entropy(plain.weights)


def test_what_is_mixed_decides_a_family_s_teacher() -> None:
    # Two members are four times as sure as they should be: means of probabilities are theirs.
    dense, labels = make_members(4, 60, 25, seed=13, noise=2.5)
    dense[:2] *= 4
    search = evidence(dense, labels, "abde")

    def teacher(settings: EnsembleConfig) -> tuple[str, ...]:
        return choose(search, search, FAMILIES, settings, seed=0).families["one"].members

    settings = EnsembleConfig(method="flat", teacher_size=2)
    assert teacher(settings) == ("b", "d")
    assert teacher(replace(settings, mix="log_odds")) == ("a", "b")
    in_log_odds = [
        gap(labels, None, dense_mixture(dense[pair], [0.5, 0.5], "log_odds"))
        for pair in ([1, 2], [0, 1])
    ]
    assert in_log_odds == pytest.approx([0.654, 0.719], abs=5e-4)


def test_it_is_read_as_it_was_written(choice: Choice) -> None:
    assert from_plain(Choice, json.loads(json.dumps(to_plain(choice))), "choice") == choice
