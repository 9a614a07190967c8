"""The index of a split: where its records lie, in columns that are mapped into memory."""

import hashlib
import itertools
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from records.census import CensusTaker
from records.checked import read_checked, write_checked
from records.config import SplitSpec
from records.errors import DataError
from records.formats import ClipReader, Listing, format_of
from records.objects.folder import RemoteShards
from records.schema import Schema, plain_schema

# The widest first, so that every number lies at a multiple of its size.
_ROW = np.dtype([("position", "<u8"), ("shard", "<u4"), ("length", "<u4")])


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
    remote: RemoteShards | None = None
    _skipped: int = field(init=False, default=0)
    _taker: CensusTaker = field(init=False, default_factory=CensusTaker)

    def build(self, cache: Path | None) -> dict[str, Any]:
        """What `Split` has of it, in memory or, in the folder `cache`, made once and mapped.

        An index is made again when a shard's size or one of its times is another, or when it is
        damaged itself.

        Raises:
            DataError: A shard is damaged, or too many records are.
        """
        if cache is None:
            with tempfile.TemporaryDirectory() as folder:
                rows, about = self._made(Path(folder, "index"), None, None)
                # Mapped they would be of a file that goes away.
                return _columns(np.array(rows), about)
        path, seen = cache / f"{self._key()}.index", self._seen()
        kept = read_checked(path)
        if kept is None or kept[1]["seen"] != seen:
            kept = self._made(path, seen, cache)
            if self._reads_clips:
                self._taker.store(cache, kept[1]["fingerprint"], self.schema)
        return _columns(*kept)

    def _key(self) -> str:
        """Name of the index in a cache."""
        ranges, schema = repr(self.spec.ranges), json.dumps(plain_schema(self.schema))
        # A URL is one from everywhere.
        root = self.root if self.remote else self.root.resolve()
        settings = (str(root), ranges, schema, self.skip, self.max_skipped)
        digest = hashlib.sha256(f"{_ROW}{settings}".encode())
        for path in self.shards:
            format = format_of(path, self.format)
            source = None if format.source is None else format.source.digest
            digest.update(repr((self._name(path), format.name, source)).encode())
        return digest.hexdigest()[:32]

    def _seen(self) -> str:
        """A hash of what tells that a shard was changed.

        A copy may keep the time at which the content changed; the inode's own (ctime) it cannot.
        An object has its version.
        """
        digest = hashlib.sha256()
        if self.remote is not None:
            for path in self.shards:
                stored = self.remote.objects[path]
                digest.update(repr((stored.size, stored.version)).encode())
            return digest.hexdigest()
        parts = (format_of(path, self.format).file.parts(path) for path in self.shards)
        for path in itertools.chain.from_iterable(parts):
            stat = path.stat()
            digest.update(repr((stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)).encode())
        return digest.hexdigest()

    @property
    def _reads_clips(self) -> bool:
        """Whether a listing of the records is not enough.

        Of shards that have to be fetched, clips are counted while they are here.
        """
        return self.skip or (0, 1) not in self.spec.ranges or self.remote is not None

    def _made(
        self, path: Path, seen: str | None, cache: Path | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Writes the index of shards that look like `seen`, and reads it back."""
        self._write(path, seen, cache)
        made = read_checked(path)
        if made is None:
            raise DataError(f"{path}: is not what was written; check the disk")
        return made

    def _write(self, path: Path, seen: str | None, cache: Path | None) -> None:
        digest = hashlib.sha256()
        all_records = ClipReader(self.shards, self.schema, self.format, cache, remote=self.remote)
        with write_checked(path) as file, all_records as reader:
            reader.expect(range(len(self.shards)))
            for number, shard in enumerate(self.shards):
                found = self._records(reader, number)
                digest.update(self._name(shard).encode() + b"\0")
                digest.update(found.lengths.astype("<u4").tobytes())
                digest.update(found.checksums.astype("<u4").tobytes())
                source = format_of(shard, self.format).source
                if source is not None:
                    digest.update(source.digest.encode())
                rows = np.empty(len(found.positions), _ROW)
                rows["shard"], rows["position"] = number, found.positions
                rows["length"] = found.lengths
                file.write(rows.tobytes())
            file.about = {
                "seen": seen,
                "fingerprint": digest.hexdigest(),
                "skipped": self._skipped,
            }

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _records(self, reader: ClipReader, number: int) -> Listing:
        """The records of one shard that belong to the split."""
        found = reader.list_records(number)
        if found.fault:
            self._count(found.fault)
        if not self._reads_clips:
            return found
        keep = np.zeros(len(found.positions), np.bool_)
        records = zip(found.positions.tolist(), found.lengths.tolist(), strict=True)
        for row, (position, length) in enumerate(records):
            try:
                # Where damage is skipped, the whole of a clip must be sound.
                clip = reader.clip(number, position, length, with_features=self.skip)
            except DataError as error:
                self._count(error)
                continue
            if self.spec.takes(clip.id):
                keep[row] = True
                self._taker.add(clip)
        return Listing(found.positions[keep], found.lengths[keep], found.checksums[keep])

    def _count(self, error: DataError) -> None:
        if not self.skip:
            raise error
        self._skipped += 1
        if self._skipped > self.max_skipped:
            raise DataError(f"more than {self.max_skipped} damaged records; the last: {error}")


def _columns(content: np.ndarray, about: dict[str, Any]) -> dict[str, Any]:
    rows = content.view(_ROW)
    columns = {name: rows[name] for name in ("shard", "position", "length")}
    return columns | {name: about[name] for name in ("fingerprint", "skipped")}
