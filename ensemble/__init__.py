"""How members are combined: mixing, the scores of weightings, the search for weights."""

from typing import TYPE_CHECKING

from common.on_demand import exports_of

if TYPE_CHECKING:
    from ensemble.errors import EnsembleError
    from ensemble.mixing import mix
    from ensemble.scorer import WeightedScorer
    from ensemble.search import search_weights
else:
    __getattr__ = exports_of(__name__, __file__)

__all__ = ["EnsembleError", "WeightedScorer", "mix", "search_weights"]
