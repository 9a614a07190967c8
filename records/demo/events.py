"""When and how strongly a label shows in the frames of a clip, by its kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from records.demo.labels import Kind

# A label has this many looks, twice over (a label told by order needs two sets).
LOOKS = 3
# Amplitudes, as shares of a frame's standard deviation.
_ORDER = 1.6
_TEXTURE = 2.5
_PEAK = 4.0

Vector = NDArray[np.float32]
# Looks of a label, each with its strength in every frame (T,).
Events = list[tuple[int, Vector]]


def during(length: int, rng: np.random.Generator, least: float, most: float) -> Vector:
    """1 in an interval that takes between `least` and `most` of the frames (T,), else 0."""
    share = rng.uniform(least, most) * length
    start = rng.uniform(0.0, length - share)
    frame = np.arange(length)
    return ((frame >= start) & (frame < start + share)).astype(np.float32)


def _plain(length: int, rng: np.random.Generator) -> Events:
    """One or two intervals, each with a look of its own."""
    return [
        (int(rng.integers(LOOKS)), during(length, rng, 0.15, 0.45))
        for _ in range(int(rng.integers(1, 3)))
    ]


def _in_order(length: int, rng: np.random.Generator) -> Events:
    """A look of the first set, then one of the second, over most of the clip."""
    look = int(rng.integers(2))
    start, turn, end = length * rng.uniform((0.0, 0.35, 0.85), (0.15, 0.65, 1.0))
    frame = np.arange(length)
    before = (frame >= start) & (frame < turn)
    after = (frame >= turn) & (frame < end)
    scale = np.float32(_ORDER)
    return [(look, scale * before), (LOOKS + look, scale * after)]


def _flickering(length: int, rng: np.random.Generator) -> Events:
    """A look whose sign changes at random from frame to frame."""
    signs = rng.choice(np.array([-_TEXTURE, _TEXTURE], np.float32), length)
    return [(0, signs * during(length, rng, 0.4, 0.9))]


def _peaking(length: int, rng: np.random.Generator) -> Events:
    """A look that is there for two to four frames, and strongly."""
    frames = min(int(rng.integers(2, 5)), length)
    shown = np.zeros(length, np.float32)
    start = int(rng.integers(length - frames + 1))
    shown[start : start + frames] = _PEAK
    return [(int(rng.integers(2)), shown)]


EVENTS = {
    Kind.CONTENT: _plain,
    Kind.ORDER: _in_order,
    Kind.TEXTURE: _flickering,
    Kind.PEAK: _peaking,
}
