"""The index of a split in its cache: mapped, whole or absent, made anew with the shards."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from records import DataError, Schema, SplitSpec, open_split
from records.checked import read_checked
from records.tfrecord.framing import HEADER_BYTES, masked_crc

MakeShards = Callable[..., list[Path]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_cached_index_is_mapped_and_follows_the_shards(
    root: Path, tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    cache = tmp_path / "cache"
    spec = SplitSpec("*", 0.0, 0.7)
    (path,) = make_shards(frame_schema, 9)
    plain = open_split(root, "train", spec, frame_schema, cache=None)
    for _ in range(2):
        cached = open_split(root, "train", spec, frame_schema, cache=cache)
        assert isinstance(cached.position, np.memmap)
        assert cached.fingerprint == plain.fingerprint
        for column in ("shard", "position", "length"):
            np.testing.assert_array_equal(getattr(cached, column), getattr(plain, column))
        # The ids were read on the way.
        assert sorted(path.suffix for path in cache.iterdir()) == [".census", ".index"]
    make_shards(frame_schema, 5)
    os.utime(path, (1, 1))
    changed = open_split(root, "train", spec, frame_schema, cache=cache)
    assert changed.fingerprint != plain.fingerprint
    other = dataclasses.replace(frame_schema, id_keys=("video_id",))
    with pytest.raises(DataError, match="no id under video_id"):
        open_split(root, "train", spec, other, cache=cache)


def test_a_killed_writer_leaves_no_index(
    root: Path,
    tmp_path: Path,
    frame_schema: Schema,
    make_shards: MakeShards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_shards(frame_schema, 9)
    cache = tmp_path / "cache"

    def killed(path: Path, to: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        open_split(root, "x", SplitSpec("*"), frame_schema, cache=cache)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("kind", ["cut", "empty", "row", "fingerprint", "checksum", "gone"])
def test_a_damaged_index_is_made_again(
    root: Path,
    tmp_path: Path,
    frame_schema: Schema,
    make_shards: MakeShards,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    make_shards(frame_schema, 9)
    cache = tmp_path / "cache"
    whole = open_split(root, "train", SplitSpec("*"), frame_schema, cache=cache)
    (index,) = cache.glob("*.index")
    sound = index.read_bytes()
    # What is mapped from a file goes with it.
    positions = np.array(whole.position)
    damage_index(index, kind, whole.fingerprint)
    again = open_split(root, "train", SplitSpec("*"), frame_schema, cache=cache)
    assert again.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(again.position, positions)
    assert index.read_bytes() == sound
    said = capsys.readouterr().err
    assert said == ("" if kind == "gone" else f"{index}: damaged; it is made anew\n")


def damage_index(index: Path, kind: str, fingerprint: str) -> None:
    content = bytearray(index.read_bytes())
    if kind == "gone":
        index.unlink()
        return
    if kind == "cut":
        del content[len(content) // 2 :]
    elif kind == "empty":
        content.clear()
    else:
        places = {"row": 16, "fingerprint": content.index(fingerprint.encode()), "checksum": -1}
        content[places[kind]] ^= 1
    index.write_bytes(content)


def test_every_flipped_bit_is_noticed(
    root: Path, tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 9)
    open_split(root, "train", SplitSpec("*"), frame_schema, cache=tmp_path)
    (index,) = tmp_path.glob("*.index")
    sound = index.read_bytes()
    chance = np.random.default_rng(0)
    for bit in chance.choice(8 * len(sound), 200, replace=False).tolist():
        content = bytearray(sound)
        content[bit // 8] ^= 1 << bit % 8
        index.write_bytes(content)
        assert read_checked(index) is None, bit


def test_a_changed_shard_of_the_same_size_and_time_is_noticed(
    root: Path,
    tmp_path: Path,
    frame_schema: Schema,
    make_shards: MakeShards,
) -> None:
    """As `rsync -t` writes it. What is only copied keeps its fingerprint."""
    (path,) = make_shards(frame_schema, 9)

    def fingerprint() -> str:
        spec = SplitSpec("*.tfrecord")
        return open_split(root, "x", spec, frame_schema, cache=tmp_path / "cache").fingerprint

    stat, before, content = path.stat(), fingerprint(), path.read_bytes()
    assert fingerprint() == before
    shutil.copy2(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert fingerprint() == before
    flipped = bytearray(content)
    (length,) = struct.unpack_from("<Q", content)
    flipped[HEADER_BYTES + length - 1] ^= 1
    record = bytes(flipped[HEADER_BYTES : HEADER_BYTES + length])
    struct.pack_into("<I", flipped, HEADER_BYTES + length, masked_crc(record))
    path.write_bytes(flipped)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert fingerprint() != before
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_damaged_shard_leaves_no_index(
    root: Path, tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    _, second = make_shards(frame_schema, 20)
    second.write_bytes(second.read_bytes()[:-3])
    with pytest.raises(DataError, match="a record claims"):
        open_split(root, "x", SplitSpec("*"), frame_schema, cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
