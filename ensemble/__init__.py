"""How members are combined: mixing, the scores of weightings, the search for weights."""

from __future__ import annotations

from ensemble.choice import Choice, Evidence, Scores, choose
from ensemble.combination import Combination, best_combination
from ensemble.errors import EnsembleError
from ensemble.evenness import entropy_bonus, with_entropy_bonus
from ensemble.mixing import mix
from ensemble.scorer import GapResult, WeightedScorer
from ensemble.search import SearchResult, search_weights

__all__ = [
    "Choice",
    "Combination",
    "EnsembleError",
    "Evidence",
    "GapResult",
    "Scores",
    "SearchResult",
    "WeightedScorer",
    "best_combination",
    "choose",
    "entropy_bonus",
    "mix",
    "search_weights",
    "with_entropy_bonus",
]
