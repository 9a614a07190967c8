"""What the ids and the labels of a split are like, counted before anything is learned from them."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.problems import quoted
from records.checked import read_checked, write_checked
from records.clip import Clip
from records.config import id_number
from records.errors import DataError, listed
from records.schema import Schema, plain_schema

if TYPE_CHECKING:
    from records.splits import Split

_ROW = np.dtype([("id", "<u8"), ("labels", "<u4")])


@dataclass(frozen=True, eq=False)
class Census:
    """The ids and labels of N clips, counted.

    Attributes:
        ids: (N,) uint64, the `id_number` of each clip's id.
        labels: (N,) uint32, how many labels each clip has.
        repeating: Clips whose record names a label more than once.
        same: Whether all clips have the same labels.
        flags: Whether every record names labels 0 and 1 over and over, and nothing else.
    """

    ids: NDArray[np.uint64]
    labels: NDArray[np.uint32]
    repeating: int
    same: bool
    flags: bool

    def __str__(self) -> str:
        """Labels a clip: least, most, median; and clips without."""
        without = int((self.labels == 0).sum())
        text = (
            f"{self.labels.min()} to {self.labels.max()}, median {np.median(self.labels):g} "
            f"({len(self.labels)} clips, {without} without"
        )
        return text + (f", {self.repeating} name one twice)" if self.repeating else ")")


class CensusTaker:
    """Counts clip by clip."""

    def __init__(self) -> None:
        self._ids, self._labels = array("Q"), array("I")
        self._first = b""
        self._repeating = 0
        self._same = self._flags = True

    def add(self, clip: Clip) -> None:
        """Counts a clip."""
        labels = clip.labels.tobytes()
        if not self._ids:
            self._first = labels
        self._same &= labels == self._first
        self._flags &= clip.repeated_labels > 0 and int(clip.labels[-1]) <= 1
        self._repeating += clip.repeated_labels > 0
        self._ids.append(id_number(clip.id))
        self._labels.append(len(clip.labels))

    def store(self, cache: Path, fingerprint: str, schema: Schema) -> None:
        """Keeps what was counted for the split of that fingerprint."""
        rows = np.empty(len(self._ids), _ROW)
        rows["id"], rows["labels"] = self._ids, self._labels
        with write_checked(_path(cache, fingerprint, schema)) as file:
            file.write(rows.tobytes())
            file.about = {"repeating": self._repeating, "same": self._same, "flags": self._flags}


def take_census(split: Split, cache: Path) -> Census:
    """Counts a split, in one pass over its records, once as long as its fingerprint is the same.

    Raises:
        DataError: A record is damaged or does not fit the schema.
    """
    path = _path(cache, split.fingerprint, split.schema)
    kept = read_checked(path)
    if kept is None:
        taker = CensusTaker()
        for clip in split.clips(with_features=False):
            taker.add(clip)
        taker.store(cache, split.fingerprint, split.schema)
        kept = read_checked(path)
        if kept is None:
            raise DataError(f"{path}: is not what was written; check the disk")
    rows = kept[0].view(_ROW)
    return Census(rows["id"], rows["labels"], **kept[1])


def check_census(splits: Sequence[Split], cache: Path, unlabeled: Sequence[Split] = ()) -> str:
    """Makes sure that labels are labels, and that no id is there twice, within a split or in two.

    Args:
        splits: Those with labels.
        cache: Folder in which what was counted is kept.
        unlabeled: Those whose labels are not read.

    Returns:
        How many labels the clips have, in a line.

    Raises:
        DataError: No clip of a split has a label, all have the same ones, or the labels are
            multi-hot vectors; or two clips have one id, and then both places are named.
    """
    counted = [(split, take_census(split, cache)) for split in splits]
    for split, census in counted:
        _check_labels(split, census)
    further = [(split, take_census(split, cache)) for split in unlabeled]
    check_ids([(split, census.ids) for split, census in counted + further])
    return "labels a clip: " + "; ".join(f"{split.name} {census}" for split, census in counted)


def _check_labels(split: Split, census: Census) -> None:
    place, key = f"split {split.name!r}", quoted(split.schema.labels_key)
    if not census.labels.any():
        with split.reader() as reader:
            keys = reader.keys(*next(split.places(slice(1))))
        raise DataError(
            f"{place}: none of its {len(split)} clips has a label under {key}; its first record "
            f"has {listed(keys) or 'no keys'}; set labels_key in the schema to the labels' key"
        )
    if census.flags:
        raise DataError(
            f"{place}: the labels under {key} are 0 and 1 over and over, in each of {len(split)} "
            "clips: multi-hot vectors; write the indices of the ones, such as [3, 17]"
        )
    if census.same and len(split) > 1:
        found = next(split.clips(with_features=False)).labels.tolist()
        raise DataError(
            f"{place}: all {len(split)} clips have the same labels under {key}, {quoted(found)}, "
            "which leaves nothing to learn or to score; write each clip's own, as indices"
        )


def check_ids(numbered: Sequence[tuple[Split, NDArray[np.uint64]]]) -> None:
    """Makes sure that no id is there twice.

    Args:
        numbered: Splits, each with the `id_number` (N,) of each of its clips.

    Raises:
        DataError: One is; names it and both shards.
    """
    ids = np.concatenate([numbers for _, numbers in numbered])
    order = np.argsort(ids, kind="stable")
    alike = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])
    for place in alike[np.argsort(order[alike])].tolist():
        rows = (_of_all(numbered, int(row)) for row in order[place : place + 2])
        (one, first), (other, second) = ((_id_at(*row), _place(*row)) for row in rows)
        # Two ids may have one number.
        if one == other:
            raise DataError(
                f"clip {quoted(one)} is there twice, {first} and {second}, and {len(alike)} ids "
                "are; give each clip an id of its own, or leave a shard out (data.*.exclude)"
            )


def _of_all(numbered: Sequence[tuple[Split, NDArray[np.uint64]]], row: int) -> tuple[Split, int]:
    """The split that a row of all splits lies in, and its row there."""
    for split, _ in numbered:
        if row < len(split):
            break
        row -= len(split)
    return split, row


def _id_at(split: Split, row: int) -> str:
    return next(split.select(np.array([row])).clips(with_features=False)).id


def _place(split: Split, row: int) -> str:
    return f"in {split.shard_name(int(split.shard[row]))} ({split.name})"


def _path(cache: Path, fingerprint: str, schema: Schema) -> Path:
    digest = hashlib.sha256(f"{_ROW}{fingerprint}{json.dumps(plain_schema(schema))}".encode())
    return cache / f"{digest.hexdigest()[:32]}.census"
