"""Arrays in files, mapped into memory, and rows of different lengths in them."""

from __future__ import annotations

import io
import mmap
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from common.problems import one_line, quoted
from records.errors import DataError

# What NumPy itself believes of a header, and the most that stands in front of it.
_LONGEST_HEADER = 10_000 + 12
_LOCAL_HEADER = 30  # of a member in an archive, up to its name


def map_array(path: Path) -> np.ndarray:
    """The array of an `.npy` file, mapped.

    Raises:
        DataError: It is none, it holds objects of Python, or it claims more than the file has.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        return _array(memoryview(content))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def stored_arrays(path: Path, file: IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file whose members are not compressed, mapped, by their names.

    Raises:
        DataError: It is no such file, or as in `map_array`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise DataError(f"{path}: is no sound .npz file: {one_line(error)}") from None
    arrays = {}
    for member in members:
        try:
            arrays[member.filename.removesuffix(".npy")] = _array(_stored(content, member))
        except DataError as error:
            raise DataError(f"{path}: {quoted(member.filename)}: {error}") from None
    return arrays


def verify_archive(path: Path) -> int:
    """A checksum of an archive's members, each of which is held against its own.

    Raises:
        DataError: One is damaged.
    """
    checksum = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    while file.read(1 << 20):
                        pass
                checksum = zlib.crc32(f"{member.filename} {member.CRC}".encode(), checksum)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path}: is no sound .npz file: {one_line(error)}; fetch it again"
        ) from None
    return checksum


def is_compressed(path: Path) -> bool:
    """Whether a member of an archive is.

    Raises:
        DataError: It is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return any(m.compress_type != zipfile.ZIP_STORED for m in archive.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: is no sound .npz file: {one_line(error)}") from None


class Ragged:
    """The rows of an array, or parts of it: one a clip.

    Beside an array `x` there may be `x_offsets` (N + 1,), by which row i is x[offsets[i] :
    offsets[i + 1]], or `x_lengths` (N,), by which it is x[i, : lengths[i]].

    Raises:
        DataError: These are no whole numbers, or reach beyond the array.
    """

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.values = arrays[name]
        self._offsets, self._lengths = (
            _whole_numbers(f"{name}_{suffix}", arrays) for suffix in ("offsets", "lengths")
        )
        if self.values.ndim == 0:
            raise DataError(f"{quoted(name)} is a single number, not an array with a row a clip")
        if self._offsets is not None:
            bounds, most = self._offsets, len(self.values)
            wrong = not len(bounds) or bounds[0] < 0 or bounds[-1] > most
            if wrong or (np.diff(bounds) < 0).any():
                raise DataError(
                    f"'{name}_offsets' must rise from 0 to {most}, the length of {name}"
                )
        elif self._lengths is not None:
            shape = self.values.shape
            fits = len(shape) > 1 and self._lengths.shape == shape[:1]
            if not fits or (self._lengths < 0).any() or (self._lengths > shape[1]).any():
                raise DataError(f"'{name}_lengths' does not fit {name}, which is {shape}")

    def __len__(self) -> int:
        return len(self.values) if self._offsets is None else len(self._offsets) - 1

    def row(self, row: int) -> np.ndarray:
        """What belongs to a clip."""
        if self._offsets is not None:
            return self.values[self._offsets[row] : self._offsets[row + 1]]
        whole = self.values[row]
        return whole if self._lengths is None else whole[: self._lengths[row]]


def _whole_numbers(name: str, arrays: Mapping[str, np.ndarray]) -> NDArray[np.int64] | None:
    if name not in arrays:
        return None
    found = arrays[name]
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(
            f"{quoted(name)} is {found.dtype} {found.shape}, not a row of whole numbers"
        )
    return found.astype(np.int64)


def _stored(content: memoryview, member: zipfile.ZipInfo) -> memoryview:
    """The bytes of a member, which lie as they are in the archive."""
    start = member.header_offset
    head = content[start : start + _LOCAL_HEADER]
    if len(head) < _LOCAL_HEADER:
        raise DataError("it lies beyond the end of the archive")
    # The local header has lengths of its own of name and further fields.
    start += (
        _LOCAL_HEADER
        + int.from_bytes(head[26:28], "little")
        + int.from_bytes(head[28:30], "little")
    )
    if start + member.file_size > len(content):
        raise DataError("it lies beyond the end of the archive")
    return content[start : start + member.file_size]


def _array(content: memoryview) -> np.ndarray:
    head = io.BytesIO(content[:_LONGEST_HEADER].tobytes())
    try:
        version = npy.read_magic(head)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, kind = read(head)
    except (ValueError, EOFError) as error:
        raise DataError(f"is no .npy array: {one_line(error)}") from None
    if kind.hasobject:
        raise DataError("holds objects of Python, which are not read; write texts or numbers")
    size, start = kind.itemsize, head.tell()
    for extent in shape:
        size *= extent
    if size != len(content) - start or min(shape, default=0) < 0:
        raise DataError(
            f"claims {kind} {shape}, {size} bytes, and has {len(content) - start}; fetch it again"
        )
    flat = np.frombuffer(content, kind, offset=start) if size else np.zeros(0, kind)
    return flat.reshape(shape, order="F" if is_fortran else "C")
