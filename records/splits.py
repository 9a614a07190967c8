"""Which records of which shards make up a split, and what their labels are."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from records.clip_reader import ClipReader
from records.errors import DataError
from records.schema import Schema
from records.tfrecord.framing import scan

_COLUMNS = {name: np.dtype(t) for name, t in (("shard", "u4"), ("offset", "u8"), ("length", "u4"))}


@dataclass(frozen=True)
class SplitSpec:
    """Which records belong to a split.

    Attributes:
        shards: Glob below the data's root; ``**`` stands for any depth.
        hash_from: Only clips whose `id_hash` is at least this,
        hash_to: and below this. 0 and 1 keep all.
    """

    shards: str
    hash_from: float = 0.0
    hash_to: float = 1.0

    def __post_init__(self) -> None:
        if not self.shards:
            raise DataError("split: shards is empty; give a pattern such as 'train-*.tfrecord'")
        if not 0.0 <= self.hash_from < self.hash_to <= 1.0:
            raise DataError(
                f"split {self.shards!r}: hash_from is {self.hash_from} and hash_to {self.hash_to}; "
                "they must satisfy 0 <= hash_from < hash_to <= 1"
            )

    @property
    def hashed(self) -> bool:
        """Whether the split keeps a part of the ids only."""
        return self.hash_from > 0.0 or self.hash_to < 1.0


@dataclass(frozen=True, eq=False)
class Split:
    """The records of one split, in the order of shards and offsets.

    Attributes:
        name: ``train``, ``search``, ...
        schema: What the records hold.
        shards: The shard files.
        shard: (N,) uint32, for each record its index in `shards`, ascending.
        offset: (N,) uint64, byte at which the record starts.
        length: (N,) uint32, bytes of its data.
        fingerprint: Hex SHA-256 of the names of the shards and the records' lengths and checksums.
        skipped: Damaged records that were left out.
    """

    name: str
    schema: Schema
    shards: tuple[Path, ...]
    shard: NDArray[np.uint32]
    offset: NDArray[np.uint64]
    length: NDArray[np.uint32]
    fingerprint: str
    skipped: int

    def __len__(self) -> int:
        return len(self.shard)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.integer]) -> Split:
        """The split of some of the records.

        Args:
            keep: (N,) bool, or ascending row numbers.

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
            offset=self.offset[rows],
            length=self.length[rows],
            fingerprint=digest.hexdigest(),
        )

    def row_blocks(self, rows: int = 65536) -> Iterator[tuple[list[int], list[int], list[int]]]:
        """`shard`, `offset` and `length` as Python integers, some rows at a time."""
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            yield self.shard[part].tolist(), self.offset[part].tolist(), self.length[part].tolist()


def id_hash(clip_id: str) -> float:
    """A number in [0, 1) that depends on the id only: the same everywhere and always."""
    digest = hashlib.blake2b(clip_id.encode("utf-8"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2.0**53


def open_split(
    root: Path,
    name: str,
    spec: SplitSpec,
    schema: Schema,
    *,
    cache: Path | None,
    on_corrupt: str = "error",
    max_skipped: int = 100,
) -> Split:
    """Finds the records of a split.

    Reads the headers of every shard; the whole records too where ids are hashed or damaged records
    are to be skipped.

    Args:
        root: Folder of the shards.
        name: The split's name, for messages.
        spec: Which shards and ids.
        schema: What the records hold.
        cache: Folder in which the index is kept, to be mapped into memory; it is made anew when the
            names, sizes or times of the shards change. None: the index is held in memory.
        on_corrupt: ``error``: damage raises, here or when the record is read. ``skip``: every
            record is read and checked here, and what is damaged is left out and counted. Behind a
            damaged length the rest of the shard cannot be found; that counts as one.
        max_skipped: With ``skip``, more than this many raise.

    Raises:
        DataError: The folder is missing, the split is empty, a shard is damaged or too many are.
    """
    if on_corrupt not in ("error", "skip"):
        raise DataError(f"on_corrupt is {on_corrupt!r}; use 'error' or 'skip'")
    shards = _find_shards(Path(root), name, spec)
    builder = _IndexBuilder(Path(root), shards, spec, schema, on_corrupt == "skip", max_skipped)
    if cache is None:
        with tempfile.TemporaryDirectory() as folder:
            builder.write(Path(folder))
            index = _load_index(Path(folder), None)
    else:
        index = _cached_index(builder, Path(cache))
    if not len(index.shard):
        raise DataError(
            f"split {name!r} is empty: none of the records of {len(shards)} shards under {root} is "
            f"sound and has an id hash in [{spec.hash_from}, {spec.hash_to}); widen the split"
        )
    return Split(name, schema, shards, **vars(index))


def _find_shards(root: Path, name: str, spec: SplitSpec) -> tuple[Path, ...]:
    if not root.is_dir():
        raise DataError(f"data root {root}: no such folder; set data.root")
    try:
        found = sorted(root.glob(spec.shards))
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"split {name!r}: pattern {spec.shards!r}: {error}") from None
    shards = tuple(path for path in found if path.is_file() and not path.name.startswith("."))
    if not shards:
        raise DataError(f"split {name!r}: no file matches {spec.shards!r} under {root}")
    return shards


@dataclass(frozen=True, eq=False)
class _Index:
    """What is kept of a split; the fields are those of `Split`."""

    shard: NDArray[np.uint32]
    offset: NDArray[np.uint64]
    length: NDArray[np.uint32]
    fingerprint: str
    skipped: int


def _cached_index(builder: _IndexBuilder, cache: Path) -> _Index:
    folder = cache / builder.key()
    if not (folder / "meta.json").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".index-", dir=cache))
        try:
            builder.write(beside)
            os.replace(beside, folder)
        except OSError:
            if not (folder / "meta.json").is_file():  # else another process was faster
                raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return _load_index(folder, "r")


def _load_index(folder: Path, mmap_mode: Literal["r"] | None) -> _Index:
    def column(name: str) -> np.ndarray:
        return np.load(folder / f"{name}.npy", mmap_mode=mmap_mode, allow_pickle=False)

    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return _Index(column("shard"), column("offset"), column("length"), **meta)


class _IndexBuilder:
    """Writes the index of a split shard by shard; memory does not grow with their number."""

    def __init__(
        self,
        root: Path,
        shards: tuple[Path, ...],
        spec: SplitSpec,
        schema: Schema,
        skip: bool,
        max_skipped: int,
    ) -> None:
        self._root, self._shards, self._spec, self._schema = root, shards, spec, schema
        self._skip, self._max_skipped = skip, max_skipped
        self._skipped = 0

    def key(self) -> str:
        """Name of the index in a cache."""
        settings = (str(self._root.resolve()), self._spec, self._skip, self._max_skipped)
        digest = hashlib.sha256(repr(settings).encode())
        if self._spec.hashed or self._skip:
            digest.update(json.dumps(self._schema.to_dict()).encode())
        for path in self._shards:
            stat = path.stat()
            digest.update(f"{self._name(path)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        return digest.hexdigest()[:32]

    def write(self, folder: Path) -> None:
        """Writes the columns and, last, ``meta.json``."""
        digest = hashlib.sha256()
        columns = {name: _ColumnWriter(folder / f"{name}.npy", t) for name, t in _COLUMNS.items()}
        with ClipReader(self._shards, self._schema) as reader:
            for number, path in enumerate(self._shards):
                offsets, lengths, crcs = self._index_shard(reader, number, path)
                digest.update(self._name(path).encode() + b"\0")
                digest.update(lengths.astype("<u4").tobytes() + crcs.astype("<u4").tobytes())
                columns["shard"].append(np.full(len(offsets), number, np.uint32))
                columns["offset"].append(offsets)
                columns["length"].append(lengths)
        for column in columns.values():
            column.close()
        meta = {"fingerprint": digest.hexdigest(), "skipped": self._skipped}
        with (folder / "meta.json").open("w", encoding="utf-8") as file:
            json.dump(meta, file)
            file.flush()
            os.fsync(file.fileno())

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _index_shard(
        self, reader: ClipReader, number: int, path: Path
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]:
        found = scan(path)
        if found.fault:
            self._count(found.fault)
        if not self._skip and not self._spec.hashed:
            return found.offsets, found.lengths, found.data_crcs
        keep = np.zeros(len(found.offsets), np.bool_)
        records = zip(found.offsets.tolist(), found.lengths.tolist(), strict=True)
        for row, (offset, length) in enumerate(records):
            try:
                keep[row] = self._wanted(reader, number, offset, length)
            except DataError as error:
                self._count(error)
        return found.offsets[keep], found.lengths[keep], found.data_crcs[keep]

    def _wanted(self, reader: ClipReader, number: int, offset: int, length: int) -> bool:
        if self._skip:
            clip_id = reader.clip(number, offset, length).id
        else:
            clip_id, _ = reader.id_and_labels(number, offset, length)
        return self._spec.hash_from <= id_hash(clip_id) < self._spec.hash_to

    def _count(self, error: DataError) -> None:
        if not self._skip:
            raise error
        self._skipped += 1
        if self._skipped > self._max_skipped:
            raise DataError(f"more than {self._max_skipped} damaged records; the last: {error}")


class _ColumnWriter:
    """A one-dimensional ``.npy`` file that grows; its header has room for any length."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._file = path.open("wb")
        self._dtype = dtype
        self._count = 0
        self._write_header()

    def append(self, values: np.ndarray) -> None:
        self._file.write(values.astype(self._dtype).tobytes())
        self._count += len(values)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self._count,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def with_frames(split: Split, least: int) -> Split:
    """The records of clips of at least `least` frames; reads every record once.

    At video level a clip has no frames to count, and all are kept.

    Raises:
        DataError: No clip is that long, or a record is damaged.
    """
    if split.schema.level == "video":
        return split
    stream = split.schema.streams[0].name
    counts: list[int] = []
    with ClipReader(split.shards, split.schema) as reader:
        for block in split.row_blocks():
            places = zip(*block, strict=True)
            counts += (len(reader.clip(*place).features[stream]) for place in places)
    if max(counts) < least:
        raise DataError(
            f"split {split.name!r}: no clip has {least} frames, the longest has {max(counts)}; "
            "lower train.min_frames"
        )
    return split.select(np.array(counts) >= least)


def check_disjoint(splits: Sequence[Split]) -> None:
    """Makes sure that no record is in two splits.

    Raises:
        DataError: Two splits share a record; names both, the shard and the byte.
    """
    offsets = [_offsets_by_file(split) for split in splits]
    for first, second in itertools.combinations(range(len(splits)), 2):
        for file in offsets[first].keys() & offsets[second].keys():
            path, theirs = offsets[second][file]
            shared = offsets[first][file][1] & theirs
            if shared:
                raise DataError(
                    f"splits {splits[first].name!r} and {splits[second].name!r} share "
                    f"{len(shared)} records of {path}, the first at byte {min(shared)}; make their "
                    "shards or id hashes disjoint"
                )


def _offsets_by_file(split: Split) -> dict[tuple[int, int], tuple[Path, set[int]]]:
    """Offsets of the records in each shard, by the identity of the file and not by its name."""
    bounds = np.searchsorted(split.shard, np.arange(len(split.shards) + 1))
    out = {}
    for path, start, end in zip(split.shards, bounds[:-1], bounds[1:], strict=True):
        stat = path.stat()
        out[stat.st_dev, stat.st_ino] = (path, set(split.offset[start:end].tolist()))
    return out


@dataclass(frozen=True, eq=False)
class Truth:
    """Ids and labels of a split's records, in its order.

    Attributes:
        ids: (N,) strings.
        offsets: (N + 1,) int64; record i has the labels ``columns[offsets[i]:offsets[i + 1]]``.
        columns: (n,) int64, ascending within a record.
    """

    ids: NDArray[np.str_]
    offsets: NDArray[np.int64]
    columns: NDArray[np.int64]


def read_truth(split: Split) -> Truth:
    """Ids and labels of a split, in one pass over its records.

    Raises:
        DataError: A record is damaged or does not fit the schema; names shard and byte.
    """
    ids: list[str] = []
    labels: list[NDArray[np.int64]] = []
    with ClipReader(split.shards, split.schema) as reader:
        for block in split.row_blocks():
            for shard, offset, length in zip(*block, strict=True):
                clip_id, columns = reader.id_and_labels(shard, offset, length)
                ids.append(clip_id)
                labels.append(columns)
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(columns) for columns in labels], out=offsets[1:])
    return Truth(np.array(ids), offsets, np.concatenate(labels))
