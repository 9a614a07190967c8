"""The one door for data: what a format of files is, which one reads a file, and clips by place.

A format is one class, registered in one file: it lists the records of a file by small numbers, and
reads the record that such numbers name. What they mean is its own affair.

    @register_format("rows", suffixes=(".rows",))
    class RowsFile(ShardFile):
        unit = "row"

        def list_records(self) -> Listing: ...
        def read(self, position: int, length: int) -> Clip: ...
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.registry import Extension, Registry
from records.clip import Clip, check_clip
from records.errors import DataError
from records.foreign import refuse_foreign
from records.order import GROUP_SHARDS
from records.schema import Schema

if TYPE_CHECKING:
    from records.objects.fetcher import Fetcher
    from records.objects.folder import RemoteShards

AUTO = "auto"


@dataclass(frozen=True, eq=False)
class Listing:
    """Where the N records of a file lie, in its order.

    Attributes:
        positions: (N,) uint64, each once: bytes, rows, or whatever else the format counts.
        lengths: (N,) uint32, what more it takes to read a record.
        checksums: (N,) uint32 of the records' contents, those that the file stores if it does. The
            data's fingerprint is made of them: a record that changes must change its own.
        fault: What is wrong behind the last record that could be found; None when nothing is.
    """

    positions: NDArray[np.uint64]
    lengths: NDArray[np.uint32]
    checksums: NDArray[np.uint32]
    fault: DataError | None = None


class ShardFile(ABC):
    """A file of records that the schema describes, opened for reading; a format is a subclass.

    Raises:
        DataError: The file cannot be opened.
    """

    unit: ClassVar[str] = "record"
    """What a position counts, for messages: "byte", "row", ..."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self.schema = schema

    @classmethod
    def open(cls, path: Path, schema: Schema, cache: Path | None) -> ShardFile:
        """The file, opened; a format that keeps something beside the index does so in `cache`."""
        return cls(path, schema)

    @classmethod
    def whole(cls, path: Path, schema: Schema) -> Path:
        """The file that stands for the shard which a file is a part of."""
        return path

    @classmethod
    def parts(cls, path: Path) -> tuple[Path, ...]:
        """The files that hold the shard for which one stands."""
        return (path,)

    @abstractmethod
    def list_records(self) -> Listing:
        """Finds the records, as cheaply as the format can."""

    @abstractmethod
    def read(self, position: int, length: int) -> Clip:
        """One record of the listing, every checksum of it verified.

        Raises:
            DataError: It is damaged, or not there; says why, and `ClipReader` will say where.
        """

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        """As `read`, held against the schema.

        A format that can leave the features unread does so here where they are not wanted.
        """
        return check_clip(self.read(position, length), self.schema)

    def keys(self, position: int, length: int) -> list[str]:
        """What a record holds, for messages; nothing where the format has no names for it."""
        return []

    def place(self, position: int) -> str:
        """A position in words, for messages."""
        return f"{self.unit} {position}"

    def close(self) -> None:  # noqa: B027
        """Gives back what the file holds; not used afterwards."""


@dataclass(frozen=True)
class Format:
    """A format: its name in `data.format`, how its files' names end, and what reads them."""

    name: str
    suffixes: tuple[str, ...]
    file: type[ShardFile]

    @property
    def source(self) -> Extension | None:
        """The user's file that the format is of; None for the project's own."""
        return _FORMATS.source(self.name)


def _own() -> None:
    from records.arrow import datasets, parquet  # noqa: F401
    from records.numpy import shards  # noqa: F401
    from records.tfrecord import example  # noqa: F401


_FORMATS: Registry[Format] = Registry("format", DataError, _own)
File = TypeVar("File", bound=ShardFile)


def _formats() -> list[Format]:
    return [_FORMATS.get(name) for name in _FORMATS.names()]


def register_format(name: str, suffixes: tuple[str, ...]) -> Callable[[type[File]], type[File]]:
    """Registers the class that it decorates as a format.

    Raises:
        DataError: The name or a suffix is another's.
    """

    def register(file: type[File]) -> type[File]:
        if name == AUTO:
            raise DataError(f"format {name!r}: the name means that the suffix chooses; rename it")
        for other in _formats():
            shared = set(suffixes) & set(other.suffixes)
            if shared and other.name != name:
                raise DataError(f"format {name!r}: {min(shared)} is a suffix of {other.name!r}")
        _FORMATS.add(name, Format(name, suffixes, file))
        return file

    return register


def format_of(path: Path, choice: str) -> Format:
    """The format that is chosen by name, or with ``auto`` by the longest suffix that fits the file.

    Raises:
        DataError: There is no such format, or none for the suffix.
    """
    if choice != AUTO:
        return _FORMATS.get(choice)
    found = _by_suffix(path)
    if found is None:
        refuse_foreign(path)
        raise DataError(
            f"{path}: no format has this suffix; there are {', '.join(known_suffixes(AUTO))}; "
            f"narrow the pattern, or set data.format to one of {', '.join(_FORMATS.names())}"
        )
    return found


def shard_of(path: Path, choice: str, schema: Schema) -> Path:
    """The file that stands for the shard which a file is a part of, mostly itself."""
    format = _by_suffix(path) if choice == AUTO else _FORMATS.get(choice)
    return path if format is None else format.file.whole(path, schema)


def _by_suffix(path: Path) -> Format | None:
    suffix = max(filter(path.name.endswith, known_suffixes(AUTO)), key=len, default=None)
    return next((format for format in _formats() if suffix in format.suffixes), None)


def known_suffixes(choice: str) -> tuple[str, ...]:
    """The suffixes of the format that is chosen by name, or of all with ``auto``."""
    formats = _formats() if choice == AUTO else [_FORMATS.get(choice)]
    return tuple(suffix for format in formats for suffix in format.suffixes)


class ClipReader:
    """Reads single clips of a list of shards; checksums and schema are verified for each.

    At most `max_open` files are held open; the least recently used ones are closed. Of shards
    in object storage (`remote`) copies are read.
    """

    def __init__(
        self,
        shards: tuple[Path, ...],
        schema: Schema,
        format: str,
        cache: Path | None = None,
        max_open: int = 128,
        remote: RemoteShards | None = None,
    ) -> None:
        self._shards = shards
        self._schema = schema
        self._format = format
        self._cache = cache
        self._max_open = max_open
        self._fetcher: Fetcher | None = None
        if remote is not None:
            # It imports this module, and most shards lie in a folder.
            from records.objects.fetcher import Fetcher

            self._fetcher = Fetcher(remote)
            # What is open takes room.
            self._max_open = min(max_open, GROUP_SHARDS)
        self._open: OrderedDict[int, tuple[ShardFile, ExitStack]] = OrderedDict()

    def expect(self, shards: Iterable[int]) -> None:
        """Says which shards will be read, each once, in about this order."""
        if self._fetcher is not None:
            self._fetcher.expect(self._shards[number] for number in shards)

    def list_records(self, shard: int) -> Listing:
        """Where the records of shard number `shard` lie."""
        file = self._file(shard)
        try:
            found = file.list_records()
        except DataError as error:
            raise self._fault(shard, str(error)) from None
        fault = found.fault and self._fault(shard, str(found.fault))
        return dataclasses.replace(found, fault=fault)

    def clip(self, shard: int, position: int, length: int, with_features: bool = True) -> Clip:
        """The clip of the record at a position of shard number `shard`.

        Raises:
            DataError: The record is damaged or does not fit the schema; names shard and place.
        """
        file = self._file(shard)
        try:
            return file.clip(position, length, with_features)
        except DataError as error:
            text = f"{file.path}, {file.place(position)}: {error}"
            raise self._fault(shard, text) from None

    def place(self, shard: int, position: int) -> str:
        """A position in shard number `shard`, in words."""
        return self._file(shard).place(position)

    def keys(self, shard: int, position: int, length: int) -> list[str]:
        """What the record at a position of shard number `shard` holds; see `ShardFile.keys`."""
        return self._file(shard).keys(position, length)

    def _file(self, shard: int) -> ShardFile:
        opened = self._open.get(shard)
        if opened is not None:
            self._open.move_to_end(shard)
            return opened[0]
        if len(self._open) >= self._max_open:
            self._open.popitem(last=False)[1][1].close()
        with ExitStack() as held:
            file = self._opened(shard, held)
            held.callback(file.close)
            self._open[shard] = file, held.pop_all()
        return file

    def _opened(self, shard: int, held: ExitStack) -> ShardFile:
        """A shard's file, or that of its copy, which is then kept as long as `held`."""
        path, cache = self._shards[shard], self._cache
        kind = format_of(path, self._format).file
        if self._fetcher is None:
            return kind.open(path, self._schema, cache)
        copy = self._fetcher.copy(path)
        held.callback(copy.release)
        try:
            file = kind.open(copy.path, self._schema, copy.beside)
        except DataError as error:
            raise self._fault(shard, str(error)) from None
        if copy.beside.exists():
            self._fetcher.trim()
        return file

    def _fault(self, shard: int, text: str) -> DataError:
        """What is wrong with a shard, by the name that the user knows."""
        if self._fetcher is not None:
            text = self._fetcher.blame(self._shards[shard], text)
        return DataError(text)

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(self, *exc: object) -> None:
        while self._open:
            self._open.popitem()[1][1].close()
        if self._fetcher is not None:
            self._fetcher.close()
