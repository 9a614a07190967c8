"""What is chosen before anything is distilled: each family's teacher, and the weights of all."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensemble.combination import Combination, best_combination
from ensemble.config import EnsembleConfig
from ensemble.evenness import entropy_bonus
from ensemble.scorer import WeightedScorer
from ensemble.search import SearchResult, search_weights
from metrics import Labels
from metrics.bootstrap import standard_error
from runs.predictions import Predictions


@dataclass(frozen=True)
class Evidence:
    """What members say of one split's clips, and what is true of them."""

    predictions: Mapping[str, Predictions]
    labels: Labels


@dataclass(frozen=True)
class Scores:
    """GAP@20 of the searched weights and of the flat mean; whether each is proven exact.

    Standard errors are of either, and of what the searched weights have more.
    """

    gap: float
    exact: bool
    error: float
    flat_gap: float
    flat_exact: bool
    flat_error: float
    gain_error: float


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what it scores.

    Attributes:
        families: By family, its best combination of members: its teacher.
        weights: By member, not negative, their sum 1.
        method: How the weights were searched; see `search_weights`.
        trials: How many weightings were scored.
        search: Scores where they were chosen.
        report: Scores where nothing was.
    """

    families: dict[str, Combination]
    weights: dict[str, float]
    method: str
    trials: int
    search: Scores
    report: Scores


def choose(
    search: Evidence,
    report: Evidence,
    families: Mapping[str, str],
    settings: EnsembleConfig,
    seed: int,
) -> Choice:
    """Chooses on `search`, then scores what was chosen on `report`.

    Both are of the same members, in the same order; `families` has the family of each.

    Raises:
        EnsembleError: Predictions are not of the same clips.
    """
    scorer = WeightedScorer(list(search.predictions.values()), search.labels, mix=settings.mix)
    found = searched(scorer, len(search.labels), settings, seed)
    teachers = {}
    for family in dict.fromkeys(families[name] for name in search.predictions):
        own = {n: p for n, p in search.predictions.items() if families[n] == family}
        teachers[family] = best_combination(
            own, search.labels, settings.teacher_size, mix=settings.mix
        )
    unseen = WeightedScorer(list(report.predictions.values()), report.labels, mix=settings.mix)
    return Choice(
        families=teachers,
        weights=dict(zip(search.predictions, found.weights.tolist(), strict=True)),
        method=settings.method,
        trials=found.trials,
        search=_scores(scorer, found.weights),
        report=_scores(unseen, found.weights),
    )


def searched(
    scorer: WeightedScorer, clips: int, settings: EnsembleConfig, seed: int
) -> SearchResult:
    """The weights of members that were scored on so many clips."""
    return search_weights(
        scorer,
        settings.method,
        trials=settings.trials,
        seed=seed,
        bonus=entropy_bonus(clips),
    )


def _scores(scorer: WeightedScorer, weights: np.ndarray) -> Scores:
    flat = np.full(len(weights), 1 / len(weights))
    scored = scorer.gap(np.stack([weights, flat]))
    (gap, flat_gap), (exact, flat_exact) = scored.gap.tolist(), scored.exact.tolist()
    drawn, flat_drawn = scorer.resampled_gap(weights), scorer.resampled_gap(flat)
    return Scores(
        gap=gap,
        exact=exact,
        error=standard_error(drawn),
        flat_gap=flat_gap,
        flat_exact=flat_exact,
        flat_error=standard_error(flat_drawn),
        gain_error=standard_error(drawn - flat_drawn),
    )
