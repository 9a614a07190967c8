"""The TFRecord container: framing, checksums, reading by offset, writing.

A record is its length (uint64), the masked CRC-32C of those eight bytes, the data, and the masked
CRC-32C of the data; all little-endian.
"""

import itertools
import os
import struct
from collections.abc import Iterable
from io import FileIO
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from common.files import atomic_path
from records.errors import DataError
from records.formats import Listing

HEADER_BYTES = 12
FOOTER_BYTES = 4
FRAMING_BYTES = HEADER_BYTES + FOOTER_BYTES

_HEADER = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_LONGEST = 2**31 - 1  # protobuf's own limit for a message


def masked_crc(data: bytes | NDArray[np.uint8]) -> int:
    """CRC-32C of `data`, rotated and offset as the TFRecord format stores it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def scan(path: Path, descriptor: int | None = None) -> Listing:
    """Finds the records of a shard by walking its headers.

    The checksum of every length is verified, and no length reaches beyond the file. What follows a
    broken header cannot be found, so the scan ends there and reports it in `Listing.fault`. The
    checksums are those that the file stores of the data; they are not verified here.

    Args:
        path: Of the shard.
        descriptor: Of the file that holds its records, open, where that is another one.

    Raises:
        DataError: The file cannot be opened.
    """
    if descriptor is None:
        with open_file(path) as file:
            return scan(path, file.fileno())
    offsets: list[int] = []
    lengths: list[int] = []
    crcs: list[int] = []
    fault: DataError | None = None
    offset = 0
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, HEADER_BYTES, 0)
    while offset < size:
        try:
            length = _length_of(head, size - offset - FRAMING_BYTES)
            end = offset + HEADER_BYTES + length
            tail = os.pread(descriptor, FOOTER_BYTES + HEADER_BYTES, end)
            if len(tail) < FOOTER_BYTES:
                raise DataError("the file shrank while it was read")
        except DataError as error:
            fault = DataError(f"{path}, byte {offset}: {error}")
            break
        offsets.append(offset)
        lengths.append(length)
        crcs.append(_CRC.unpack_from(tail)[0])
        head = tail[FOOTER_BYTES:]
        offset = end + FOOTER_BYTES
    return Listing(
        np.array(offsets, np.uint64), np.array(lengths, np.uint32), np.array(crcs, np.uint32), fault
    )


def _length_of(head: bytes, available: int) -> int:
    """The length in a record's header, its checksum verified, at most what is available."""
    if len(head) < HEADER_BYTES:
        raise DataError("the shard is cut off within a record's header; fetch it again")
    length, crc = _HEADER.unpack_from(head)
    if masked_crc(head[:8]) != crc:
        raise DataError("the checksum of a record's length is wrong; fetch the shard again")
    if length > available or length > _LONGEST:
        raise DataError(
            f"a record claims {length} bytes where the file has {max(0, available)} left; fetch "
            "the shard again"
        )
    return int(length)


def open_file(path: Path) -> FileIO:
    """The file, to read from without a buffer.

    Raises:
        DataError: The file cannot be opened.
    """
    try:
        return FileIO(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}") from None


def read_record(descriptor: int, offset: int, length: int) -> NDArray[np.uint8]:
    """The data of one record, (length,) uint8, read-only, both checksums verified.

    Raises:
        DataError: The record is not there as indexed, or a checksum is wrong.
    """
    raw = os.pread(descriptor, length + FRAMING_BYTES, offset)
    if len(raw) < length + FRAMING_BYTES:
        raise DataError("the shard is cut off within a record; fetch it again")
    if _length_of(raw, _LONGEST) != length:
        raise DataError("the shard changed after it was indexed; start again")
    data = np.frombuffer(raw, np.uint8, length, HEADER_BYTES)
    if masked_crc(data) != _CRC.unpack_from(raw, HEADER_BYTES + length)[0]:
        raise DataError("the checksum of a record's data is wrong; fetch the shard again")
    return data


def write_shard(path: Path, records: Iterable[bytes]) -> None:
    """Writes one shard, whole or not at all; `records` are consumed as a stream."""
    with atomic_path(path) as beside, beside.open("wb") as file:
        for record in records:
            length = len(record).to_bytes(8, "little")
            file.write(length + _CRC.pack(masked_crc(length)))
            file.write(record)
            file.write(_CRC.pack(masked_crc(record)))


def write_shards(
    folder: Path, prefix: str, records: Iterable[bytes], per_shard: int = 1000
) -> list[Path]:
    """Writes records in order to ``<prefix>-00000.tfrecord``, ``<prefix>-00001.tfrecord``, ...

    The folder is made if it is missing, the records are consumed as a stream, and each file but the
    last has `per_shard` of them.

    Returns:
        The files written.
    """
    stream = iter(records)
    paths: list[Path] = []
    for first in stream:
        paths.append(folder / f"{prefix}-{len(paths):05d}.tfrecord")
        write_shard(paths[-1], itertools.chain([first], itertools.islice(stream, per_shard - 1)))
    return paths
