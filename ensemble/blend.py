"""A blend: the weights of a few members, and what it brings over each of them alone."""

from dataclasses import dataclass

import numpy as np

from ensemble.choice import Evidence, searched
from ensemble.config import EnsembleConfig
from ensemble.scorer import WeightedScorer
from metrics.bootstrap import standard_error


@dataclass(frozen=True)
class Score:
    """GAP@20 of a weighting, its standard error, and whether it is proven exact."""

    gap: float
    error: float
    exact: bool


@dataclass(frozen=True)
class Blended:
    """A member of a blend.

    Attributes:
        weight: Its share.
        search: What it scores alone where the weights were chosen.
        report: The same where nothing was.
        gain: What the blend has more GAP than it there; `error` is the standard error of that, over
            the same draws of the clips.
    """

    weight: float
    search: Score
    report: Score
    gain: float
    error: float


@dataclass(frozen=True)
class Blend:
    """Members with the weights that were searched for them.

    Attributes:
        members: By name; their weights are not negative and sum to 1.
        mix: What the weights mix; see `ensemble.mix`.
        method: How they were searched; see `search_weights`.
        trials: How many weightings were scored.
        search: The blend's score where the weights were chosen.
        report: The same where nothing was.
    """

    members: dict[str, Blended]
    mix: str
    method: str
    trials: int
    search: Score
    report: Score

    @property
    def weights(self) -> dict[str, float]:
        """By member."""
        return {name: own.weight for name, own in self.members.items()}


def blend(search: Evidence, report: Evidence, settings: EnsembleConfig, seed: int) -> Blend:
    """Searches weights on `search`, and scores the blend and each of its members on `report` too.

    Both are of the same members, in the same order.

    Raises:
        EnsembleError: Predictions are not of the same clips.
    """
    scorer = WeightedScorer(list(search.predictions.values()), search.labels, mix=settings.mix)
    unseen = WeightedScorer(list(report.predictions.values()), report.labels, mix=settings.mix)
    found = searched(scorer, len(search.labels), settings, seed)
    # The blend, then each member alone.
    rows = np.vstack([found.weights, np.eye(scorer.num_members)])
    on_search, (on_report, drawn) = _scores(scorer, rows)[0], _scores(unseen, rows)
    members = {
        name: Blended(
            weight,
            on_search[place],
            on_report[place],
            on_report[0].gap - on_report[place].gap,
            standard_error(drawn[0] - drawn[place]),
        )
        for place, (name, weight) in enumerate(
            zip(search.predictions, found.weights.tolist(), strict=True), 1
        )
    }
    return Blend(members, settings.mix, settings.method, found.trials, on_search[0], on_report[0])


def _scores(scorer: WeightedScorer, rows: np.ndarray) -> tuple[list[Score], np.ndarray]:
    """The scores of weightings (W, M), and GAP of each of the draws (W, R)."""
    found = scorer.gap(rows)
    drawn = np.stack([scorer.resampled_gap(row) for row in rows])
    figures = zip(found.gap.tolist(), drawn, found.exact.tolist(), strict=True)
    return [Score(gap, standard_error(own), exact) for gap, own, exact in figures], drawn
