"""The index of a split: where its records lie, in columns that are mapped into memory."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.codec import to_plain
from common.files import atomic_path, read_json, write_json
from records.config import SplitSpec
from records.errors import DataError
from records.formats import ClipReader, Listing, format_of
from records.schema import Schema

# The widest first, so that every number lies at a multiple of its size.
_ROW = np.dtype([("position", "<u8"), ("shard", "<u4"), ("length", "<u4")])
_ROWS_NAME = "records.npy"
_META_NAME = "meta.json"


@dataclass
class IndexBuilder:
    """Finds the records of a split and writes their index, shard by shard.

    Its fields are those of `open_split`; `skip`: damaged records are counted and left out.
    """

    root: Path
    shards: tuple[Path, ...]
    spec: SplitSpec
    schema: Schema
    format: str
    skip: bool
    max_skipped: int
    _skipped: int = field(init=False, default=0)

    def build(self, cache: Path | None) -> dict[str, Any]:
        """What `Split` has of it, in memory or, in the folder `cache`, made once and mapped.

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
        all_records = ClipReader(self.shards, self.schema, self.format)
        with rows_path as beside, beside.open("wb") as file, all_records as reader:
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

    def _records(self, reader: ClipReader, number: int) -> Listing:
        """The records of one shard that belong to the split."""
        found = reader.list_records(number)
        if found.fault:
            self._count(found.fault)
        if not self.skip and (0, 1) in self.spec.ranges:
            return found
        keep = np.zeros(len(found.positions), np.bool_)
        records = zip(found.positions.tolist(), found.lengths.tolist(), strict=True)
        for row, (position, length) in enumerate(records):
            try:
                # Where damage is skipped, the whole of a clip must be sound.
                clip = reader.clip(number, position, length, with_features=self.skip)
                keep[row] = self.spec.takes(clip.id)
            except DataError as error:
                self._count(error)
        return Listing(found.positions[keep], found.lengths[keep], found.checksums[keep])

    def _count(self, error: DataError) -> None:
        if not self.skip:
            raise error
        self._skipped += 1
        if self._skipped > self.max_skipped:
            raise DataError(f"more than {self.max_skipped} damaged records; the last: {error}")


def _load(folder: Path, mapped: bool) -> dict[str, Any]:
    rows = np.load(folder / _ROWS_NAME, mmap_mode="r" if mapped else None, allow_pickle=False)
    columns = {name: rows[name] for name in ("shard", "position", "length")}
    return columns | read_json(folder / _META_NAME)


def _write_header(file: BinaryIO, rows: int) -> None:
    """The header of a ``.npy`` file, which has room for any number of rows."""
    descr = np.lib.format.dtype_to_descr(_ROW)
    header = {"descr": descr, "fortran_order": False, "shape": (rows,)}
    np.lib.format.write_array_header_1_0(file, header)
