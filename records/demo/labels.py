"""The labels of the demonstration data: how frequent, which come together, how they show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

VERTICALS = (
    "Games",
    "Autos & Vehicles",
    "Arts & Entertainment",
    "Food & Drink",
    "Computers & Electronics",
    "Business & Industrial",
    "Sports",
    "Home & Garden",
    "Shopping",
    "Science",
    "Pets & Animals",
    "Hobbies & Leisure",
    "Beauty & Fitness",
    "Travel",
    "People & Society",
    "Reference",
)
# Labels: popularity falls as (rank + _HEAD) ** -_TAIL.
_HEAD = 3.0
_TAIL = 1.0
_OWN_VERTICAL = 12.0  # how much likelier a label is in a clip of its own vertical ...
_OTHER_VERTICAL = 0.25  # ... and in any other
_MORE_LABELS = 1.6  # labels a clip beyond the first, on average
_MOST_LABELS = 8
_WITH_PARENT = 0.35  # how often a label brings its vertical's most frequent label along

# A label has this many looks, twice over (a label told by order needs two sets).
LOOKS = 3
# Amplitudes, as shares of a frame's standard deviation.
_ORDER = 1.6
_TEXTURE = 2.5
_PEAK = 4.0

Integers = NDArray[np.int64]
Vector = NDArray[np.float32]
# Looks of a label, each with its strength in every frame (T,).
Events = list[tuple[int, Vector]]


class Kind(IntEnum):
    """How a label shows."""

    CONTENT = 0
    ORDER = 1
    TEXTURE = 2
    PEAK = 3


# The most frequent label of each vertical is plain content; the others take turns.
_TURNS = (Kind.ORDER, Kind.ORDER, Kind.TEXTURE, Kind.PEAK, Kind.CONTENT)


@dataclass(frozen=True)
class LabelSpace:
    """The labels: how each shows, with which it comes together.

    Attributes:
        kinds: (V,) a `Kind` each.
        partner: (V,) for a label told by order the one with the same contents in the other order;
            for any other label itself. The lower of two shows its contents as they come.
        verticals: (V, 2) first and second vertical, mostly the same.
        vertical_shares: (number of verticals,) how often a clip is of each.
        log_weights: (number of verticals, V) of a label in a clip of a vertical.
    """

    kinds: Integers
    partner: Integers
    verticals: Integers
    vertical_shares: NDArray[np.float64]
    log_weights: NDArray[np.float64]

    @classmethod
    def draw(cls, labels: int, rng: np.random.Generator) -> LabelSpace:
        """Draws a space of V labels, the most frequent first."""
        count = min(len(VERTICALS), labels)
        first = np.concatenate([np.arange(count), rng.integers(0, count, labels - count)])
        second = np.where(rng.random(labels) < 0.1, rng.integers(0, count, labels), first)
        kinds = np.full(labels, Kind.CONTENT, np.int64)
        kinds[count:] = np.resize(np.array(_TURNS), labels - count)
        ordered = np.flatnonzero(kinds == Kind.ORDER)
        if len(ordered) % 2:
            kinds[ordered[-1]] = Kind.CONTENT
        left, right = ordered[: len(ordered) // 2 * 2].reshape(-1, 2).T
        partner = np.arange(labels)
        partner[left], partner[right] = right, left
        verticals = np.stack([first, second], axis=1)
        # Nothing but their order may tell the two apart, neither frequency nor company.
        verticals[right] = verticals[left]
        popularity = (np.arange(labels) + _HEAD) ** -_TAIL
        shares = np.bincount(verticals[:, 0], popularity, count)
        own = (verticals[None] == np.arange(count)[:, None, None]).any(axis=2)
        weights = popularity * np.where(own, _OWN_VERTICAL, _OTHER_VERTICAL)
        return cls(kinds, partner, verticals, shares / shares.sum(), np.log(weights))

    def sample(self, rng: np.random.Generator) -> tuple[Integers, int]:
        """The true labels of a clip (ascending), and one that it does not have or has anyway."""
        vertical = int(rng.choice(len(self.vertical_shares), p=self.vertical_shares))
        # The largest of log-weights plus Gumbel noise are draws without replacement.
        keys = self.log_weights[vertical] + rng.gumbel(size=len(self.kinds))
        count = min(1 + int(rng.poisson(_MORE_LABELS)), _MOST_LABELS, len(keys) - 1)
        order = np.argsort(-keys)
        picked = order[: max(count, 1)]
        parents = self.verticals[picked, 0][rng.random(len(picked)) < _WITH_PARENT]
        labels = np.union1d(picked, parents)
        twins = (self.partner[labels] < labels) & np.isin(self.partner[labels], labels)
        return labels[~twins], int(order[max(count, 1) % len(order)])


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


# By kind.
EVENTS = (_plain, _in_order, _flickering, _peaking)
