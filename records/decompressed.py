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
from io import FileIO
from pathlib import Path
from typing import IO, BinaryIO

from common.files import atomic_path
from records.errors import DataError

GZIP = b"\x1f\x8b"
# Features shrink by a half, or hardly at all; what grows more than this is not meant to be read.
_MOST_GROWTH = 64
# That much even a small file may hold.
_ALWAYS = 1 << 24
_PIECE = 1 << 20


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def gunzipped(path: Path, cache: Path | None) -> IO[bytes]:
    """The content of a gzip file, as a file open for reading.

    Args:
        path: Of the file; several streams behind each other are one content.
        cache: Where it is kept until the file changes; None: it is on no disk afterwards.

    Raises:
        DataError: It is damaged, or grows to more than 64 times its size (and 16 MiB): what a file
            can fill of a disk is bounded by its size. Of memory it takes a megabyte.
    """
    if cache is None:
        file = tempfile.TemporaryFile()  # noqa: SIM115
        _decompress(path, file)
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
        with atomic_path(place) as beside, beside.open("wb") as file:
            _decompress(path, file)
    return FileIO(place)


def _decompress(path: Path, into: IO[bytes]) -> None:
    most = max(_ALWAYS, _MOST_GROWTH * path.stat().st_size)
    size = 0
    try:
        with gzip.open(path) as pieces:
            while piece := _read(pieces):
                size += len(piece)
                if size > most:
                    raise DataError(
                        f"{path}: grows to more than {_MOST_GROWTH} times its size when it is "
                        "decompressed; decompress it yourself if that is meant"
                    )
                into.write(piece)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be decompressed: {error}; fetch it again") from None


def _read(pieces: BinaryIO | gzip.GzipFile) -> bytes:
    return pieces.read(_PIECE)
