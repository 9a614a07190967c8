"""Folds: `train` and `search` as one set of clips, cut in k, of which a model does not see one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The clips of the fold that a model does not see, as a split.
HELD = "held"
# Of the clips that it may see, the share by which it is chosen and on which it is not trained.
CHOOSING = 1 / 20
_PLACES = 1 << 32


@dataclass(frozen=True)
class Part:
    """What one model, and all that it learns from, sees of a set that is cut in folds.

    Attributes:
        count: k.
        number: Of the fold that it does not see; None: it sees all.
    """

    count: int
    number: int | None = None

    def takes(self, split: str, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which clips (N,) belong to a split: `train`, `search` or `held`.

        What sees all is trained on all of them: there is nothing left to choose by, or to hold.

        Args:
            split: Its name.
            ids: (N,) the `id_number` of each clip's id. Its lower half counts: splits that were cut
                by the hash of the id have the upper one.
        """
        if self.number is None:
            return np.full(len(ids), split == "train")
        places = (ids & np.uint64(_PLACES - 1)) * np.uint64(self.count)
        held = places >> np.uint64(32) == self.number
        if split == HELD:
            return np.asarray(held)
        chosen_by = places & np.uint64(_PLACES - 1) < np.uint64(CHOOSING * _PLACES)
        return np.asarray(~held & (chosen_by if split == "search" else ~chosen_by))
