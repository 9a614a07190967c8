"""What the solver chooses among: members, each at several precisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runs import Predictions


@dataclass(frozen=True)
class Option:
    """A member at one precision.

    Attributes:
        member: The member's name.
        precision: The precision's name.
        stored: Its predictions on `search`, made with the weights as they would be packed; or what
            reads them, where those of all options are more than memory holds.
        host: The member without which this one cannot be in a file.
    """

    member: str
    precision: str
    stored: Predictions | Callable[[], Predictions]
    host: str | None = None

    @property
    def predictions(self) -> Predictions:
        """What is stored, read anew at each call where it has to be read."""
        return self.stored() if callable(self.stored) else self.stored
