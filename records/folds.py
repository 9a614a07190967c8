"""Folds of the training split, by a hash of the id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from records.hashing import id_hash
from records.splits import Split
from records.truth import read_truth


@dataclass(frozen=True)
class Fold:
    """One part of the training split, by hash of the id, that a model does not train on."""

    number: int
    count: int

    def holds(self, ids: np.ndarray) -> np.ndarray:
        """Which of the ids (N,) lie in this fold, as (N,) bool.

        The hash is salted: a fold must not coincide with a split that was itself cut by the hash.
        """
        numbers = (int(id_hash(f"fold/{name}") * self.count) for name in ids)
        return np.fromiter(numbers, dtype=np.int64, count=len(ids)) == self.number

    def divide(self, split: Split) -> tuple[Split, Split]:
        """The records to train on, and the fold's own."""
        held = self.holds(np.asarray(read_truth(split).ids))
        return split.select(~held), split.select(held)
