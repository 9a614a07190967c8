"""The one door for data: what a format of files is, and which one reads a file.

A format is one class, registered in one file: it lists the records of a file by small numbers, and
reads the record that such numbers name. What they mean is its own affair.

    @register_format("rows", suffixes=(".rows",))
    class RowsFile(ShardFile):
        unit = "row"

        def list_records(self) -> Listing: ...
        def read(self, position: int, length: int) -> Clip: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.registry import Extension, Registry
from records.clip import Clip, check_clip
from records.errors import DataError
from records.schema import Schema

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
    """A file of records, opened for reading; a format is a subclass.

    Args:
        path: The file.
        schema: What its records hold.

    Raises:
        DataError: The file cannot be opened.
    """

    unit: ClassVar[str] = "record"
    """What a position counts, for messages: "byte", "row", ..."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self.schema = schema

    @abstractmethod
    def list_records(self) -> Listing:
        """Finds the records, as cheaply as the format can."""

    @abstractmethod
    def read(self, position: int, length: int) -> Clip:
        """One record of the listing, every checksum of it verified.

        Raises:
            DataError: It is damaged, or not there; says why, and `fault` will say where.
        """

    def clip(self, position: int, length: int) -> Clip:
        """As `read`, held against the schema."""
        return check_clip(self.read(position, length), self.schema)

    def id_and_labels(self, position: int, length: int) -> tuple[str, NDArray[np.int64]]:
        """As `clip`, without the features, for formats that can leave them unread."""
        clip = self.clip(position, length)
        return clip.id, clip.labels

    def fault(self, position: int, reason: object) -> DataError:
        """The error that says what is wrong with a record, and where it lies."""
        return DataError(f"{self.path}, {self.unit} {position}: {reason}")

    def close(self) -> None:  # noqa: B027
        """Gives back what the file holds; not used afterwards."""


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        name: Its name in `data.format`.
        suffixes: How the names of its files end.
        file: What reads them.
    """

    name: str
    suffixes: tuple[str, ...]
    file: type[ShardFile]

    @property
    def source(self) -> Extension | None:
        """The user's file that the format is of; None for the project's own."""
        return _FORMATS.source(self.name)


_FORMATS: Registry[Format] = Registry("format", DataError)
File = TypeVar("File", bound=ShardFile)


def register_format(name: str, suffixes: tuple[str, ...]) -> Callable[[type[File]], type[File]]:
    """Registers the class that it decorates as a format.

    Raises:
        DataError: The name or a suffix is another's.
    """

    def register(file: type[File]) -> type[File]:
        if name == AUTO:
            raise DataError(f"format {name!r}: the name means that the suffix chooses; rename it")
        for other in map(_FORMATS.get, _FORMATS.names()):
            shared = set(suffixes) & set(other.suffixes)
            if shared and other.name != name:
                raise DataError(f"format {name!r}: {min(shared)} is a suffix of {other.name!r}")
        _FORMATS.add(name, Format(name, suffixes, file))
        return file

    return register


def format_of(path: Path, choice: str) -> Format:
    """The format of a file.

    Args:
        path: The file.
        choice: A format's name, or ``auto`` for the one whose suffix the file has; of two that fit
            the longer.

    Raises:
        DataError: There is no such format, or none for the suffix.
    """
    if choice != AUTO:
        return _FORMATS.get(choice)
    suffix = max(filter(path.name.endswith, known_suffixes(AUTO)), key=len, default=None)
    if suffix is None:
        raise DataError(
            f"{path}: no format has this suffix; there are {', '.join(known_suffixes(AUTO))}; "
            f"narrow the pattern, or set data.format to one of {', '.join(_FORMATS.names())}"
        )
    return next(f for f in map(_FORMATS.get, _FORMATS.names()) if suffix in f.suffixes)


def known_suffixes(choice: str) -> tuple[str, ...]:
    """The suffixes of a format, or of all with ``auto``.

    Raises:
        DataError: There is no such format.
    """
    names = _FORMATS.names() if choice == AUTO else [choice]
    return tuple(suffix for name in names for suffix in _FORMATS.get(name).suffixes)
