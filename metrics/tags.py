"""How well clips are tagged: labels that reach their thresholds, against those that are true."""

import numpy as np

from metrics import bootstrap
from metrics.labels import Labels


class TagScores:
    """Counts labels that are given, that are true, and that are both, batch by batch.

    Args:
        thresholds: (V,) scores from which on a label is given.
    """

    def __init__(self, thresholds: np.ndarray) -> None:
        self._thresholds = thresholds
        self._counts: list[np.ndarray] = []

    def update(self, scores: np.ndarray, truth: Labels) -> None:
        """Adds a batch of B clips with scores (B, V)."""
        given = scores >= self._thresholds
        hits = np.bincount(truth.rows, given[truth.rows, truth.columns], minlength=len(scores))
        self._counts.append(np.stack([hits, given.sum(axis=1), truth.counts]))

    @property
    def counts(self) -> np.ndarray:
        """(3, N) int64: of each clip so far the labels given and true, given, and true."""
        return np.concatenate(self._counts, axis=1)

    def add(self, counts: np.ndarray) -> None:
        """Adds clips of which another has the `counts`, behind those so far."""
        self._counts.append(counts)

    def compute(self) -> dict[str, float]:
        """Over all labels of all clips: precision (1 where none is given), recall, and F1."""
        hits, given, true = self.counts.sum(axis=1).tolist()
        return {
            "precision": hits / given if given else 1.0,
            "recall": hits / true if true else 0.0,
            "f1": 2 * hits / max(given + true, 1),
        }

    def f1_error(self) -> float:
        """The standard error of F1."""
        hits, given, true = self.counts
        return bootstrap.standard_error(bootstrap.resampled_ratio(2 * hits, given + true))
