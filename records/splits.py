"""The records of a split, in their fixed order, and parts of them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from common.messages import warn
from records.census import take_census
from records.clip import Clip
from records.config import SplitSpec
from records.errors import DataError
from records.folds import HELD, Part
from records.formats import AUTO, ClipReader
from records.index import IndexBuilder
from records.objects.folder import RemoteFolder, RemoteShards
from records.schema import Schema
from records.shards import find_shards

# Of the memory-mapped columns, these are Python's integers at a time.
_ROWS_AT_A_TIME = 65536


@dataclass(frozen=True, eq=False)
class Split:
    """The records of one split, in the order of shards and of the records in each.

    Attributes:
        name: ``train``, ``search``, ...
        schema: What the records hold.
        shards: The shard files.
        format: Name of their format, or ``auto``.
        shard: (N,) uint32, for each record its index in `shards`, ascending.
        position: (N,) uint64, where it lies in the shard, as its format counts.
        length: (N,) uint32, what more the format needs to read it.
        fingerprint: Hex SHA-256 of the names of the shards, the records' lengths and checksums, and
            a user's own files that read them.
        skipped: Damaged records that were left out.
        cache: Folder in which a format may keep what it needs to read them again; None for none.
        remote: Where the shards lie in object storage; None: in a folder.
    """

    name: str
    schema: Schema
    shards: tuple[Path, ...]
    format: str
    shard: NDArray[np.uint32]
    position: NDArray[np.uint64]
    length: NDArray[np.uint32]
    fingerprint: str
    skipped: int
    cache: Path | None = None
    remote: RemoteShards | None = None

    def __len__(self) -> int:
        return len(self.shard)

    def say_skipped(self) -> None:
        """Tells on standard error what ``on_corrupt`` ``skip`` left out."""
        if self.skipped:
            warn(f"{self.name}: skipped {self.skipped} damaged records")

    def select(self, keep: NDArray[np.bool_] | NDArray[np.integer]) -> Split:
        """The split of some of the records, kept by (N,) bool or by ascending row numbers.

        Raises:
            DataError: Nothing is kept, or rows are not ascending.
        """
        rows = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep.astype(np.int64)
        if not len(rows):
            raise DataError(f"split {self.name!r}: a selection of it is empty; use fewer parts")
        if (np.diff(rows) <= 0).any():
            raise DataError(f"split {self.name!r}: selected rows must be ascending")
        digest = hashlib.sha256(self.fingerprint.encode() + rows.astype("<i8").tobytes())
        return dataclasses.replace(
            self,
            shard=self.shard[rows],
            position=self.position[rows],
            length=self.length[rows],
            fingerprint=digest.hexdigest(),
        )

    def shard_name(self, number: int) -> str:
        """The path or the URL of a shard, for messages."""
        path = self.shards[number]
        return str(path) if self.remote is None else self.remote.url(path)

    def places(self, rows: NDArray[np.integer] | slice) -> Iterator[tuple[int, int, int]]:
        """Shard, position and length of some records, as `ClipReader.clip` takes them."""
        columns = (self.shard[rows], self.position[rows], self.length[rows])
        return zip(*(column.tolist() for column in columns), strict=True)

    def reader(self) -> ClipReader:
        """A reader of the split's clips."""
        return ClipReader(self.shards, self.schema, self.format, self.cache, remote=self.remote)

    def clips(self, with_features: bool = True) -> Iterator[Clip]:
        """All clips in order; raises what `ClipReader.clip` does."""
        with self.reader() as reader:
            reader.expect(np.unique(self.shard).tolist())
            for start in range(0, len(self), _ROWS_AT_A_TIME):
                for place in self.places(slice(start, start + _ROWS_AT_A_TIME)):
                    yield reader.clip(*place, with_features)


def open_split(
    root: Path,
    name: str,
    spec: SplitSpec,
    schema: Schema,
    *,
    cache: Path | None,
    on_corrupt: str = "error",
    format: str = AUTO,
    max_skipped: int = 100,
    remote: RemoteFolder | None = None,
) -> Split:
    """Finds the records of a split.

    Lists the records of every shard; reads them too where ids are hashed or damaged records are to
    be skipped.

    Args:
        root: Folder of the shards.
        name: The split's name, for messages.
        spec: Which shards and ids.
        schema: What the records hold.
        cache: Folder in which the index is kept, to be mapped into memory; it is made anew when the
            names, sizes or times of the shards change, or when it is damaged itself. None: the
            index is held in memory.
        on_corrupt: ``error``: damage raises, here or when the record is read. ``skip``: every
            record is read and checked here, and what is damaged is left out and counted. Where
            damage hides the rest of a shard, that counts as one.
        format: Name of the shards' format, or ``auto`` for what each suffix says.
        max_skipped: With ``skip``, more than this many raise.
        remote: The folder, where it is one of object storage; `root` is then its own.

    Raises:
        DataError: The folder is missing, the split is empty, a shard is damaged or too many are, or
            no format reads it.
    """
    if on_corrupt not in ("error", "skip"):
        raise DataError(f"on_corrupt is {on_corrupt!r}; use 'error' or 'skip'")
    found = None if remote is None else remote.shards(name, spec, format, schema)
    shards = found.paths if found else find_shards(root, name, spec, format, schema)
    skip = on_corrupt == "skip"
    builder = IndexBuilder(root, shards, spec, schema, format, skip, max_skipped, found)
    split = Split(name, schema, shards, format, **builder.build(cache), cache=cache, remote=found)
    if not len(split):
        ranges = " or ".join(f"[{start}, {end}]" for start, end in spec.ranges)
        raise DataError(
            f"split {name!r} is empty: none of the records of {len(shards)} shards under {root} is "
            f"sound and has an id hash in {ranges}; widen the split"
        )
    return split


@dataclass(frozen=True)
class DataSource:
    """The shards of a run: where they lie, what is in them, who may see which.

    Attributes:
        splits: By name, which records a split takes.
        workers: Processes that decode batches beside the training process.
        part: Where there are folds, which records of `train` and `search` together `train`,
            `search` and `held` stand for.

    The other fields are those of `open_split`.
    """

    root: Path
    schema: Schema
    splits: Mapping[str, SplitSpec]
    cache: Path
    on_corrupt: str = "error"
    workers: Annotated[int, Ge(0)] = 0
    format: str = AUTO
    part: Part | None = None
    remote: RemoteFolder | None = None

    def open(self, name: str) -> Split:
        """The records of one split; see `open_split`.

        Raises:
            DataError: Also where there is no such split.
        """
        if self.part is None or name not in ("train", "search", HELD):
            return self._open(name)
        whole = [self._open(own) for own in ("train", "search") if own in self.splits]
        joined, order = _joined(name, whole)
        ids = np.concatenate([take_census(split, self.cache).ids for split in whole])[order]
        taken = self.part.takes(name, ids)
        return joined if taken.all() else joined.select(taken)

    def _open(self, name: str) -> Split:
        if name not in self.splits:
            raise DataError(f"data.{name}.shards: not set; give the glob of the split's shards")
        return open_split(
            self.root,
            name,
            self.splits[name],
            self.schema,
            cache=self.cache,
            on_corrupt=self.on_corrupt,
            format=self.format,
            remote=self.remote,
        )


def _joined(name: str, splits: Sequence[Split]) -> tuple[Split, NDArray[np.int64]]:
    """The records of several splits as one of this name, and the order (N,) that they take."""
    shards = sorted({path for split in splits for path in split.shards})
    number = {path: place for place, path in enumerate(shards)}
    numbers = [np.array([number[path] for path in s.shards], np.uint32) for s in splits]
    shard = np.concatenate([own[s.shard] for own, s in zip(numbers, splits, strict=True)])
    position = np.concatenate([split.position for split in splits])
    order = np.lexsort((position, shard))
    digest = hashlib.sha256("".join(split.fingerprint for split in splits).encode())
    joined = dataclasses.replace(
        splits[0],
        name=name,
        shards=tuple(shards),
        shard=shard[order],
        position=position[order],
        length=np.concatenate([split.length for split in splits])[order],
        fingerprint=digest.hexdigest(),
        skipped=sum(split.skipped for split in splits),
        remote=reduce(_both, (split.remote for split in splits)),
    )
    return joined, order


def _both(first: RemoteShards | None, second: RemoteShards | None) -> RemoteShards | None:
    return first and second and first.joined(second)


@dataclass(frozen=True, eq=False)
class Truth:
    """Ids and labels of a split's records, in its order.

    Attributes:
        ids: (N,) strings.
        offsets: (N + 1,) int64; record i has the labels ``columns[offsets[i]:offsets[i + 1]]``.
        columns: (n,) int64, ascending within a record.
        unknown: (N, ceil(V / 8)) uint8, bits of the labels that are unknown, the first label in the
            highest bit (`np.packbits`); None where the schema has no such labels.
    """

    ids: NDArray[np.str_]
    offsets: NDArray[np.int64]
    columns: NDArray[np.int64]
    unknown: NDArray[np.uint8] | None = None


def read_truth(split: Split) -> Truth:
    """Ids and labels of a split, in one pass over its records, without their features.

    Raises:
        DataError: As `ClipReader.clip`.
    """
    ids: list[str] = []
    labels: list[NDArray[np.int64]] = []
    masks: list[NDArray[np.uint8]] = []
    for clip in split.clips(with_features=False):
        ids.append(clip.id)
        labels.append(clip.labels)
        if clip.unknown is not None:
            masks.append(np.packbits(clip.unknown))
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(columns) for columns in labels], out=offsets[1:])
    unknown = np.stack(masks) if masks else None
    return Truth(np.array(ids), offsets, np.concatenate(labels), unknown)


def with_frames(split: Split, least: int) -> Split:
    """The records of clips of at least `least` frames; reads every record once.

    At video level a clip has no frames to count, and all are kept.

    Raises:
        DataError: No clip is that long, or a record is damaged.
    """
    if split.schema.level == "video":
        return split
    stream = split.schema.streams[0].name
    counts = [len(clip.features[stream]) for clip in split.clips()]
    if max(counts) < least:
        raise DataError(
            f"split {split.name!r}: no clip has {least} frames, the longest has {max(counts)}; "
            "lower train.min_frames"
        )
    return split.select(np.array(counts) >= least)


def check_disjoint(splits: Sequence[Split]) -> None:
    """Makes sure that no record is in two splits.

    Raises:
        DataError: Two splits share a record; names both, the shard and the place.
    """
    positions = [_positions_by_file(split) for split in splits]
    for first, second in itertools.combinations(range(len(splits)), 2):
        for file in positions[first].keys() & positions[second].keys():
            path, theirs = positions[second][file]
            shared = positions[first][file][1] & theirs
            if shared:
                number = splits[second].shards.index(path)
                shard = splits[second].shard_name(number)
                with splits[second].reader() as reader:
                    place = reader.place(number, min(shared))
                raise DataError(
                    f"splits {splits[first].name!r} and {splits[second].name!r} share "
                    f"{len(shared)} records of {shard}, the first at {place}; make "
                    "their shards or id hashes disjoint"
                )


def _positions_by_file(split: Split) -> dict[Hashable, tuple[Path, set[int]]]:
    """Positions of the records in each shard, by the identity of the file and not by its name."""
    bounds = np.searchsorted(split.shard, np.arange(len(split.shards) + 1))
    out: dict[Hashable, tuple[Path, set[int]]] = {}
    for path, start, end in zip(split.shards, bounds[:-1], bounds[1:], strict=True):
        file: Hashable = path
        if split.remote is None:
            stat = path.stat()
            file = (stat.st_dev, stat.st_ino)
        out[file] = (path, set(split.position[start:end].tolist()))
    return out
