"""The scores of multi-label tagging: GAP@k, MAP, MAP@k, Hit@k, PERR."""

from metrics.average_precision import gap
from metrics.errors import MetricError
from metrics.labels import Labels
from metrics.streaming import StreamingScores

__all__ = ["Labels", "MetricError", "StreamingScores", "gap"]
