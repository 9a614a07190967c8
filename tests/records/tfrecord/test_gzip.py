"""Gzipped shards give what they hold, and fill neither memory nor disk."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from records import Clip, DataError, Schema, Split, SplitSpec, iterate_batches, open_split
from records import decompressed as module
from tests.records.tables import assert_equal_batch

MakeShards = Callable[..., list[Path]]
MakeClip = Callable[..., Clip]


def opened(root: Path, schema: Schema, cache: Path | None) -> Split:
    return open_split(root, "train", SplitSpec("train-*"), schema, cache=cache)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("cached", [True, False])
def test_the_batches_are_those_of_the_plain_shards(
    tmp_path: Path, frame_schema: Schema, make_shards: MakeShards, suffix: str, cached: bool
) -> None:
    make_shards(frame_schema, 23)
    plain = opened(tmp_path / "data", frame_schema, None)
    root = tmp_path / "packed"
    root.mkdir()
    for path in plain.shards:
        content = path.read_bytes()
        # Two streams behind each other are one content.
        packed = gzip.compress(content[:77]) + gzip.compress(content[77:])
        (root / f"{path.name}{suffix}").write_bytes(packed)
    split = opened(root, frame_schema, tmp_path / "cache" if cached else None)
    for one, other in zip(
        iterate_batches(plain, 5, shuffle_seed=3, workers=0),
        iterate_batches(split, 5, shuffle_seed=3, workers=1),
        strict=True,
    ):
        assert_equal_batch(one, other)


def test_what_was_decompressed_is_used_until_the_shard_changes(
    tmp_path: Path, frame_schema: Schema, make_shards: MakeShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain,) = make_shards(frame_schema, 3)
    packed = plain.with_suffix(".tfrecord.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    cache = tmp_path / "cache"
    first = opened(packed.parent, frame_schema, cache)
    with monkeypatch.context() as patch:
        patch.delattr(module, "atomic_path")
        assert [clip.id for clip in first.clips()] == ["clip0000", "clip0001", "clip0002"]
    (one,) = cache.glob("*.decompressed")
    make_shards(frame_schema, 2)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(list(opened(packed.parent, frame_schema, cache).clips())) == 2
    (other,) = cache.glob("*.decompressed")
    assert one != other


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_damage_is_named(
    tmp_path: Path, frame_schema: Schema, make_shards: MakeShards, cut: int
) -> None:
    (path,) = make_shards(frame_schema, 9)
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed[:-cut])
    with pytest.raises(DataError, match=f"^{path}: cannot be decompressed: .*; fetch it again$"):
        opened(path.parent, frame_schema, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.decompressed"))
    changed = bytearray(packed)
    changed[len(packed) // 2] ^= 16
    path.write_bytes(bytes(changed))
    with pytest.raises(DataError, match=f"^{path}: cannot be decompressed: "):
        opened(path.parent, frame_schema, None)


def test_a_record_within_is_named_by_its_byte(
    tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    (path,) = make_shards(frame_schema, 2)
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    split = opened(path.parent, frame_schema, None)
    with pytest.raises(DataError, match=f"^{path}, byte 0, decompressed: the checksum of a rec"):
        list(split.clips())


def test_a_bomb_is_refused_before_it_fills_anything(tmp_path: Path, frame_schema: Schema) -> None:
    path = tmp_path / "train-bomb.tfrecord.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(96):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="grows to more than 64 times its size"):
            opened(tmp_path, frame_schema, tmp_path / "cache")
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert not [p for p in (tmp_path / "cache").iterdir() if p.stat().st_size]
