"""How members are combined: mixing, the scores of weightings, the search for weights."""

from ensemble.errors import EnsembleError
from ensemble.mixing import mix
from ensemble.scorer import WeightedScorer
from ensemble.search import search_weights

__all__ = ["EnsembleError", "WeightedScorer", "mix", "search_weights"]
