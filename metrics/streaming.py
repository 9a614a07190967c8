"""All scores at once, from batches that come one after the other."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from metrics import bootstrap
from metrics.average_precision import average_precision, mean_average_precision
from metrics.clips import average_precisions, hits_of_clips, precisions_at_recall
from metrics.errors import MetricError
from metrics.labels import Labels
from metrics.ranking import Ranking, best_labels, checked_scores, rank
from metrics.tags import TagScores

Array = torch.Tensor | np.ndarray
POOLED = 20  # labels of a clip that enter GAP's pool
MAP_AT = 10
# What is kept of clips beside their labels, in the order of `StreamingScores.update`.
_KEPT = (
    "pooled_scores",
    "pooled_hits",
    "top_labels",
    "top_scores",
    "average_precisions",
    "hits",
    "precisions",
)


class StreamingScores:
    """Collects batches of log-odds and labels, and scores them all in the end.

    What it keeps of a clip is its 20 best scores for GAP and, for MAP, its labels, or the 128 best
    of more than 1,024: MAP is a lower bound then, the other scores are exact. So memory grows by a
    few hundred bytes a clip, however many labels there are.

    Args:
        num_labels: V.
        thresholds: (V,) log-odds from which on a clip is given a label: then labels that are given
            are scored too. None: they are not.

    Example:
        >>> scores = StreamingScores(num_labels=3)
        >>> scores.update(torch.tensor([[2.0, -1.0, -3.0]]), torch.tensor([[0, 0]]))
        >>> scores.compute()["gap"]
        1.0
    """

    def __init__(self, num_labels: int, thresholds: np.ndarray | None = None) -> None:
        self.num_labels = num_labels
        self._tags = None if thresholds is None else TagScores(thresholds)
        self._depth = num_labels if num_labels <= 1024 else 128
        self._labels: list[Labels] = []
        self._batches: list[tuple[np.ndarray, ...]] = []

    def update(
        self,
        log_odds: Array | tuple[Array, Array],
        labels: Array | Labels,
        unknown: Array | None = None,
    ) -> None:
        """Adds a batch of B clips.

        Args:
            log_odds: (B, V), or a pair of labels (B, K) and their log-odds (B, K). Finite; any
                monotonous function of them does as well.
            labels: Labels, or pairs (n, 2) of row and column in whole numbers.
            unknown: With pairs, (B, V) True for labels that are neither true nor false.

        Raises:
            MetricError: A log-odds is NaN or infinite, or shapes disagree.
        """
        if isinstance(log_odds, tuple):
            top_labels, scores = _to_numpy(log_odds[0]), _to_numpy(log_odds[1])
        else:
            top_labels, scores = None, _to_numpy(log_odds)
        truth = self._as_labels(labels, len(scores), unknown)
        scores = checked_scores(truth, top_labels, scores)
        counts = truth.counts
        if self._tags is not None:
            if top_labels is not None:
                raise MetricError("with thresholds, log-odds of all labels are needed")
            self._tags.update(scores, truth)
        ranking = rank(truth, top_labels, scores, max(POOLED, int(counts.max(initial=0))))
        pooled = ranking.cut(POOLED)
        if top_labels is None:
            top_labels, scores = best_labels(scores, self._depth)
        compact = np.uint16 if self.num_labels <= 1 << 16 else np.uint32
        self._labels.append(truth)
        self._batches.append(
            (
                pooled.scores,
                pooled.hits,
                top_labels.astype(compact),
                scores,
                average_precisions(ranking.cut(MAP_AT), counts),
                hits_of_clips(ranking.cut(1)),
                precisions_at_recall(ranking, counts),
            )
        )

    @property
    def has_labels(self) -> bool:
        """Whether any clip has a label."""
        return any(labels.columns.size for labels in self._labels)

    def stored(self) -> dict[str, np.ndarray]:
        """All that is kept of the clips so far, of which there is one at least, as `add` takes it.

        An array has a row for each clip, but for `columns`, the labels of all clips, of which
        `counts` says how many each has, and `tags` (3, N), which is there with thresholds alone.
        """
        return {
            "counts": np.concatenate([labels.counts for labels in self._labels]),
            "columns": np.concatenate([labels.columns for labels in self._labels]),
            **dict(zip(_KEPT, self._columns(), strict=True)),
            **({"tags": self._tags.counts} if self._tags else {}),
        }

    def add(self, stored: Mapping[str, np.ndarray]) -> None:
        """Adds clips that another one of as many labels has `stored`, behind those so far.

        Raises:
            MetricError: The labels are none.
        """
        offsets = np.append(0, np.cumsum(stored["counts"]))
        self._labels.append(Labels(offsets, stored["columns"], self.num_labels))
        self._batches.append(tuple(stored[name] for name in _KEPT))
        if self._tags is not None:
            self._tags.add(stored["tags"])

    def compute(self) -> dict[str, float]:
        """The scores of all clips so far: gap, map, map_at_10, hit_at_1, perr and videos.

        With thresholds also precision, recall and f1 of the labels that are given.

        Raises:
            MetricError: There is no clip, or none has a label.
        """
        truth = self._truth()
        scores, true, top_labels, top_scores, within, hits, precisions = self._columns()
        return {
            "gap": average_precision(scores.ravel(), true.ravel(), truth.columns.size),
            "map": mean_average_precision(truth, top_labels, top_scores),
            "map_at_10": float(within.mean()),
            "hit_at_1": float(hits.mean()),
            "perr": float(precisions.mean()),
            **(self._tags.compute() if self._tags else {}),
            "videos": len(truth),
        }

    def errors(self) -> dict[str, float]:
        """The standard errors of all scores, by their names with `_error` behind.

        Raises:
            MetricError: There is no clip, or none has a label.
        """
        truth = self._truth()
        _, _, top_labels, top_scores, within, hits, precisions = self._columns()
        labeled = truth.counts > 0
        at_10, at_1, perr = bootstrap.resampled_means(
            [within, hits, precisions], [labeled, np.ones_like(labeled), labeled]
        )
        resampled = {
            "gap": self.resampled_gap(),
            "map": bootstrap.resampled_map(truth, top_labels, top_scores),
            "map_at_10": at_10,
            "hit_at_1": at_1,
            "perr": perr,
        }
        errors = {name: bootstrap.standard_error(values) for name, values in resampled.items()}
        if self._tags is not None:
            errors["f1"] = self._tags.f1_error()
        return {f"{name}_error": error for name, error in errors.items()}

    def resampled_gap(self) -> np.ndarray:
        """GAP of each of the draws of `metrics.bootstrap`, to be held against another's."""
        scores, hits, *_ = self._columns()
        return bootstrap.resampled_gap(Ranking(scores, hits), self._truth().counts)

    def _truth(self) -> Labels:
        """The labels of all clips."""
        counts = np.concatenate([labels.counts for labels in self._labels] or [np.zeros(0, int)])
        if not counts.any():
            raise MetricError(f"nothing to score: none of {len(counts)} clips has a true label")
        columns = np.concatenate([labels.columns for labels in self._labels])
        # What is unknown stands below all else in what was kept.
        return Labels(np.append(0, np.cumsum(counts)), columns, self.num_labels)

    def _columns(self) -> list[np.ndarray]:
        """What `update` kept, of all clips."""
        return [_joined(parts) for parts in zip(*self._batches, strict=True)]

    def _as_labels(self, labels: Array | Labels, clips: int, unknown: Array | None) -> Labels:
        if isinstance(labels, Labels):
            return labels
        pairs = _to_numpy(labels)
        if pairs.shape[1:] != (2,) or not np.issubdtype(pairs.dtype, np.integer):
            raise MetricError(
                f"labels {pairs.shape} {pairs.dtype}: whole-number pairs (n, 2) are wanted"
            )
        mask = None if unknown is None else _to_numpy(unknown)
        return Labels.from_pairs(pairs[:, 0], pairs[:, 1], clips, self.num_labels, mask)


def _to_numpy(array: Array) -> np.ndarray:
    if not isinstance(array, torch.Tensor):
        return np.asarray(array)
    array = array.detach()
    return (array.float() if array.is_floating_point() else array).cpu().numpy()


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    widths = {part.shape[1] for part in parts if part.ndim > 1}
    if len(widths) > 1:
        raise MetricError(f"batches list different numbers of labels: {sorted(widths)}")
    return np.concatenate(parts)
