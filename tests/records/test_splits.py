from __future__ import annotations

import dataclasses
import itertools
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from records import (
    Clip,
    DataError,
    Schema,
    Split,
    SplitSpec,
    check_disjoint,
    encode_clip,
    open_split,
    read_truth,
    with_frames,
)
from records.config import id_hash
from records.tfrecord.framing import masked_crc, write_shard

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def ids_of(split: Split) -> list[str]:
    return list(read_truth(split).ids)


def damage(path: Path, position: int) -> None:
    """Flips one bit."""
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


# --- finding records


def test_records_in_order_of_shards_and_offsets(
    root: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    paths = make_shards(frame_schema, 25)
    split = open_split(root, "train", SplitSpec("train-*"), frame_schema, cache=None)
    assert len(split) == 25
    assert split.shards == tuple(paths)
    assert split.shard.tolist() == [0] * 10 + [1] * 10 + [2] * 5
    columns = (split.shard, split.position, split.length)
    assert [column.dtype.str for column in columns] == ["<u4", "<u8", "<u4"]
    assert ids_of(split) == [f"clip{i:04d}" for i in range(25)]


def test_names_that_begin_with_a_dash_and_any_depth(
    root: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    (path,) = make_shards(frame_schema, 2)
    (root / "a" / "b").mkdir(parents=True)
    for name in ("--.tfrecord", "a/-x.tfrecord", "a/b/-r -f.tfrecord"):
        (root / name).write_bytes(path.read_bytes())
    (root / ".hidden.tfrecord").write_bytes(b"not a shard")
    (root / ".train.tfrecord.1.tmp").write_bytes(b"not a shard")
    split = open_split(root, "train", SplitSpec("**/*"), frame_schema, cache=None)
    assert [p.relative_to(root).as_posix() for p in split.shards] == [
        "--.tfrecord",
        "a/-x.tfrecord",
        "a/b/-r -f.tfrecord",
        "train-00000.tfrecord",
    ]
    assert len(ids_of(split)) == 8


def test_empty_files_hold_no_records(
    root: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 3, prefix="b")
    (root / "a.tfrecord").touch()
    split = open_split(root, "train", SplitSpec("*"), frame_schema, cache=None)
    assert split.shard.tolist() == [1, 1, 1]
    (root / "b-00000.tfrecord").unlink()
    with pytest.raises(DataError, match="split 'train' is empty"):
        open_split(root, "train", SplitSpec("*"), frame_schema, cache=None)


def test_missing_folder_and_missing_files(tmp_path: Path, frame_schema: Schema) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder; set data\.root"):
        open_split(tmp_path / "nowhere", "train", SplitSpec("*"), frame_schema, cache=None)
    with pytest.raises(DataError, match=r"split 'search': no file matches 'x-\*' under"):
        open_split(tmp_path, "search", SplitSpec("x-*"), frame_schema, cache=None)
    with pytest.raises(DataError, match="split 'search': pattern '/x': "):
        open_split(tmp_path, "search", SplitSpec("/x"), frame_schema, cache=None)


@pytest.mark.parametrize(
    ("pattern", "start", "end"), [("", 0, 1), ("*", 0.5, 0.5), ("*", -0.1, 1), ("*", 0, 1.1)]
)
def test_wrong_specs(pattern: str, start: float, end: float) -> None:
    with pytest.raises(DataError, match=r"^split"):
        SplitSpec(pattern, start, end)


# --- hashes


def test_hash_is_stable_and_uniform() -> None:
    assert id_hash("02aa") == pytest.approx(0.5086314287873371, rel=1e-15)
    hashes = np.array([id_hash(f"clip{i}") for i in range(20000)])
    assert ((hashes >= 0) & (hashes < 1)).all()
    counts, _ = np.histogram(hashes, bins=10, range=(0, 1))
    assert abs(counts - 2000).max() < 200


def test_hash_ranges_part_the_records(
    root: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 60)
    borders = [0.0, 0.2, 0.55, 1.0]
    splits = [
        open_split(root, f"{start}", SplitSpec("*", start, end), frame_schema, cache=None)
        for start, end in itertools.pairwise(borders)
    ]
    for split, (start, end) in zip(splits, itertools.pairwise(borders), strict=True):
        assert all(start <= id_hash(clip_id) < end for clip_id in ids_of(split))
    everything = sorted(clip_id for split in splits for clip_id in ids_of(split))
    assert everything == [f"clip{i:04d}" for i in range(60)]
    check_disjoint(splits)
    assert len({split.fingerprint for split in splits}) == 3


def test_an_empty_hash_range(root: Path, frame_schema: Schema, make_shards: MakeShards) -> None:
    make_shards(frame_schema, 2)
    with pytest.raises(DataError, match=r"'search' is empty: none of the records of 1 shards"):
        open_split(root, "search", SplitSpec("*", 0.0, 1e-9), frame_schema, cache=None)


def test_shared_records_are_found(
    root: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 40)
    (root / "again").symlink_to(root, target_is_directory=True)

    def of(name: str, pattern: str, start: float, end: float) -> Split:
        return open_split(root, name, SplitSpec(pattern, start, end), frame_schema, cache=None)

    train = of("train", "*.tfrecord", 0.0, 0.5)
    check_disjoint([train, of("search", "*.tfrecord", 0.5, 1.0)])
    with pytest.raises(DataError, match=r"'train' and 'search' share \d+ records of .*tfrecord"):
        check_disjoint([train, of("search", "*.tfrecord", 0.4, 1.0)])
    with pytest.raises(DataError, match="'train' and 'search' share"):
        check_disjoint([train, of("search", "again/*.tfrecord", 0.4, 1.0)])


# --- fingerprint, selection, cache


def test_fingerprint_depends_on_content_and_names_only(
    root: Path, tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    (path,) = make_shards(frame_schema, 5)

    def fingerprint() -> str:
        return open_split(root, "x", SplitSpec("*"), frame_schema, cache=None).fingerprint

    before = fingerprint()
    os.utime(path, (1, 1))
    assert fingerprint() == before
    moved = root.rename(tmp_path / "moved")
    root.symlink_to(moved, target_is_directory=True)
    assert fingerprint() == before
    make_shards(frame_schema, 5, first=1)
    assert fingerprint() != before
    make_shards(frame_schema, 5)
    assert fingerprint() == before
    path.rename(path.with_name("other.tfrecord"))
    assert fingerprint() != before


def test_select(root: Path, frame_schema: Schema, make_shards: MakeShards) -> None:
    make_shards(frame_schema, 25)
    split = open_split(root, "train", SplitSpec("*"), frame_schema, cache=None)
    rows = np.array([0, 7, 24])
    by_rows = split.select(rows)
    by_mask = split.select(np.isin(np.arange(25), rows))
    assert ids_of(by_rows) == ids_of(by_mask) == ["clip0000", "clip0007", "clip0024"]
    assert by_rows.fingerprint == by_mask.fingerprint != split.fingerprint
    assert split.select(rows[:2]).fingerprint != by_rows.fingerprint
    with pytest.raises(DataError, match="selection of it is empty"):
        split.select(np.zeros(25, np.bool_))
    with pytest.raises(DataError, match="ascending"):
        split.select(rows[::-1])


def test_places_are_the_columns(
    root: Path, frame_schema: Schema, make_shards: MakeShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shards(frame_schema, 25)
    split = open_split(root, "x", SplitSpec("*"), frame_schema, cache=None)
    monkeypatch.setattr("records.splits._ROWS_AT_A_TIME", 6)
    columns = np.stack([split.shard, split.position, split.length], axis=1)
    assert list(split.places(slice(None))) == [tuple(row) for row in columns.tolist()]
    assert [clip.id for clip in split.clips()] == [f"clip{n:04d}" for n in range(25)]


# --- truth


def test_truth(
    root: Path, video_schema: Schema, make_shards: MakeShards, make_clip: MakeClip
) -> None:
    make_shards(video_schema, 13)
    truth = read_truth(open_split(root, "x", SplitSpec("*"), video_schema, cache=None))
    assert truth.offsets.dtype == truth.columns.dtype == np.int64
    for number in range(13):
        clip = make_clip(video_schema, number)
        assert truth.ids[number] == clip.id
        row = truth.columns[truth.offsets[number] : truth.offsets[number + 1]]
        np.testing.assert_array_equal(row, clip.labels)


def test_truth_without_labels(root: Path, frame_schema: Schema, make_shards: MakeShards) -> None:
    make_shards(frame_schema, 6)
    unlabeled = dataclasses.replace(frame_schema, labels_key="not_there")
    truth = read_truth(open_split(root, "test", SplitSpec("*"), unlabeled, cache=None))
    assert truth.offsets.tolist() == [0] * 7
    assert truth.columns.dtype == np.int64


# --- short clips


def test_short_clips_can_be_left_out(
    root: Path, frame_schema: Schema, make_clip: MakeClip, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 30)
    split = open_split(root, "x", SplitSpec("*"), frame_schema, cache=None)
    counts = [len(make_clip(frame_schema, number).features["rgb"]) for number in range(30)]
    least = sorted(counts)[12]
    kept = [f"clip{number:04d}" for number, count in enumerate(counts) if count >= least]
    assert 0 < len(kept) < 30
    assert read_truth(with_frames(split, least)).ids.tolist() == kept
    with pytest.raises(DataError, match=rf"no clip has 999 frames, the longest has {max(counts)}"):
        with_frames(split, 999)


def test_means_are_never_short(root: Path, video_schema: Schema, make_shards: MakeShards) -> None:
    make_shards(video_schema, 5)
    split = open_split(root, "x", SplitSpec("*"), video_schema, cache=None)
    assert len(with_frames(split, 100)) == 5


# --- damage


def test_damage_is_named_by_shard_and_byte(
    root: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    (path,) = make_shards(frame_schema, 5)
    spec = SplitSpec("*")
    offsets = open_split(root, "x", spec, frame_schema, cache=None).position.tolist()
    damage(path, offsets[2] + 40)
    split = open_split(root, "x", spec, frame_schema, cache=None)
    place = rf"train-00000\.tfrecord, byte {offsets[2]}: the checksum of a record's data is wrong"
    with pytest.raises(DataError, match=place):
        read_truth(split)
    with pytest.raises(DataError, match=place):
        open_split(root, "x", SplitSpec("*", 0.0, 0.5), frame_schema, cache=None)
    damage(path, offsets[3] + 2)
    place = rf"train-00000\.tfrecord, byte {offsets[3]}: the checksum of a record's length"
    with pytest.raises(DataError, match=place):
        open_split(root, "x", spec, frame_schema, cache=None)


def test_a_clip_of_another_schema_is_named(
    root: Path, frame_schema: Schema, video_schema: Schema, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 5)
    make_shards(video_schema, 5, prefix="video")
    with pytest.raises(DataError, match=r"video-00000\.tfrecord, byte 0: stream 'rgb' of schema"):
        open_split(root, "x", SplitSpec("*", 0.0, 0.5), frame_schema, cache=None)


def test_damage_can_be_skipped_and_is_counted(
    root: Path, tmp_path: Path, video_schema: Schema, make_clip: MakeClip, make_shards: MakeShards
) -> None:
    first, second, third = make_shards(video_schema, 30)
    spec = SplitSpec("*")
    offsets = open_split(root, "x", spec, video_schema, cache=None).position.tolist()
    damage(first, offsets[4] + 100)  # one record
    damage(second, offsets[18] + 3)  # a length: this one and the next, found as one
    clips = [make_clip(video_schema, number) for number in range(20, 30)]
    clips[0].features["mean_rgb"][3] = np.nan
    clips[9] = dataclasses.replace(clips[9], labels=np.array([99]))
    write_shard(third, [encode_clip(clip, video_schema) for clip in clips])
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        split = open_split(root, "x", spec, video_schema, cache=cache, on_corrupt="skip")
        assert split.skipped == 4
        sound = [n for n in range(30) if n not in (4, 18, 19, 20, 29)]
        assert ids_of(split) == [f"clip{n:04d}" for n in sound]
    with pytest.raises(DataError, match=r"more than 3 damaged records; the last: .*byte \d+: clip"):
        open_split(root, "x", spec, video_schema, cache=None, on_corrupt="skip", max_skipped=3)


def test_a_claim_of_400_mib_is_skipped_without_reading_it(
    root: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    (path,) = make_shards(frame_schema, 3)
    length = struct.pack("<Q", 400 * 2**20)
    with path.open("ab") as file:
        file.write(length + struct.pack("<I", masked_crc(length)) + bytes(50))
    with pytest.raises(DataError, match="claims 419430400 bytes"):
        open_split(root, "x", SplitSpec("*"), frame_schema, cache=None)
    split = open_split(root, "x", SplitSpec("*"), frame_schema, cache=None, on_corrupt="skip")
    assert (len(split), split.skipped) == (3, 1)


def test_unknown_choice_for_damage(root: Path, frame_schema: Schema) -> None:
    with pytest.raises(DataError, match="on_corrupt is 'ignore'; use 'error' or 'skip'"):
        open_split(root, "x", SplitSpec("*"), frame_schema, cache=None, on_corrupt="ignore")
