"""The exception of this room."""

from common.errors import UserError


class MetricError(UserError):
    """Scores or labels that no metric can be computed from; the message says which and why."""
