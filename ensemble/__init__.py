"""How members are combined: mixing, the scores of weightings, the search for weights."""

from __future__ import annotations

from ensemble.errors import EnsembleError
from ensemble.evenness import evened, nat_on
from ensemble.mixing import mix
from ensemble.scorer import GapResult, WeightedScorer
from ensemble.search import SearchResult, search_weights
from ensemble.teachers import Combination, Teacher, best_combination

__all__ = [
    "Combination",
    "EnsembleError",
    "GapResult",
    "SearchResult",
    "Teacher",
    "WeightedScorer",
    "best_combination",
    "evened",
    "mix",
    "nat_on",
    "search_weights",
]
