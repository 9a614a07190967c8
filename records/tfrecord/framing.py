"""The TFRecord container: framing, checksums, reading by offset, writing.

A record is its length (uint64), the masked CRC-32C of those eight bytes, the data, and the masked
CRC-32C of the data; all little-endian.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from records.errors import DataError

HEADER_BYTES = 12
FOOTER_BYTES = 4
FRAMING_BYTES = HEADER_BYTES + FOOTER_BYTES

_HEADER = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_LONGEST = 2**31 - 1  # protobuf's own limit for a message


def masked_crc(data: bytes | NDArray[np.uint8]) -> int:
    """CRC-32C of `data`, rotated and offset as the TFRecord format stores it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


@dataclass(frozen=True)
class ShardScan:
    """Where the records of one shard lie, from their headers.

    Attributes:
        offsets: (N,) uint64, byte at which a record (its header) starts.
        lengths: (N,) uint32, bytes of data.
        data_crcs: (N,) uint32, the stored checksums of the data; `scan` does not verify them.
        fault: What is wrong at the end of what could be scanned; None when all of it is sound.
    """

    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint32]
    data_crcs: NDArray[np.uint32]
    fault: DataError | None


def scan(path: Path) -> ShardScan:
    """Finds the records of a shard by walking its headers.

    The checksum of every length is verified, and no length reaches beyond the file. What follows a
    broken header cannot be found, so the scan ends there and reports it in `ShardScan.fault`.

    Raises:
        DataError: The file cannot be opened.
    """
    descriptor = _open(path)
    try:
        return _walk_headers(descriptor, path, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _walk_headers(descriptor: int, path: Path, size: int) -> ShardScan:
    offsets: list[int] = []
    lengths: list[int] = []
    crcs: list[int] = []
    fault: DataError | None = None
    offset = 0
    head = os.pread(descriptor, HEADER_BYTES, 0)
    while offset < size:
        try:
            length = _length_of(head)
            _check_bound(length, size - offset - FRAMING_BYTES)
        except DataError as error:
            fault = DataError(f"{path}, byte {offset}: {error}")
            break
        end = offset + HEADER_BYTES + length
        tail = os.pread(descriptor, FOOTER_BYTES + HEADER_BYTES, end)
        if len(tail) < FOOTER_BYTES:
            fault = DataError(f"{path}, byte {offset}: the file shrank while it was read")
            break
        offsets.append(offset)
        lengths.append(length)
        crcs.append(_CRC.unpack_from(tail)[0])
        head = tail[FOOTER_BYTES:]
        offset = end + FOOTER_BYTES
    return ShardScan(
        np.array(offsets, np.uint64), np.array(lengths, np.uint32), np.array(crcs, np.uint32), fault
    )


def _length_of(head: bytes) -> int:
    """The length in a record's header, its checksum verified."""
    if len(head) < HEADER_BYTES:
        raise DataError("the shard is cut off within a record's header; fetch it again")
    length, crc = _HEADER.unpack_from(head)
    if masked_crc(head[:8]) != crc:
        raise DataError("the checksum of a record's length is wrong; fetch the shard again")
    return int(length)


def _check_bound(length: int, available: int) -> None:
    if length > min(available, _LONGEST):
        raise DataError(
            f"a record claims {length} bytes where the file has {max(0, available)} left; fetch "
            "the shard again"
        )


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened: {error.strerror}") from None


class ShardReader:
    """Reads records by shard, offset and length, and verifies both checksums of each.

    Holds at most `max_open` files open (least recently used ones are closed), and no data.
    """

    def __init__(self, shards: tuple[Path, ...], max_open: int = 128) -> None:
        self._shards = shards
        self._max_open = max_open
        self._descriptors: OrderedDict[int, int] = OrderedDict()

    def read(self, shard: int, offset: int, length: int) -> NDArray[np.uint8]:
        """The data of one record, (length,) uint8, read-only.

        Raises:
            DataError: The record is not there as indexed, or a checksum is wrong; names shard and
                byte.
        """
        raw = os.pread(self._descriptor(shard), length + FRAMING_BYTES, offset)
        try:
            if len(raw) < length + FRAMING_BYTES:
                raise DataError("the shard is cut off within a record; fetch it again")
            if _length_of(raw[:HEADER_BYTES]) != length:
                raise DataError("the shard changed after it was indexed; start again")
            data = np.frombuffer(raw, np.uint8, length, HEADER_BYTES)
            if masked_crc(data) != _CRC.unpack_from(raw, HEADER_BYTES + length)[0]:
                raise DataError("the checksum of a record's data is wrong; fetch the shard again")
        except DataError as error:
            raise DataError(f"{self._shards[shard]}, byte {offset}: {error}") from None
        return data

    def _descriptor(self, shard: int) -> int:
        descriptor = self._descriptors.get(shard)
        if descriptor is not None:
            self._descriptors.move_to_end(shard)
            return descriptor
        if len(self._descriptors) >= self._max_open:
            os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[shard] = _open(self._shards[shard])
        return self._descriptors[shard]

    def close(self) -> None:
        """Closes the files."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_records(path: Path) -> Iterator[NDArray[np.uint8]]:
    """All records of one shard in order, both checksums verified.

    Raises:
        DataError: A record is damaged; names shard and byte.
    """
    index = scan(path)
    with ShardReader((path,)) as reader:
        for offset, length in zip(index.offsets.tolist(), index.lengths.tolist(), strict=True):
            yield reader.read(0, offset, length)
    if index.fault:
        raise index.fault


class RecordWriter:
    """Writes one shard: beside its place, flushed to disk, then renamed into it.

    Use as a context manager; where the block raises, nothing is left behind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file = self._beside.open("wb")

    def write(self, data: bytes) -> None:
        """Appends one record."""
        length = _LENGTH.pack(len(data))
        self._file.write(length + _CRC.pack(masked_crc(length)))
        self._file.write(data)
        self._file.write(_CRC.pack(masked_crc(data)))

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._file.close()
            self._beside.unlink(missing_ok=True)
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._beside, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_shards(
    folder: Path, prefix: str, records: Iterable[bytes], per_shard: int = 1000
) -> list[Path]:
    """Writes records in order to ``<prefix>-00000.tfrecord``, ``<prefix>-00001.tfrecord``, ...

    Args:
        folder: Made if it is missing.
        prefix: Start of every file's name, usually the split.
        records: Serialized examples; consumed as a stream.
        per_shard: Records in each file but the last.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream = iter(records)
    paths: list[Path] = []
    first = next(stream, None)
    while first is not None:
        path = folder / f"{prefix}-{len(paths):05d}.tfrecord"
        with RecordWriter(path) as writer:
            writer.write(first)
            for _, record in zip(range(per_shard - 1), stream, strict=False):
                writer.write(record)
        paths.append(path)
        first = next(stream, None)
    return paths
