from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from tfrecord.reader import tfrecord_iterator
from tfrecord.writer import TFRecordWriter

from records import DataError, write_shards
from records.tfrecord.framing import masked_crc, read_record, scan, write_shard
from tests.conftest import read_records

RECORDS = [b"first", b"", b"\x00" * 300, bytes(range(256))]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "-a b.tfrecord"
    write_shard(path, RECORDS)
    return path


def contents(path: Path) -> list[bytes]:
    return [record.tobytes() for record in read_records(path)]


def test_checksums_are_computed_in_c() -> None:
    assert google_crc32c.implementation == "c"
    assert google_crc32c.value(b"123456789") == 0xE3069283


def test_what_is_written_is_read(shard: Path) -> None:
    assert contents(shard) == RECORDS
    assert list(shard.parent.iterdir()) == [shard]
    index = scan(shard)
    assert index.fault is None
    assert index.lengths.tolist() == [len(record) for record in RECORDS]
    assert index.checksums.tolist() == [masked_crc(record) for record in RECORDS]


def test_the_tfrecord_package_reads_what_we_write_and_the_reverse(
    shard: Path, tmp_path: Path
) -> None:
    assert [bytes(record) for record in tfrecord_iterator(str(shard))] == RECORDS
    theirs = tmp_path / "theirs.tfrecord"
    writer = TFRecordWriter(str(theirs))
    writer.write({"id": (b"x", "byte"), "labels": ([1, 2], "int")})
    writer.close()
    (ours,) = contents(theirs)
    assert [bytes(record) for record in tfrecord_iterator(str(theirs))] == [ours]


def test_a_failing_block_leaves_nothing(tmp_path: Path) -> None:
    def records() -> Iterator[bytes]:
        yield b"data"
        raise KeyError

    with pytest.raises(KeyError):
        write_shard(tmp_path / "x.tfrecord", records())
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    write_shard(path, [b"alpha", b"beta"])
    sound = path.read_bytes()
    second = 12 + len(b"alpha") + 4
    for position in range(len(sound)):
        for bit in range(8):
            damaged = bytearray(sound)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            start = 0 if position < second else second
            with pytest.raises(DataError, match=rf"x\.tfrecord, byte {start}: "):
                contents(path)


def test_every_truncation_is_found(shard: Path) -> None:
    sound = shard.read_bytes()
    borders = {0, *(scan(shard).positions.tolist())}
    for size in range(len(sound)):
        shard.write_bytes(sound[:size])
        if size in borders:
            assert contents(shard) == RECORDS[: sorted(borders).index(size)]
        else:
            with pytest.raises(DataError, match=r"tfrecord, byte \d+: "):
                contents(shard)


def test_a_claimed_length_is_bounded_by_the_file(shard: Path) -> None:
    length = struct.pack("<Q", 400 * 2**20)
    end = shard.stat().st_size
    with shard.open("ab") as file:
        file.write(length + struct.pack("<I", masked_crc(length)) + b"little")
    with pytest.raises(DataError, match=rf"byte {end}: a record claims 419430400 bytes where .* 2"):
        contents(shard)
    fault = scan(shard).fault
    assert fault is not None
    assert len(scan(shard).positions) == len(RECORDS)


def test_a_claimed_length_beyond_int64_is_refused(shard: Path) -> None:
    length = struct.pack("<Q", 2**64 - 1)
    shard.write_bytes(length + struct.pack("<I", masked_crc(length)) + bytes(100))
    with pytest.raises(DataError, match="byte 0: a record claims 18446744073709551615"):
        contents(shard)


def test_a_shard_that_changed_since_it_was_indexed(shard: Path) -> None:
    index = scan(shard)
    place = int(index.positions[2]), int(index.lengths[2])
    with open(shard) as file:
        assert read_record(file.fileno(), *place).tobytes() == RECORDS[2]
        with pytest.raises(DataError, match="changed after it was indexed"):
            read_record(file.fileno(), place[0], place[1] - 1)
        with pytest.raises(DataError, match="cut off"):
            read_record(file.fileno(), place[0], 10**6)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.tfrecord: cannot be opened: No such file"):
        scan(tmp_path / "no.tfrecord")


def test_write_shards_splits_in_order(tmp_path: Path) -> None:
    records = [bytes([number]) for number in range(7)]
    paths = write_shards(tmp_path / "new" / "folder", "train", iter(records), per_shard=3)
    assert [path.name for path in paths] == [f"train-{i:05d}.tfrecord" for i in range(3)]
    assert [contents(path) for path in paths] == [records[:3], records[3:6], records[6:]]
    assert write_shards(tmp_path, "none", iter([])) == []


def test_records_are_read_only(shard: Path) -> None:
    record = next(read_records(shard))
    assert record.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        record[0] = 1
