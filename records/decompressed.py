"""Compressed shards, decompressed once into the cache: there any record can be read.

In a stream of gzip a record can be reached only through all that comes before it, and shuffled
clips come from anywhere. So a shard is decompressed piece by piece into a file beside the index,
which all processes of a run share; without a cache, into one that goes away with the reader.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import IO

from common.files import atomic_path
from records.errors import DataError

GZIP = b"\x1f\x8b"
# Features shrink by a half, or hardly at all; what grows more than this is not meant to be read.
_MOST_GROWTH = 64
# That much even a small file may hold.
_ALWAYS = 1 << 24
_PIECE = 1 << 20


class Pieces:
    """A file that is written up to a number of bytes.

    Raises:
        DataError: There are more.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._left = max(_ALWAYS, _MOST_GROWTH * path.stat().st_size)

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"{self._path}: grows to more than {_MOST_GROWTH} times its size when it is "
                "decompressed; decompress it yourself if that is meant"
            )
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The file is closed by whoever opened it."""


def decompressed(
    path: Path, cache: Path | None, unpack: Callable[[Path, Pieces], None]
) -> IO[bytes]:
    """A shard decompressed, as a file open for reading.

    Args:
        path: Of the shard.
        cache: Where it is kept until the shard changes; None: it is on no disk afterwards.
        unpack: Writes it, piece by piece.

    Raises:
        DataError: It is damaged, or grows to more than 64 times its size (and 16 MiB): what a file
            can fill of a disk is bounded by its size. Of memory it takes a piece.
    """
    if cache is None:
        file = tempfile.TemporaryFile()  # noqa: SIM115
        unpack(path, Pieces(file, path))
        file.flush()
        return file
    stat = path.stat()
    seen = repr((stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    name, version = (
        hashlib.sha256(text.encode()).hexdigest()[:16] for text in (str(path.resolve()), seen)
    )
    place = cache / f"{name}-{version}.decompressed"
    if not place.is_file():
        for older in cache.glob(f"{name}-*.decompressed"):
            older.unlink(missing_ok=True)
        with atomic_path(place) as beside, beside.open("wb") as written:
            unpack(path, Pieces(written, path))
    return FileIO(place)


def gunzip(path: Path, into: Pieces) -> None:
    """Decompresses a gzip file; several streams behind each other are one content.

    Raises:
        DataError: It is damaged, or grows too much.
    """
    try:
        with gzip.open(path) as pieces:
            while piece := pieces.read(_PIECE):
                into.write(piece)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be decompressed: {error}; fetch it again") from None
