"""Ways to the weights of an ensemble: ours, and AutoGluon's."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch

from ensemble import WeightedScorer, search_weights
from ensemble.config import EnsembleConfig
from ensemble.evenness import entropy_bonus
from metrics import Labels, gap
from runs import Predictions

# As GreedyWeightedEnsembleModel of autogluon.core 1.6 sets it.
ROUNDS = 25
FLAT, OURS = "flat mean", "random search, entropy bonus"

# From predictions of the same clips and what is true of these to weights (M,), their sum 1.
Method = Callable[[Sequence[Predictions], Labels], np.ndarray]


def flat(members: Sequence[Predictions], labels: Labels) -> np.ndarray:
    """The same for all."""
    return np.full(len(members), 1 / len(members))


def searched(members: Sequence[Predictions], labels: Labels, *, evenness: bool) -> np.ndarray:
    """At random, with as many trials as a run has by default; with the entropy bonus or without."""
    bonus = entropy_bonus(len(labels)) if evenness else 0.0
    scorer = WeightedScorer(members, labels)
    return search_weights(scorer, trials=EnsembleConfig().trials, bonus=bonus).weights


def greedy(members: Sequence[Predictions], labels: Labels) -> np.ndarray:
    """Ours, in as many rounds as AutoGluon's; the flat mean is a trial more."""
    scorer = WeightedScorer(members, labels)
    return search_weights(scorer, "greedy", trials=1 + ROUNDS * len(members)).weights


def autogluon(members: Sequence[Predictions], labels: Labels) -> np.ndarray:
    """By AutoGluon's greedy ensemble selection (Caruana et al. 2004), on dense probabilities.

    What a member did not store has its bound. The sum of a clip's probabilities is not 1 here, so
    it is told that the problem is binary: only then it does not scale them.
    """
    from autogluon.core.metrics import make_scorer
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    def score(truth: Labels, probabilities: np.ndarray) -> float:
        return gap(truth, None, probabilities)

    dense = [torch.from_numpy(own.to_dense()).sigmoid_().numpy() for own in members]
    selection = EnsembleSelection(ROUNDS, "binary", make_scorer("gap", score, needs_proba=True))
    return np.asarray(selection.fit(dense, labels).weights_)


def available() -> dict[str, Method]:
    """All by name; AutoGluon's only where it is installed."""
    methods: dict[str, Method] = {
        FLAT: flat,
        OURS: partial(searched, evenness=True),
        "random search": partial(searched, evenness=False),
        "greedy": greedy,
    }
    if find_spec("autogluon"):
        methods["AutoGluon"] = autogluon
    return methods
