"""The exception of this room."""

from __future__ import annotations


class EnsembleError(ValueError):
    """Predictions or weights that cannot be combined; the message says which and why."""
