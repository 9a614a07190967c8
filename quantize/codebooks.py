"""Codebooks of a whole tensor: uniform, by quantiles, by k-means.

Skalic & Austin 2018, section on weight quantization, tried these three; the simplest was as good as
the others at 8 bits. With fewer bits it matters where the centroids are.
"""

from collections.abc import Iterator

import numpy as np
import torch

# Values at a time, a multiple of eight: they stay in the cache, and a tensor of any size needs
# little beside itself.
CHUNK = 1 << 16
BINS = 1 << 16
_ITERATIONS = 200


def encode_uniform(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and codebook at equal steps: a value is off by half a step at most.

    Args:
        values: (N,) float32.
        count: Of centroids, 256 at most.

    Returns:
        (N,) uint8 and (count,) float32. A constant tensor has all its centroids at its value.
    """
    low, high = _ends(values)
    codes = np.zeros(len(values), dtype=np.uint8)
    # In float64: the range of two float32 values may be no float32.
    step = (high - low) / (count - 1)
    if step > 0:
        for part in pieces(len(values), CHUNK):
            codes[part] = np.rint((values[part].astype(np.float64) - low) / step)
    # torch's steps are exact at both ends and do not overflow.
    return codes, torch.linspace(low, high, count, dtype=torch.float64).float().numpy()


def encode_quantile(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and codebook with as many values around each centroid: the medians of equal parts.

    A value is off by half the gap between the centroids around it at most, beyond the outermost by
    its distance to it, and by one of `BINS` parts of the range more.

    Args and returns as in `encode_uniform`.
    """
    histogram = _Histogram(values)
    if histogram.width == 0:
        return encode_uniform(values, count)
    centroids = _quantiles(histogram.means, histogram.counts, count).astype(np.float32)
    return histogram.nearest(centroids), centroids


def encode_kmeans(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and codebook with a small mean squared error, never above the uniform codebook's.

    Lloyd's algorithm, on a histogram so fine that its bins are points. It begins with centroids as
    dense as the cube root of the values' density (Panter & Dite 1951), which is the optimum for
    many centroids, so that it has little left to do. The bound of a single value is that of
    `encode_quantile`.

    Args and returns as in `encode_uniform`.
    """
    uniform = encode_uniform(values, count)
    histogram = _Histogram(values)
    if histogram.width == 0:
        return uniform
    start = _quantiles(histogram.means, np.cbrt(histogram.counts), count)
    centroids = _lloyd(histogram, start).astype(np.float32)
    codes = histogram.nearest(centroids)
    if _squared_error(values, codes, centroids) < _squared_error(values, *uniform):
        return codes, centroids
    return uniform


class _Histogram:
    """The values in `BINS` bins of one width, of which the filled ones count.

    Attributes:
        width: Of a bin; 0 where all values are equal.
        means: (P,) float64, ascending: the means of the filled bins.
        counts: (P,) float64: how many values are in each.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self._low, high = _ends(values)
        self.width = (high - self._low) / BINS
        if self.width == 0:
            return
        counts, sums = np.zeros(BINS), np.zeros(BINS)
        for _, shifted, bins in self._bins():
            counts += np.bincount(bins, minlength=BINS)
            sums += np.bincount(bins, weights=shifted, minlength=BINS)
        self._filled = np.flatnonzero(counts)
        self.counts = counts[self._filled]
        # A rounding must not lead beyond the values.
        self.means = np.clip(self._low + sums[self._filled] / self.counts, self._low, high)

    def nearest(self, codebook: np.ndarray) -> np.ndarray:
        """(N,) uint8: for each value the centroid nearest to the mean of its bin."""
        of_bin = np.zeros(BINS, dtype=np.uint8)
        of_bin[self._filled] = np.searchsorted(_edges(codebook.astype(np.float64)), self.means)
        codes = np.empty(len(self._values), dtype=np.uint8)
        for part, _, bins in self._bins():
            codes[part] = of_bin[bins]
        return codes

    def _bins(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        # Pieces of many values: each adds up as many bins.
        for part in pieces(len(self._values), 16 * CHUNK):
            shifted = self._values[part].astype(np.float64) - self._low
            yield part, shifted, np.minimum(shifted / self.width, BINS - 1).astype(np.int64)


def _quantiles(points: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """(count,) values below which lie 1/2, 3/2, ... of `count` equal parts of the weights."""
    middles = np.cumsum(weights) - weights / 2
    return np.interp((np.arange(count) + 0.5) / count * weights.sum(), middles, points)


def _lloyd(histogram: _Histogram, centroids: np.ndarray) -> np.ndarray:
    """Moves centroids to the means of what is nearest to them; those without stay."""
    means = histogram.means
    counts = np.concatenate([[0.0], np.cumsum(histogram.counts)])
    sums = np.concatenate([[0.0], np.cumsum(histogram.counts * means)])
    for _ in range(_ITERATIONS):
        inner = np.searchsorted(means, _edges(centroids))
        ends = np.concatenate([[0], inner, [len(means)]])
        held = np.diff(counts[ends])
        moved = np.where(held > 0, np.diff(sums[ends]) / np.maximum(held, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    # Differences of sums may be off by a rounding, too.
    return np.sort(np.clip(centroids, means[0], means[-1]))


def _edges(centroids: np.ndarray) -> np.ndarray:
    """Where the nearest centroid changes: halfway between neighbours."""
    return centroids[:-1] + np.diff(centroids) / 2


def _squared_error(values: np.ndarray, codes: np.ndarray, codebook: np.ndarray) -> float:
    total = 0.0
    for part in pieces(len(values), CHUNK):
        distances = values[part].astype(np.float64) - codebook[codes[part]]
        total += float(np.square(distances, out=distances).sum())
    return total


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = torch.aminmax(torch.from_numpy(values))
    return float(low), float(high)


def pieces(count: int, size: int) -> Iterator[slice]:
    """Slices of up to `size` that cover [0, count)."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
