"""The exception of this room."""

from __future__ import annotations


class FamilyError(ValueError):
    """A family's name, configuration or input is wrong; the message is one line that says which."""
