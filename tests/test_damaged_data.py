"""Damaged and foreign shards, through the command line: named, refused, never used silently."""

from __future__ import annotations

import dataclasses
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from records import Schema, Stream, encode_clip, write_shards
from records.tfrecord.framing import HEADER_BYTES, masked_crc, scan
from tests.conftest import SMALL_FRAMES, SMALL_MEANS, make_clips
from tests.line import Line, frames_line, means_line

CLAIMED = 400 * 2**20
# The record that is damaged: not the first, so that an offset says something.
RECORD = 7


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A finished run on frames. Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A finished run on means. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


def offset_of(shard: Path, record: int = RECORD) -> int:
    return int(scan(shard).positions[record])


def overwrite(shard: Path, at: int, content: bytes) -> None:
    with shard.open("r+b") as file:
        file.seek(at)
        file.write(content)


def flip_bit(shard: Path, record: int = RECORD) -> int:
    """One bit in the middle of a record's data."""
    index = scan(shard)
    offset = int(index.positions[record])
    at = offset + HEADER_BYTES + int(index.lengths[record]) // 2
    overwrite(shard, at, bytes([shard.read_bytes()[at] ^ 8]))
    return offset


def truncate(shard: Path) -> int:
    offset = offset_of(shard)
    with shard.open("r+b") as file:
        file.truncate(offset + HEADER_BYTES + 5)
    return offset


def claim_400_mib(shard: Path) -> int:
    """A length whose own checksum is right: only the file's size tells that it is wrong."""
    offset = offset_of(shard)
    length = struct.pack("<Q", CLAIMED)
    overwrite(shard, offset, length + struct.pack("<I", masked_crc(length)))
    return offset


def replace_record(shard: Path, schema: Schema, change: Callable[[dict[str, object]], None]) -> int:
    """Writes a shard again with one clip changed; all checksums are right."""
    clips = make_clips(schema, RECORD + 2, seed=77)
    fields = vars(clips[RECORD]).copy()
    change(fields)
    clips[RECORD] = dataclasses.replace(clips[RECORD], **fields)
    write_shards(shard.parent, "made", [encode_clip(clip, schema) for clip in clips], 1000)
    shutil.move(shard.parent / "made-00000.tfrecord", shard)
    return offset_of(shard)


def label_out_of_range(shard: Path) -> int:
    def change(fields: dict[str, object]) -> None:
        fields["labels"] = np.array([2, SMALL_FRAMES.num_labels], np.int64)

    return replace_record(shard, SMALL_FRAMES, change)


def negative_label(shard: Path) -> int:
    def change(fields: dict[str, object]) -> None:
        fields["labels"] = np.array([-1, 2], np.int64)

    return replace_record(shard, SMALL_FRAMES, change)


def nan_feature(shard: Path) -> int:
    def change(fields: dict[str, object]) -> None:
        features = make_clips(SMALL_MEANS, 1, seed=5)[0].features
        features["mean_audio"][2] = np.nan
        fields["features"] = features

    return replace_record(shard, SMALL_MEANS, change)


def of_schema(schema: Schema) -> Callable[[Path], int]:
    """A shard of another data set, sound in itself."""

    def write(shard: Path) -> int:
        replace_record(shard, schema, lambda fields: None)
        return 0

    return write


OTHER_SIZE = dataclasses.replace(SMALL_FRAMES, streams=(Stream("rgb", 10), Stream("audio", 4)))
OTHER_NAMES = dataclasses.replace(SMALL_FRAMES, streams=(Stream("image", 12), Stream("sound", 4)))

DAMAGES: dict[str, tuple[Callable[[Path], int], list[str]]] = {
    "flipped bit": (flip_bit, ["checksum", "data"]),
    "truncated shard": (truncate, ["claims"]),
    "length of 400 MiB": (claim_400_mib, ["claims", str(CLAIMED)]),
    "label out of range": (label_out_of_range, ["label 30", f"clip77-{RECORD:05d}"]),
    "negative label": (negative_label, ["label -1", f"clip77-{RECORD:05d}"]),
    "streams of another size": (of_schema(OTHER_SIZE), ["rgb", "12"]),
    "streams of other names": (of_schema(OTHER_NAMES), ["rgb", "missing"]),
    "means for frames": (of_schema(SMALL_MEANS), ["small_frames"]),
}


def damaged_copy(
    line: Line, folder: Path, split: str, damage: Callable[[Path], int]
) -> tuple[Line, Path, int]:
    """The line on a copy of its data, the damaged shard, and the byte of the damage."""
    data = folder / "data"
    shutil.copytree(line.data, data)
    shard = data / f"{split}-00000.tfrecord"
    offset = damage(shard)
    fresh = line.fresh(folder)
    return dataclasses.replace(fresh, data=data), shard, offset


@pytest.mark.parametrize("kind", DAMAGES)
def test_evaluate_names_shard_and_offset(frames: Line, tmp_path: Path, kind: str) -> None:
    damage, named = DAMAGES[kind]
    line, shard, offset = damaged_copy(frames, tmp_path, "report", damage)
    refusal = line.call("stage=evaluate", f"bundle={frames.bundle}").refusal()
    assert f"{shard}, byte {offset}:" in refusal
    for word in named:
        assert word in refusal


def test_evaluate_names_the_clip_with_a_nan(means: Line, tmp_path: Path) -> None:
    line, shard, offset = damaged_copy(means, tmp_path, "report", nan_feature)
    refusal = line.call("stage=evaluate", f"bundle={means.bundle}").refusal()
    assert f"{shard}, byte {offset}:" in refusal
    for word in (f"clip77-{RECORD:05d}", "mean_audio", "NaN"):
        assert word in refusal


@pytest.mark.parametrize("kind", ["flipped bit", "truncated shard", "streams of another size"])
def test_predict_leaves_no_submission(frames: Line, tmp_path: Path, kind: str) -> None:
    line, shard, offset = damaged_copy(frames, tmp_path, "test", DAMAGES[kind][0])
    output = tmp_path / "submission.csv"
    refusal = line.call("stage=predict", f"bundle={frames.bundle}", f"output={output}").refusal()
    assert f"{shard}, byte {offset}:" in refusal
    assert not output.exists()


@pytest.mark.parametrize("kind", ["truncated shard", "length of 400 MiB"])
@pytest.mark.parametrize("split", ["train", "search", "report"])
def test_broken_framing_stops_training_before_it_starts(
    frames: Line, tmp_path: Path, kind: str, split: str
) -> None:
    line, shard, offset = damaged_copy(frames, tmp_path, split, DAMAGES[kind][0])
    assert f"{shard}, byte {offset}:" in line.call("stage=all").refusal()
    assert not line.done()


@pytest.mark.parametrize(
    ("split", "kind"), [("train", "flipped bit"), ("search", "label out of range")]
)
def test_damage_that_a_training_meets(frames: Line, tmp_path: Path, split: str, kind: str) -> None:
    damage, named = DAMAGES[kind]
    line, shard, offset = damaged_copy(frames, tmp_path, split, damage)
    line = dataclasses.replace(line, changes=(*line.changes, "~members.vlad"))
    outcome = line.call("stage=all")
    assert_refused_by_worker(line, outcome.status, outcome.err, f"{shard}, byte {offset}:", named)


def test_nan_that_a_training_meets(means: Line, tmp_path: Path) -> None:
    line, shard, offset = damaged_copy(means, tmp_path, "train", nan_feature)
    outcome = line.call("stage=all")
    named = [f"clip77-{RECORD:05d}", "mean_audio"]
    assert_refused_by_worker(line, outcome.status, outcome.err, f"{shard}, byte {offset}:", named)


def assert_refused_by_worker(
    line: Line, status: int, err: str, place: str, named: list[str]
) -> None:
    assert status == 2, err
    assert "Traceback" not in err
    (said,) = (row for row in err.splitlines() if place in row)
    for word in named:
        assert word in said
    assert not line.done() and not line.bundle.exists()


def test_skipping_counts_and_goes_on(frames: Line, tmp_path: Path) -> None:
    """Two records of the training split and one of `search` are left out, and it is said."""
    line, shard, _ = damaged_copy(frames, tmp_path, "train", flip_bit)
    flip_bit(shard, 3)
    flip_bit(line.data / "search-00000.tfrecord")
    line = dataclasses.replace(line, changes=(*line.changes, "~members.vlad"))
    outcome = line.call("stage=all", "data.on_corrupt=skip")
    assert outcome.status == 0, outcome.err
    assert line.bundle.exists()
    said = outcome.out + outcome.err
    for split, count in (("train", 2), ("search", 1)):
        assert any(
            split in row and re.search(rf"\b{count}\b", row) and "skip" in row
            for row in said.splitlines()
        ), f"nothing says that {count} records of {split} were skipped: {said}"


def test_skipping_in_evaluate_leaves_the_sound_ones(frames: Line, tmp_path: Path) -> None:
    line, shard, _ = damaged_copy(frames, tmp_path, "report", flip_bit)
    flip_bit(shard, 11)
    skip = ("stage=evaluate", f"bundle={frames.bundle}", "data.on_corrupt=skip")
    outcome = line.call(*skip)
    assert outcome.status == 0, outcome.err
    assert "58" in re.search(r"videos\s+(\d+)", outcome.out).group(1)  # type: ignore[union-attr]


def test_skipping_stops_past_the_cap(frames: Line, tmp_path: Path) -> None:
    """Of 160 training records 101 are damaged, one more than may be."""
    line, _, _ = damaged_copy(frames, tmp_path, "train", lambda shard: 0)
    left = 101
    for shard in sorted(line.data.glob("train-*.tfrecord")):
        for record in range(min(left, 40)):
            flip_bit(shard, record)
            left -= 1
    assert left == 0
    refusal = line.call("stage=teachers", "data.on_corrupt=skip").refusal()
    assert "train" in refusal and "100" in refusal
    assert not line.done()
