"""The teacher of a family: the few members whose flat mean scores best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ensemble.errors import EnsembleError
from ensemble.scorer import WeightedScorer
from metrics import Labels
from runs.predictions import Predictions


@dataclass(frozen=True)
class Combination:
    """One combination of members and the score of its flat mean.

    Attributes:
        names: The members, sorted.
        gap: GAP@20 of their flat mean.
        exact: Whether that is proven to be the dense score; see `WeightedScorer`.
    """

    names: tuple[str, ...]
    gap: float
    exact: bool


@dataclass(frozen=True)
class Teacher:
    """The best combination, and the table of all, best first."""

    names: tuple[str, ...]
    gap: float
    table: tuple[Combination, ...]


def best_combination(
    predictions: Mapping[str, Predictions],
    labels: Labels,
    size: int = 3,
    mix: str = "probability",
) -> Teacher:
    """Scores the flat mean of every combination of members (Skalic & Austin 2018, section 4).

    Args:
        predictions: The members' predictions on the search split, by name.
        labels: The true labels of its clips.
        size: Members in a combination; all of them where there are fewer.
        mix: "probability" or "log_odds".

    Raises:
        EnsembleError: There is no member, or the predictions are not of the same clips.
    """
    if not predictions:
        raise EnsembleError("no member to make a teacher of")
    names = sorted(predictions)
    size = min(size, len(names))
    chosen = list(combinations(range(len(names)), size))
    weights = np.zeros((len(chosen), len(names)))
    for row, members in zip(weights, chosen, strict=True):
        row[list(members)] = 1 / size
    scorer = WeightedScorer([predictions[name] for name in names], labels, mix=mix)
    result = scorer.gap(weights)
    table = [
        Combination(tuple(names[member] for member in members), float(gap), bool(exact))
        for members, gap, exact in zip(chosen, result.gap, result.exact, strict=True)
    ]
    table.sort(key=lambda one: (-one.gap, one.names))
    return Teacher(table[0].names, table[0].gap, tuple(table))
