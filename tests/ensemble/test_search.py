from __future__ import annotations

import numpy as np
import optuna
import pytest
from scipy import stats

from common.studies import studies_kept
from ensemble import EnsembleError, WeightedScorer, search_weights
from tests.ensemble.small import make_members, store
from tests.metrics.lists import from_lists

METHODS = ["random", "greedy", "optuna"]


class Recorder(WeightedScorer):
    """Remembers every weighting that it scored, and its GAP."""

    def start(self) -> Recorder:
        self.tried = np.zeros((0, self.num_members))
        self.gaps = np.zeros(0)
        return self

    def search_gap(self, weights: np.ndarray) -> np.ndarray:
        found = super().search_gap(weights)
        assert found.tolist() == self.gap(weights).gap.tolist()
        self.tried = np.concatenate([self.tried, weights])
        self.gaps = np.concatenate([self.gaps, found])
        return found


@pytest.fixture(scope="module")
def members() -> Recorder:
    """Three members, of which the second knows nothing."""
    dense, labels = make_members(3, 150, 60, noise=1.5)
    dense[1] = np.random.default_rng(1).normal(-5, 3, size=dense[1].shape)
    return Recorder([store(member, 60) for member in dense], labels)


@pytest.fixture
def scorer(members: Recorder) -> Recorder:
    return members.start()


def gap_of(scorer: WeightedScorer, weights: np.ndarray) -> float:
    return float(WeightedScorer.gap(scorer, weights[None]).gap[0])


def flat_gap(scorer: WeightedScorer) -> float:
    return gap_of(scorer, np.full(scorer.num_members, 1 / scorer.num_members))


@pytest.mark.parametrize("method", METHODS)
def test_a_useless_member_is_given_little(scorer: WeightedScorer, method: str) -> None:
    result = search_weights(scorer, method, trials=60, seed=0)
    assert gap_of(scorer, result.weights) > flat_gap(scorer) + 0.01
    assert result.weights[1] < 0.2
    assert result.weights.sum() == pytest.approx(1)
    assert (result.weights >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_result_is_the_best_that_was_scored(scorer: Recorder, method: str) -> None:
    result = search_weights(scorer, method, trials=30, seed=1)
    assert scorer.gaps[0] == flat_gap(scorer)
    assert scorer.gaps.max() == pytest.approx(gap_of(scorer, result.weights), abs=1e-9)
    assert result.weights == pytest.approx(scorer.tried[scorer.gaps.argmax()], abs=1e-12)
    assert len(scorer.gaps) == result.trials <= 30


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_finds_the_same(scorer: Recorder, method: str) -> None:
    first = search_weights(scorer, method, trials=25, seed=3)
    tried = scorer.tried
    second = search_weights(scorer.start(), method, trials=25, seed=3)
    assert (first.weights == second.weights).all()
    assert (tried == scorer.tried).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trials", [1, 2, 7])
def test_few_trials_are_kept_to(scorer: Recorder, method: str, trials: int) -> None:
    result = search_weights(scorer, method, trials=trials)
    assert len(scorer.gaps) == result.trials <= trials
    assert gap_of(scorer, result.weights) >= flat_gap(scorer)


@pytest.mark.parametrize("method", METHODS)
def test_one_member_gets_all(method: str) -> None:
    dense, labels = make_members(1, 20, 30)
    result = search_weights(WeightedScorer([store(dense[0], 30)], labels), method, trials=10)
    assert result.weights.tolist() == [1.0]
    assert result.trials == 1


def test_flat_searches_nothing(scorer: WeightedScorer) -> None:
    result = search_weights(scorer, "flat", trials=50)
    assert result.weights == pytest.approx([1 / 3] * 3)
    assert result.trials == 1


def test_many_members_can_be_searched() -> None:
    dense, labels = make_members(12, 40, 30)
    scorer = WeightedScorer([store(member, 30) for member in dense], labels)
    result = search_weights(scorer, trials=200)
    assert result.trials == 200
    assert gap_of(scorer, result.weights) >= flat_gap(scorer)


def test_optuna_keeps_its_verbosity(scorer: WeightedScorer) -> None:
    before = optuna.logging.get_verbosity()
    search_weights(scorer, "optuna", trials=3)
    assert optuna.logging.get_verbosity() == before


def test_wrong_input_is_refused(scorer: WeightedScorer) -> None:
    with pytest.raises(EnsembleError, match=r"'grid'.*random, greedy, optuna"):
        search_weights(scorer, "grid")
    with pytest.raises(EnsembleError, match="trials = 0"):
        search_weights(scorer, trials=0)


def test_the_flat_mean_is_kept_where_nothing_is_better() -> None:
    dense = np.tile(np.linspace(5, -5, 30, dtype=np.float32), (2, 4, 1))
    scorer = WeightedScorer([store(member, 30) for member in dense], from_lists([[0]] * 4, 30))
    result = search_weights(scorer, trials=20)
    assert result.weights.tolist() == [0.5, 0.5]
    assert flat_gap(scorer) == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_good_start_is_not_lost(scorer: Recorder, method: str) -> None:
    start = search_weights(scorer, trials=300).weights
    result = search_weights(scorer.start(), method, trials=5, start=start)
    assert gap_of(scorer, result.weights) >= gap_of(scorer, start)
    assert result.trials <= 5
    assert (scorer.tried[1] == start).all()


@pytest.mark.parametrize("method", METHODS)
def test_entropy_counts_beside_the_gap(scorer: Recorder, method: str) -> None:
    plain = search_weights(scorer, method, trials=100)
    even = search_weights(scorer.start(), method, trials=100, bonus=0.02)
    assert shannon(scorer.tried[0]) == pytest.approx(np.log(3))
    worth = [gap + 0.02 * shannon(row) for gap, row in zip(scorer.gaps, scorer.tried, strict=True)]
    own = gap_of(scorer, even.weights) + 0.02 * shannon(even.weights)
    assert max(worth) == pytest.approx(own, abs=1e-9)
    assert own >= gap_of(scorer, plain.weights) + 0.02 * shannon(plain.weights) - 0.002
    nothing_else = search_weights(scorer, method, trials=100, bonus=10.0)
    assert nothing_else.weights == pytest.approx([1 / 3] * 3, abs=0.05)


def shannon(weights: np.ndarray) -> float:
    """Entropy in nats, by scipy."""
    return float(stats.entropy(weights))


def test_a_studys_trials_are_handed_over_and_change_nothing(scorer: WeightedScorer) -> None:
    kept: dict[str, optuna.Study] = {}
    with studies_kept(kept.__setitem__):
        found = search_weights(scorer, "optuna", trials=12)
        search_weights(scorer, "random", trials=12)
    assert list(kept) == ["weights"] and len(kept["weights"].trials) == 11
    alone = search_weights(scorer, "optuna", trials=12)
    assert np.array_equal(found.weights, alone.weights)
