"""The exception of this room."""

from common.errors import UserError


class EnsembleError(UserError):
    """Predictions or weights that cannot be combined; the message says which and why."""
