"""How the values of a stream are distributed, counted as they come by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from records.schema import Schema, Stream, quantization

Stored = NDArray[np.uint8] | NDArray[np.float32]

_CODES = 256
# Bins of floats on either side of 0.
_HALF = 1 << 13


@dataclass(frozen=True, eq=False)
class StreamStatistics:
    """The values of a stream in all clips, and in all their frames.

    Attributes:
        edges: (bins + 1,) ascending; bin i holds the values from ``edges[i]`` up to, and without,
            ``edges[i + 1]``.
        counts: (bins,) int64.
        least, most, mean, deviation: Of all values; the deviation is the root of their variance.
        means, deviations: (D,) the same of each number of a frame or of a mean vector.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    least: float
    most: float
    mean: float
    deviation: float
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]


class StreamTally:
    """Counts the values of one stream, part by part; bytes count as what they stand for.

    Bytes have a bin each. Floats have bins of one width around 0, a power of two; where a value
    lies beyond them the width is doubled, and two bins become one. So all is counted exactly, in
    the memory of the bins.
    """

    def __init__(self, stream: Stream, schema: Schema) -> None:
        self._range = (schema.quantized_min, schema.quantized_max)
        self._bytes = stream.encoding == "uint8"
        self._counts = np.zeros(_CODES if self._bytes else 2 * _HALF, np.int64)
        self._width = float(np.finfo(np.float32).tiny)
        self._ends = (np.inf, -np.inf)
        self._rows = 0
        # Of the differences to the first part's means: squares of large numbers would hide them.
        self._origin = np.zeros(stream.size)
        self._sums = np.zeros(stream.size)
        self._squares = np.zeros(stream.size)

    def add(self, values: Stored) -> None:
        """Counts values (n, D), as they are stored."""
        if not len(values):
            return
        if self._bytes:
            self._counts += np.bincount(values.ravel(), minlength=_CODES)
        else:
            self._add_floats(values.ravel().astype(np.float32, copy=False))
        ends = float(values.min()), float(values.max())
        self._ends = min(self._ends[0], ends[0]), max(self._ends[1], ends[1])
        if not self._rows:
            self._origin = values.mean(axis=0, dtype=np.float64)
        apart = values - self._origin
        self._rows += len(values)
        self._sums += apart.sum(axis=0)
        self._squares += np.einsum("nd,nd->d", apart, apart)

    def _add_floats(self, values: NDArray[np.float32]) -> None:
        greatest = float(np.abs(values).max())
        while greatest >= self._width * _HALF:
            pairs = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts[:] = 0
            self._counts[_HALF // 2 : _HALF // 2 + _HALF] = pairs
            self._width *= 2
        # Powers of two divide without rounding.
        places = np.floor(values / self._width).astype(np.int64) + _HALF
        self._counts += np.bincount(places, minlength=2 * _HALF)

    def result(self) -> StreamStatistics:
        """What was counted; of nothing, zeros."""
        rows = max(self._rows, 1)
        means = self._origin + self._sums / rows
        variances = np.maximum(self._squares / rows - (self._sums / rows) ** 2, 0)
        # Each number of a frame is there as often as any other.
        mean = float(means.mean())
        deviation = float(np.sqrt((variances + (means - mean) ** 2).mean()))
        edges = np.arange(_CODES + 1, dtype=np.float64) - 0.5
        step, offset = quantization(*self._range)
        if not self._bytes:
            edges = np.arange(-_HALF, _HALF + 1, dtype=np.float64) * self._width
            step, offset = 1.0, 0.0
        least, most = self._ends if self._rows else (0.0, 0.0)
        return StreamStatistics(
            edges=edges * step + offset,
            counts=self._counts.copy(),
            least=least * step + offset,
            most=most * step + offset,
            mean=mean * step + offset,
            deviation=deviation * step,
            means=means * step + offset,
            deviations=np.sqrt(variances) * step,
        )
