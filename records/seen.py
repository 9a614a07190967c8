"""Clips that a model has seen, told by what their shards hold and by the hashes of their ids."""

import base64
import binascii
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from records.config import Fraction, id_hash
from records.errors import DataError
from records.splits import DataSource, Split

# A multiple of three, so that every shard takes as many characters of base64: eight.
_DIGEST_BYTES = 6
# Half a megabyte. What knows more shards says nothing of them.
_MOST_SHARDS = 1 << 16


@dataclass(frozen=True)
class SeenClips:
    """Clips of some shards, wherever these lie and whatever they are called.

    Attributes:
        shards: Digests of the shards' records, in base64, one behind the other.
        bounds: Of the `id_hash` of the clips: at least the first and below the second, or at least
            the third and below the fourth, ...

    Raises:
        DataError: It is no base64 of whole digests, or the bounds are not pairs that ascend.
    """

    shards: str
    bounds: tuple[Fraction, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        try:
            whole = len(base64.b64decode(self.shards, validate=True)) % _DIGEST_BYTES == 0
        except (binascii.Error, ValueError):
            whole = False
        if not whole:
            raise DataError("shards is no list of digests in base64")
        if len(self.bounds) % 2 or any(low >= high for low, high in pairwise(self.bounds)):
            raise DataError("bounds are not pairs of ascending numbers")

    @property
    def digests(self) -> set[bytes]:
        """Those of the shards."""
        joined = base64.b64decode(self.shards)
        return {joined[at : at + _DIGEST_BYTES] for at in range(0, len(joined), _DIGEST_BYTES)}

    def takes(self, clip_id: str) -> bool:
        """Whether a clip of this id, in one of the shards, is among them."""
        return bisect_right(self.bounds, id_hash(clip_id)) % 2 == 1


def seen_clips(data: DataSource, names: Iterable[str]) -> tuple[SeenClips, ...]:
    """All clips of some splits; none are named where the shards are too many.

    Clips that a training leaves out of its split, for their length or their damage, count too.

    Raises:
        DataError: There is no such split, or a shard is damaged.
    """
    # Splits of the same shards are one.
    ranges: dict[str, list[tuple[float, float]]] = {}
    for name in names:
        digests = set(_digests(data.open(name)))
        if len(digests) > _MOST_SHARDS:
            return ()
        shards = base64.b64encode(b"".join(sorted(digests))).decode()
        ranges.setdefault(shards, []).extend(data.splits[name].ranges)
    return tuple(SeenClips(shards, _united(found)) for shards, found in ranges.items())


def count_seen(split: Split, seen: Sequence[SeenClips]) -> int:
    """How many clips of a split are among those seen; reads ids only where they decide.

    Raises:
        DataError: A shard is damaged.
    """
    digests = _digests(split)
    found = np.zeros(len(split), np.bool_)
    for part in seen:
        known = part.digests
        rows = np.flatnonzero(np.array([digest in known for digest in digests])[split.shard])
        if len(rows) and part.bounds != (0, 1):
            ids = (clip.id for clip in split.select(rows).clips(with_features=False))
            rows = rows[np.fromiter(map(part.takes, ids), np.bool_, len(rows))]
        found[rows] = True
    return int(found.sum())


def _digests(split: Split) -> list[bytes]:
    """Of each shard, by the lengths and checksums of all its records."""
    with split.reader() as reader:
        reader.expect(range(len(split.shards)))
        listings = (reader.list_records(number) for number in range(len(split.shards)))
        columns = ((found.lengths, found.checksums) for found in listings)
        data = (b"".join(c.astype("<u4").tobytes() for c in both) for both in columns)
        return [hashlib.blake2b(each, digest_size=_DIGEST_BYTES).digest() for each in data]


def _united(ranges: Iterable[tuple[float, float]]) -> tuple[float, ...]:
    """The bounds of all ranges together."""
    bounds: list[float] = []
    for low, high in sorted(ranges):
        if bounds and low <= bounds[-1]:
            bounds[-1] = max(bounds[-1], high)
        else:
            bounds += [low, high]
    return tuple(bounds)
