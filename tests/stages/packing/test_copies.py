"""How much of the gain of folds' models is left to models that differ by their seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit

from runs import Predictions
from stages.packing.copies import Gain, SeedVariance

CLIPS, LABELS, WEIGHTS = 300, 12, {"a": 0.5, "b": 0.3, "c": 0.2}


def predictions(probabilities: np.ndarray) -> Predictions:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return Predictions(
        np.array([f"clip{row}" for row in range(len(probabilities))]),
        order.astype(np.uint16),
        np.take_along_axis(logit(probabilities), order, axis=1).astype(np.float32),
        np.full(len(probabilities), -np.inf, np.float32),
        np.zeros(len(probabilities), np.float32),
        probabilities.shape[1],
    )


def several(
    generator: np.random.Generator, models: int, shared: np.ndarray | None = None
) -> list[np.ndarray]:
    """Models that err each by itself, or as is given."""
    truth = np.random.default_rng(0).uniform(0.2, 0.8, (CLIPS, LABELS))
    errors = generator.normal(0, 0.02, (models, CLIPS, LABELS)) if shared is None else shared
    return list(truth + errors)


def variance(made: dict[str, list[np.ndarray]], by_seed: dict[str, list[np.ndarray]]) -> float:
    found = SeedVariance(
        {name: [predictions(own) for own in models] for name, models in made.items()},
        {name: [predictions(own) for own in models] for name, models in by_seed.items()},
    )
    return found.share(WEIGHTS)


def test_where_folds_err_as_seeds_do_a_mean_is_worth_the_same() -> None:
    generator = np.random.default_rng(1)
    by_fold, by_seed = ({name: several(generator, 3) for name in WEIGHTS} for _ in range(2))
    assert variance(by_fold, by_seed) == pytest.approx(1, abs=0.05)


def test_what_all_members_of_a_fold_err_alike_no_seeds_mend() -> None:
    generator = np.random.default_rng(2)
    shared = generator.normal(0, 0.02, (3, CLIPS, LABELS))
    by_fold = {name: several(generator, 3, shared) for name in WEIGHTS}
    by_seed = {name: several(generator, 4) for name in WEIGHTS}
    # Errors of one size: a mix has the sum of the squares of its weights of it.
    wanted = sum(weight**2 for weight in WEIGHTS.values())
    assert variance(by_fold, by_seed) == pytest.approx(wanted, rel=0.05)
    # And by plain loops over what is mixed.
    mixes = [np.sum([w * by_fold[n][fold] for n, w in WEIGHTS.items()], 0) for fold in range(3)]
    of_folds = np.var(mixes, axis=0, ddof=1).mean()
    of_seeds = sum(w**2 * np.var(by_seed[n], axis=0, ddof=1).mean() for n, w in WEIGHTS.items())
    assert variance(by_fold, by_seed) == pytest.approx(of_seeds / of_folds, rel=1e-5)


def test_members_without_copies_do_not_count() -> None:
    generator = np.random.default_rng(3)
    by_fold = {name: several(generator, 2) for name in WEIGHTS}
    by_seed = {name: several(generator, 1 if name == "a" else 2) for name in WEIGHTS}
    of_two = variance(by_fold, by_seed)
    assert variance(by_fold | {"a": several(generator, 2)}, by_seed) == of_two
    assert variance(by_fold, {name: models[:1] for name, models in by_seed.items()}) == 0
    assert variance({name: [own[0]] * 2 for name, own in by_fold.items()}, by_seed) == 0


def test_a_part_of_a_gain_has_that_part_of_its_error() -> None:
    assert Gain(3, 0.01, 0.002).times(0.25) == Gain(3, 0.0025, 0.0005)
