from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ensemble import EnsembleError, WeightedScorer, combination
from ensemble.combination import best_combination
from metrics import Labels, gap
from runs import Predictions
from tests.ensemble.small import DenseGap, dense_mixture, make_members, store

NAMES = ["e", "a", "c", "b", "d"]


def of_family(dense: np.ndarray) -> dict[str, Predictions]:
    return {f"{n:03}": store(member, 40) for n, member in enumerate(dense)}


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_best_of_all_is_found(size: int, mode: str) -> None:
    dense, labels = make_members(5, 100, 40, noise=1.0)
    predictions = {name: store(member, 40) for name, member in zip(NAMES, dense, strict=True)}
    best = best_combination(predictions, labels, size, mix=mode)
    chosen = list(combinations(range(5), size))
    gaps = [
        gap(labels, None, dense_mixture(dense[list(own)], np.full(size, 1 / size), mode))
        for own in chosen
    ]
    wanted = chosen[int(np.argmax(gaps))]
    assert best.members == tuple(sorted(NAMES[member] for member in wanted))
    assert best.gap == DenseGap(dense[list(wanted)], labels, np.full(size, 1 / size), mode)
    assert best.exact and best.exhaustive
    assert best.scored == len(chosen)
    draws = np.random.default_rng(7).integers(0, 100, (200, 100))
    mixed = dense_mixture(dense[list(wanted)], np.full(size, 1 / size), mode)
    drawn = [gap(Labels.from_dense(labels.dense()[rows]), None, mixed[rows]) for rows in draws]
    assert best.error == pytest.approx(np.std(drawn), rel=0.25)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_members_are_all_taken(count: int) -> None:
    dense, labels = make_members(count, 30, 40)
    best = best_combination(of_family(dense), labels)
    assert best.members == ("000", "001", "002")[:count]
    assert best.scored == 1 and best.exhaustive


def test_of_equal_combinations_the_first_by_name_is_taken() -> None:
    dense, labels = make_members(1, 30, 40)
    predictions = {name: store(dense[0], 40) for name in NAMES}
    assert best_combination(predictions, labels).members == ("a", "b", "c")


def uneven_members(count: int, clips: int, seed: int) -> tuple[np.ndarray, Labels]:
    """Members of one kind that differ in how much they know."""
    dense, labels = make_members(count, clips, 40, seed, noise=0.0)
    generator = np.random.default_rng(seed)
    noise = generator.uniform(0.5, 2.5, count)[:, None, None]
    return (dense + noise * generator.normal(size=dense.shape)).astype(np.float32), labels


@pytest.mark.parametrize("seed", range(6))
def test_a_beam_is_as_good_as_all_combinations(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, labels = uneven_members(12, 60, seed)
    everything = best_combination(of_family(dense), labels)
    assert everything.exhaustive and everything.scored == 220
    monkeypatch.setattr(combination, "MOST_SCORED", 120)
    beam = best_combination(of_family(dense), labels)
    assert not beam.exhaustive and 12 < beam.scored <= 120
    assert beam.gap == pytest.approx(everything.gap, abs=0.002)
    own = [int(name) for name in beam.members]
    assert beam.gap == DenseGap(dense[own], labels, np.full(3, 1 / 3))
    # Greedy in the end: 12 members, 11 pairs, 10 triples.
    monkeypatch.setattr(combination, "MOST_SCORED", 10)
    greedy = best_combination(of_family(dense), labels)
    assert greedy.scored == 33 and len(greedy.members) == 3
    singles = WeightedScorer([store(member, 40) for member in dense], labels).gap(np.eye(12)).gap
    assert f"{singles.argmax():03}" in greedy.members
    assert beam.gap >= greedy.gap > singles.max()


def test_a_family_of_115_is_bounded() -> None:
    dense, labels = uneven_members(115, 100, 0)
    best = best_combination(of_family(dense), labels)
    assert not best.exhaustive
    assert 1000 < best.scored <= combination.MOST_SCORED
    own = [int(name) for name in best.members]
    assert len(set(own)) == 3
    assert best.gap == DenseGap(dense[own], labels, np.full(3, 1 / 3))


def test_no_member_is_refused() -> None:
    _, labels = make_members(1, 10, 30)
    with pytest.raises(EnsembleError, match="no member"):
        best_combination({}, labels)
