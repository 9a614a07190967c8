"""What a family has that learns by remembering clips, and not by gradients."""

from collections.abc import Iterable

from torch import Tensor

from families.base import FamilyModule, Features

# A batch of clips: features and mask, as a model takes them, and each label's target (B, V).
Lesson = tuple[Features, Tensor | None, Tensor]


class RememberingModule(FamilyModule):
    """A model without parameters, whose buffers hold clips."""

    @property
    def capacity(self) -> int:
        """How many clips it can remember."""
        raise NotImplementedError

    def remember(self, lessons: Iterable[Lesson]) -> None:
        """Takes clips into the memory, in their order from the first row on.

        Args:
            lessons: no more than `capacity` clips, each with a target above 0.
        """
        raise NotImplementedError

    def without_own(self, features: Features, mask: Tensor | None, rows: Tensor) -> Tensor:
        """The log-odds (B, V) as if none of these clips were remembered itself.

        Args:
            features: as in `forward`.
            mask: as in `forward`.
            rows: int64 (B,), each clip's row in the memory; -1 where it has none.
        """
        raise NotImplementedError
