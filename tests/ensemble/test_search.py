from __future__ import annotations

import numpy as np
import optuna
import pytest
from scipy import stats

from ensemble import EnsembleError, WeightedScorer, search_weights
from metrics import Labels
from tests.ensemble.small import make_members, store

METHODS = ["random", "greedy", "optuna"]


@pytest.fixture(scope="module")
def scorer() -> WeightedScorer:
    """Three members, of which the second knows nothing."""
    dense, labels = make_members(3, 150, 60, noise=1.5)
    dense[1] = np.random.default_rng(1).normal(-5, 3, size=dense[1].shape)
    return WeightedScorer([store(member, 60) for member in dense], labels)


@pytest.mark.parametrize("method", METHODS)
def test_a_useless_member_is_given_little(scorer: WeightedScorer, method: str) -> None:
    result = search_weights(scorer, method, trials=60, seed=0)
    assert result.gap > result.flat_gap + 0.01
    assert result.weights[1] < 0.2
    assert result.weights.sum() == pytest.approx(1)
    assert (result.weights >= 0).all()
    assert result.method == method


@pytest.mark.parametrize("method", METHODS)
def test_the_result_is_what_the_scorer_says(scorer: WeightedScorer, method: str) -> None:
    result = search_weights(scorer, method, trials=30, seed=1)
    again = scorer.gap(np.stack([result.weights, np.full(3, 1 / 3)]))
    assert [result.gap, result.flat_gap] == pytest.approx(again.gap.tolist(), abs=1e-9)
    assert result.exact == again.exact[0]
    assert result.history[0] == result.flat_gap
    assert result.history.max() == result.gap
    assert len(result.history) == result.trials <= 30


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_finds_the_same(scorer: WeightedScorer, method: str) -> None:
    first, second = (search_weights(scorer, method, trials=25, seed=3) for _ in range(2))
    assert (first.weights == second.weights).all()
    assert (first.history == second.history).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trials", [1, 2, 7])
def test_few_trials_are_kept_to(scorer: WeightedScorer, method: str, trials: int) -> None:
    result = search_weights(scorer, method, trials=trials)
    assert result.trials <= trials
    assert result.gap >= result.flat_gap


@pytest.mark.parametrize("method", METHODS)
def test_one_member_gets_all(method: str) -> None:
    dense, labels = make_members(1, 20, 30)
    result = search_weights(WeightedScorer([store(dense[0], 30)], labels), method, trials=10)
    assert result.weights.tolist() == [1.0]
    assert result.gap == result.flat_gap
    assert result.trials == 1


def test_flat_searches_nothing(scorer: WeightedScorer) -> None:
    result = search_weights(scorer, "flat", trials=50)
    assert result.weights == pytest.approx([1 / 3] * 3)
    assert result.trials == 1 and result.gap == result.flat_gap


def test_many_members_can_be_searched() -> None:
    dense, labels = make_members(12, 40, 30)
    result = search_weights(
        WeightedScorer([store(member, 30) for member in dense], labels), trials=200
    )
    assert result.trials == 200
    assert result.gap >= result.flat_gap


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
    scorer = WeightedScorer(
        [store(member, 30) for member in dense], Labels.from_lists([[0]] * 4, 30)
    )
    result = search_weights(scorer, trials=20)
    assert result.weights.tolist() == [0.5, 0.5]
    assert result.gap == result.flat_gap == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_good_start_is_not_lost(scorer: WeightedScorer, method: str) -> None:
    start = search_weights(scorer, trials=300).weights
    result = search_weights(scorer, method, trials=5, start=start)
    assert result.gap >= scorer.gap(start[None]).gap[0]
    assert result.trials <= 5
    assert result.history[1] == pytest.approx(scorer.gap(start[None]).gap[0], abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_entropy_counts_beside_the_gap(scorer: WeightedScorer, method: str) -> None:
    plain = search_weights(scorer, method, trials=100)
    even = search_weights(scorer, method, trials=100, bonus=0.02)
    assert even.flat_gap == plain.flat_gap
    assert even.history[0] == pytest.approx(plain.flat_gap + 0.02 * np.log(3))
    own = even.gap + 0.02 * shannon(even.weights)
    assert even.history.max() == pytest.approx(own, abs=1e-9)
    assert own >= plain.gap + 0.02 * shannon(plain.weights) - 0.002
    nothing_else = search_weights(scorer, method, trials=100, bonus=10.0)
    assert nothing_else.weights == pytest.approx([1 / 3] * 3, abs=0.05)


def shannon(weights: np.ndarray) -> float:
    """Entropy in nats, by scipy."""
    return float(stats.entropy(weights))
