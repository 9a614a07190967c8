"""The errors of this room."""

from __future__ import annotations


class BundleError(ValueError):
    """A bundle, or what is to become one, is not as it has to be; the message is one line."""


class BudgetError(ValueError):
    """A budget cannot be read or met; the message is one line."""
