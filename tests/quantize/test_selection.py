"""The subset under the budget, against trying every subset."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
import torch

from ensemble import WeightedScorer, search_weights
from metrics import Labels
from quantize import BudgetError, Candidate, select_members
from runs import PredictionsWriter

CLIPS, LABELS = 60, 12
SIZES = {f"m{number}": 100 + 37 * number for number in range(14)}


def truth() -> tuple[np.ndarray, Labels]:
    dense = np.random.default_rng(0).random((CLIPS, LABELS)) < 0.15
    rows, columns = np.nonzero(dense)
    return dense, Labels.from_pairs(rows, columns, CLIPS, LABELS)


def candidates(count: int) -> list[Candidate]:
    """Noisy views of the truth, each better than the one before."""
    dense, _ = truth()
    made = []
    for number in range(count):
        noise = np.random.default_rng(number + 1).normal(0, 1.5 - 0.05 * number, dense.shape)
        writer = PredictionsWriter(LABELS, LABELS)
        writer.append(
            [str(row) for row in range(CLIPS)],
            torch.from_numpy((dense * 2.0 - 2.0 + noise).astype(np.float32)),
        )
        made.append(Candidate(f"m{number}", writer.finish()))
    return made


def size(names: Sequence[str]) -> int:
    return 50 + sum(SIZES[name] for name in names)


def test_all_go_in_when_they_fit() -> None:
    chosen = select_members(candidates(3), truth()[1], size(["m0", "m1", "m2"]), size, trials=50)
    assert len(chosen.tried) == 1
    assert chosen.tried[0].names == ("m0", "m1", "m2")
    assert sum(chosen.weights.values()) == pytest.approx(1.0)
    assert all(weight > 0 for weight in chosen.weights.values())
    assert chosen.size == size(list(chosen.weights))


def test_one_byte_less_leaves_one_out() -> None:
    budget = size(["m0", "m1", "m2"]) - 1
    chosen = select_members(candidates(3), truth()[1], budget, size, trials=50)
    assert {entry.names for entry in chosen.tried} == {("m0", "m1"), ("m0", "m2"), ("m1", "m2")}
    assert chosen.size <= budget
    gaps = [entry.gap for entry in chosen.tried]
    assert gaps == sorted(gaps, reverse=True) and chosen.gap == gaps[0]


@pytest.mark.parametrize("budget", [200, 400, 640])
def test_the_best_of_all_subsets_is_found(budget: int) -> None:
    members, labels = candidates(4), truth()[1]
    best = 0.0
    for count in range(1, 5):
        for subset in combinations(members, count):
            if size([member.name for member in subset]) <= budget:
                scorer = WeightedScorer([member.predictions for member in subset], labels)
                best = max(best, search_weights(scorer, "random", trials=60, seed=3).gap)
    chosen = select_members(members, labels, budget, size, trials=60, seed=3)
    assert chosen.gap >= best - 0.003
    assert chosen.size <= budget
    for entry in chosen.tried:
        spare = budget - entry.size
        assert all(SIZES[m.name] > spare for m in members if m.name not in entry.names)


def test_the_weights_score_what_is_said() -> None:
    members, labels = candidates(4), truth()[1]
    chosen = select_members(members, labels, 500, size, trials=60)
    used = [member for member in members if member.name in chosen.weights]
    scorer = WeightedScorer([member.predictions for member in used], labels)
    weights = np.array([[chosen.weights[member.name] for member in used]])
    assert float(scorer.gap(weights).gap[0]) == pytest.approx(chosen.gap, abs=1e-12)


def test_many_candidates_are_dropped_and_added() -> None:
    members, labels = candidates(14), truth()[1]
    for budget in (size(["m13"]), 1_500, 3_000):
        chosen = select_members(members, labels, budget, size, trials=30)
        assert chosen.size <= budget
        assert len(chosen.tried) <= 2
        for entry in chosen.tried:
            spare = budget - entry.size
            assert all(SIZES[m.name] > spare for m in members if m.name not in entry.names)


def test_the_same_call_chooses_the_same() -> None:
    one, other = (
        select_members(candidates(4), truth()[1], 500, size, trials=40, seed=5) for _ in range(2)
    )
    assert one == other


def test_members_that_never_fit_are_left_out() -> None:
    chosen = select_members(candidates(12), truth()[1], size(["m0"]), size, trials=10)
    assert list(chosen.weights) == ["m0"]


def test_none_fits() -> None:
    with pytest.raises(BudgetError) as caught:
        select_members(candidates(2), truth()[1], 149, size)
    message = str(caught.value)
    assert "budget=149" in message and "m0 150" in message and "m1 187" in message
    assert "at least 150" in message and "\n" not in message


def test_no_candidates() -> None:
    with pytest.raises(BudgetError, match="no members"):
        select_members([], truth()[1], 100, size)
