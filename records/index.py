"""The index of a split: where its records lie, in columns that are mapped into memory."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from common.codec import to_plain
from common.files import atomic_path, read_json, write_json
from records.clip_reader import ClipReader
from records.config import SplitSpec
from records.errors import DataError
from records.formats import Listing, format_of
from records.schema import Schema

# The widest first, so that every number lies at a multiple of its size.
_ROW = np.dtype([("position", "<u8"), ("shard", "<u4"), ("length", "<u4")])
_ROWS_NAME = "records.npy"
_META_NAME = "meta.json"


@dataclass(frozen=True, eq=False)
class Index:
    """What is kept of a split; see `Split` for the columns."""

    shard: NDArray[np.uint32]
    position: NDArray[np.uint64]
    length: NDArray[np.uint32]
    fingerprint: str
    skipped: int


@dataclass
class IndexBuilder:
    """Finds the records of a split and writes their index, shard by shard.

    Attributes:
        root: Folder of the shards.
        shards: The files.
        spec: Which ids.
        schema: What the records hold.
        format: Name of their format, or ``auto``.
        skip: Whether damaged records are counted and left out.
        max_skipped: More than this many are too many.
    """

    root: Path
    shards: tuple[Path, ...]
    spec: SplitSpec
    schema: Schema
    format: str
    skip: bool
    max_skipped: int
    _skipped: int = field(init=False, default=0)

    def build(self, cache: Path | None) -> Index:
        """The index, in memory or, in the folder `cache`, made once and mapped.

        Raises:
            DataError: A shard is damaged, or too many records are.
        """
        if cache is None:
            with tempfile.TemporaryDirectory() as folder:
                self._write(Path(folder))
                return _load(Path(folder), mapped=False)
        kept = cache / self._key()
        # It is written last. Two processes at once write the same files, each of them whole.
        if not (kept / _META_NAME).is_file():
            self._write(kept)
        return _load(kept, mapped=True)

    def _key(self) -> str:
        """Name of the index in a cache."""
        ranges, schema = repr(self.spec.ranges), json.dumps(to_plain(self.schema))
        settings = (str(self.root.resolve()), ranges, schema, self.skip, self.max_skipped)
        digest = hashlib.sha256(f"{_ROW}{settings}".encode())
        for path in self.shards:
            stat, format = path.stat(), format_of(path, self.format)
            source = None if format.source is None else format.source.digest
            about = (self._name(path), stat.st_size, stat.st_mtime_ns, format.name, source)
            digest.update(repr(about).encode())
        return digest.hexdigest()[:32]

    def _write(self, folder: Path) -> None:
        """Writes the rows and, last, the file that says that they are whole."""
        digest = hashlib.sha256()
        count = 0
        rows_path = atomic_path(folder / _ROWS_NAME)
        with rows_path as beside, beside.open("wb") as file, self._reader() as reader:
            _write_header(file, 0)
            for number, path in enumerate(self.shards):
                found = self._records(reader, number)
                digest.update(self._name(path).encode() + b"\0")
                digest.update(found.lengths.astype("<u4").tobytes())
                digest.update(found.checksums.astype("<u4").tobytes())
                source = format_of(path, self.format).source
                if source is not None:
                    digest.update(source.digest.encode())
                rows = np.empty(len(found.positions), _ROW)
                rows["shard"], rows["position"] = number, found.positions
                rows["length"] = found.lengths
                file.write(rows.tobytes())
                count += len(rows)
            file.seek(0)
            _write_header(file, count)
        meta = {"fingerprint": digest.hexdigest(), "skipped": self._skipped}
        write_json(folder / _META_NAME, meta)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _reader(self) -> ClipReader:
        return ClipReader(self.shards, self.schema, self.format)

    def _records(self, reader: ClipReader, number: int) -> Listing:
        """The records of one shard that belong to the split."""
        found = reader.list_records(number)
        if found.fault:
            self._count(found.fault)
        if not self.skip and not self.spec.hashed:
            return found
        keep = np.zeros(len(found.positions), np.bool_)
        records = zip(found.positions.tolist(), found.lengths.tolist(), strict=True)
        for row, (position, length) in enumerate(records):
            try:
                keep[row] = self.spec.takes(self._id(reader, number, position, length))
            except DataError as error:
                self._count(error)
        return Listing(found.positions[keep], found.lengths[keep], found.checksums[keep])

    def _id(self, reader: ClipReader, *place: int) -> str:
        """The id of a clip; where damage is skipped, of a clip all of which is sound."""
        return reader.clip(*place).id if self.skip else reader.id_and_labels(*place)[0]

    def _count(self, error: DataError) -> None:
        if not self.skip:
            raise error
        self._skipped += 1
        if self._skipped > self.max_skipped:
            raise DataError(f"more than {self.max_skipped} damaged records; the last: {error}")


def _load(folder: Path, mapped: bool) -> Index:
    rows = np.load(folder / _ROWS_NAME, mmap_mode="r" if mapped else None, allow_pickle=False)
    meta: dict[str, Any] = read_json(folder / _META_NAME)
    return Index(rows["shard"], rows["position"], rows["length"], **meta)


def _write_header(file: BinaryIO, rows: int) -> None:
    """The header of a ``.npy`` file, which has room for any number of rows."""
    descr = np.lib.format.dtype_to_descr(_ROW)
    header = {"descr": descr, "fortran_order": False, "shape": (rows,)}
    np.lib.format.write_array_header_1_0(file, header)
