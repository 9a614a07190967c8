"""The exception of this room."""

from __future__ import annotations


class MetricError(ValueError):
    """Scores or labels that no metric can be computed from; the message says which and why."""
