"""What goes wrong with soft targets through no fault of the program."""

from __future__ import annotations


class SoftTargetError(ValueError):
    """Soft targets are missing, damaged, or of other clips; the message says which."""
