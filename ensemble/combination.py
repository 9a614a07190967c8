"""The teacher of a family: the few members whose flat mean scores best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from ensemble.errors import EnsembleError
from ensemble.scorer import GapResult, WeightedScorer
from metrics import Labels
from metrics.bootstrap import standard_error
from runs.predictions import Predictions

# Combinations that are scored for one family. At 116,000 clips one takes about 0.4 seconds on two
# cores, so that 2,000 take 13 minutes. All triples of up to 23 members are fewer.
MOST_SCORED = 2000


@dataclass(frozen=True)
class Combination:
    """The best combination of a family's members that was found.

    Attributes:
        members: Their names, sorted.
        gap: GAP@20 of their flat mean; `error` is its standard error.
        exact: Whether that is proven to be the dense score; see `WeightedScorer`.
        scored: How many combinations were scored, smaller ones among them.
        exhaustive: Whether these are all that there are of this size.
    """

    members: tuple[str, ...]
    gap: float
    error: float
    exact: bool
    scored: int
    exhaustive: bool


def best_combination(
    predictions: Mapping[str, Predictions],
    labels: Labels,
    size: int = 3,
    mix: str = "probability",
) -> Combination:
    """Finds the members whose flat mean scores best (Skalic & Austin 2018, section 4).

    Up to `MOST_SCORED` combinations are all scored. Of more than that, the best combinations of one
    member grow by every other member, the best of those again, and so on to `size`: a beam, as
    wide as `MOST_SCORED` allows, and greedy in the end. Combinations of equal GAP rank by name.

    Args:
        predictions: The members', by name, on the search split.
        labels: The true labels of its clips.
        size: Members in a combination; all of them where there are fewer.
        mix: "probability" or "log_odds".

    Raises:
        EnsembleError: There is no member, or the predictions are not of the same clips.
    """
    if not predictions:
        raise EnsembleError("no member to make a teacher of")
    names = sorted(predictions)
    members = len(names)
    size = min(size, members)
    scorer = WeightedScorer([predictions[name] for name in names], labels, mix=mix)
    exhaustive = size == 1 or comb(members, size) <= MOST_SCORED
    tried = list(combinations(range(members), size if exhaustive else 1))
    found = _flat_means(scorer, tried)
    scored = len(tried)
    while len(tried[0]) < size:
        width = max(1, (MOST_SCORED - members) // (members * (size - 1)))
        kept = [tried[place] for place in np.argsort(-found.gap, kind="stable")[:width]]
        grown = {(*c, member) for c in kept for member in range(members) if member not in c}
        tried = sorted({tuple(sorted(combination)) for combination in grown})
        found = _flat_means(scorer, tried)
        scored += len(tried)
    best = int(found.gap.argmax())
    flat = np.zeros(members)
    flat[list(tried[best])] = 1 / size
    return Combination(
        members=tuple(names[member] for member in tried[best]),
        gap=float(found.gap[best]),
        error=standard_error(scorer.resampled_gap(flat)),
        exact=bool(found.exact[best]),
        scored=scored,
        exhaustive=exhaustive,
    )


def _flat_means(scorer: WeightedScorer, tried: Sequence[tuple[int, ...]]) -> GapResult:
    weights = np.zeros((len(tried), scorer.num_members))
    np.put_along_axis(weights, np.array(tried), 1 / len(tried[0]), axis=1)
    return scorer.gap(weights)
