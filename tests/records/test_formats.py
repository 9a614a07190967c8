"""Formats of data: a second one from a file of its own gives what TFRecord gives."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from common.extensions import load_extension
from common.registry import restored
from records import (
    Clip,
    DataError,
    FrameSampling,
    Schema,
    Split,
    SplitSpec,
    check_disjoint,
    iterate_batches,
    open_split,
    read_truth,
    with_frames,
)
from records.formats import format_of
from tests.records.tables import assert_equal_batch

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]
FORMAT = Path(__file__).parents[1] / "extensions" / "json_lines.py"


@pytest.fixture(autouse=True)
def json_lines() -> Iterator[None]:
    with restored():
        load_extension(FORMAT)
        yield


def write_lines(path: Path, clips: list[Clip]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        {"id": clip.id, "labels": clip.labels.tolist()}
        | {name: values.tolist() for name, values in clip.features.items()}
        for clip in clips
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(params=["frame", "video"])
def schema(request: Any, frame_schema: Schema, video_schema: Schema) -> Schema:
    return frame_schema if request.param == "frame" else video_schema


@pytest.fixture
def both(
    tmp_path: Path, schema: Schema, make_clip: MakeClip, make_shards: MakeShards
) -> tuple[Path, Path]:
    """The same 47 clips in two folders, ten a shard, by format."""
    make_shards(schema, 47)
    clips = [make_clip(schema, number) for number in range(47)]
    for shard in range(5):
        path = tmp_path / "lines" / f"train-{shard:05d}.jsonl"
        write_lines(path, clips[10 * shard : 10 * shard + 10])
    return tmp_path / "data", tmp_path / "lines"


def assert_same(one: Split, other: Split) -> None:
    """Truth, clips and batches of two splits are equal."""
    truths = read_truth(one), read_truth(other)
    for name in ("ids", "offsets", "columns"):
        np.testing.assert_array_equal(*(getattr(truth, name) for truth in truths))
    assert [clip.id for clip in one.clips()] == truths[1].ids.tolist()
    for options in (
        {},
        {"shuffle_seed": 4, "epoch": 3, "sampling": FrameSampling(draw=3), "start_batch": 1},
        {"shuffle_seed": 4, "shuffle_group_shards": 2, "workers": 1},
    ):
        pairs = zip(
            iterate_batches(one, 7, **options), iterate_batches(other, 7, **options), strict=True
        )
        for a, b in pairs:
            assert_equal_batch(a, b)


@pytest.mark.parametrize("spec", [{}, {"hash_from": 0.3}, {"exclude": "train-00002.*"}])
def test_the_same_clips_give_the_same_splits_truth_and_batches(
    both: tuple[Path, Path], schema: Schema, tmp_path: Path, spec: dict[str, Any]
) -> None:
    records, lines = (
        open_split(root, "train", SplitSpec("train-*", **spec), schema, cache=tmp_path / "cache")
        for root in both
    )
    assert {path.suffix for path in lines.shards} == {".jsonl"}
    assert_same(records, lines)
    assert_same(records.select(np.arange(2, 20, 3)), lines.select(np.arange(2, 20, 3)))
    assert_same(with_frames(records, 4), with_frames(lines, 4))


def test_a_folder_of_several_formats_is_read_as_one(
    tmp_path: Path, frame_schema: Schema, make_clip: MakeClip, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 20)
    root = tmp_path / "data"
    clips = [make_clip(frame_schema, number) for number in range(10)]
    shutil.copytree(root, tmp_path / "whole")
    whole = open_split(tmp_path / "whole", "x", SplitSpec("*"), frame_schema, cache=None)
    (root / "train-00000.tfrecord").unlink()
    write_lines(root / "a" / "first.jsonl", clips)
    (root / "labels.csv").write_text("label_id,label_name\n")
    mixed = open_split(root, "x", SplitSpec(), frame_schema, cache=None)
    assert [path.name for path in mixed.shards] == ["first.jsonl", "train-00001.tfrecord"]
    assert_same(whole, mixed)
    only = open_split(root, "x", SplitSpec(), frame_schema, cache=None, format="tfrecord")
    assert [path.name for path in only.shards] == ["train-00001.tfrecord"]


def test_the_format_says_what_a_place_is_called(
    tmp_path: Path, frame_schema: Schema, make_clip: MakeClip
) -> None:
    clips = [make_clip(frame_schema, number) for number in range(5)]
    path = write_lines(tmp_path / "x.jsonl", clips)

    def opened(name: str, **options: Any) -> Split:
        return open_split(tmp_path, name, SplitSpec("*.jsonl"), frame_schema, cache=None, **options)

    with pytest.raises(DataError, match=rf"share 5 records of {path}, the first at line 0;"):
        check_disjoint([opened("train"), opened("search")])
    lines = path.read_text().splitlines()
    lines[3] = lines[3][:-9]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"^{path}, line 3: not JSON: "):
        list(iterate_batches(opened("train"), 2))
    left = opened("train", on_corrupt="skip")
    assert left.skipped == 1
    assert read_truth(left).ids.tolist() == [clips[n].id for n in (0, 1, 2, 4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "the id is empty"),
        ({"id": 3}, "the id is 3"),
        ({"labels": [3, 30]}, "clip 'clip0001': label 30 is out of range"),
        ({"labels": [-1]}, "clip 'clip0001': label -1 is out of range"),
        ({"labels": [[1]]}, r"clip 'clip0001': the labels are int64 \(1, 1\), not a row"),
        # Neither may be stretched into the batch without a word.
        ({"audio": [[1]] * 2}, r"stream 'audio' should be uint8 \(2, 5\); found uint8 \(2, 1\)"),
        ({"audio": [[1] * 5]}, r"stream 'audio' should be uint8 \(2, 5\); found uint8 \(1, 5\)"),
        ({"rgb": [1] * 12}, r"stream 'rgb' should be uint8 \(12, 12\); found uint8 \(12,\)"),
        ({"rgb": 3}, r"stream 'rgb' should be uint8 \(12,\); found uint8 \(\)"),
        ({"rgb": [[300] * 12]}, "line 0: not a clip: "),
        ({"rgb": None}, "line 0: not a clip: "),
    ],
)
def test_what_a_format_reads_is_held_against_the_schema(
    tmp_path: Path,
    frame_schema: Schema,
    make_clip: MakeClip,
    change: dict[str, Any],
    message: str,
) -> None:
    path = write_lines(tmp_path / "x.jsonl", [make_clip(frame_schema, 1, 2)])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    split = open_split(tmp_path, "x", SplitSpec("*.jsonl"), frame_schema, cache=None)
    for read in (read_truth, lambda split: list(iterate_batches(split, 2))):
        with pytest.raises(DataError, match=message) as error:
            read(split)
        assert str(error.value).startswith(f"{path}, line 0: ")


@pytest.mark.filterwarnings("ignore:overflow")
def test_float_features_must_be_finite(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip
) -> None:
    clip = make_clip(video_schema, 1)
    path = write_lines(tmp_path / "x.jsonl", [clip])
    path.write_text(path.read_text().replace(str(clip.features["mean_rgb"].tolist()[0]), "1e39"))
    split = open_split(tmp_path, "x", SplitSpec("*.jsonl"), video_schema, cache=None)
    with pytest.raises(DataError, match="line 0: clip 'clip0001': stream 'mean_rgb' holds NaN or"):
        next(split.clips())


# --- which format reads a file


def test_a_format_is_chosen_by_suffix_or_by_name(
    tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    (path,) = make_shards(frame_schema, 3)
    for suffix in ("tfrecord", "tfrecords", "tfrec"):
        assert format_of(Path(f"a.{suffix}"), "auto").name == "tfrecord"
    renamed = path.rename(path.with_name("shard-1-of-1"))
    unknown = rf"{renamed}: no format has this suffix; there are .*\.tfrecord, .*set data\.format"
    with pytest.raises(DataError, match=unknown):
        open_split(path.parent, "x", SplitSpec("*"), frame_schema, cache=None)
    split = open_split(
        path.parent, "x", SplitSpec("*"), frame_schema, cache=None, format="tfrecord"
    )
    assert len(read_truth(split).ids) == 3
    with pytest.raises(DataError, match=r"unknown format 'tfrecrod'; there are .*tfrecord, "):
        open_split(path.parent, "x", SplitSpec("*"), frame_schema, cache=None, format="tfrecrod")
    with pytest.raises(DataError, match=r"'x': no file under .* ends in .*\.tfrecord or "):
        open_split(path.parent, "x", SplitSpec(), frame_schema, cache=None)


def copy_of_the_format(path: Path, name: str, suffix: str, comment: str = "") -> Path:
    source = FORMAT.read_text().replace("json_lines", name).replace(".jsonl", suffix)
    path.write_text(source + comment)
    return path


def test_names_and_suffixes_are_taken_once(tmp_path: Path) -> None:
    for name, suffix, message in (
        ("tfrecord", ".rows", "format 'tfrecord' is registered twice"),
        ("rows", ".tfrec", "format 'rows': .tfrec is a suffix of 'tfrecord'"),
        ("auto", ".rows", "format 'auto': the name means"),
    ):
        with pytest.raises(UserError, match=message):
            load_extension(copy_of_the_format(tmp_path / f"{name}.py", name, suffix))


# --- fingerprints


def test_the_fingerprint_of_tfrecords_is_that_of_names_lengths_and_checksums(
    tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    expected = hashlib.sha256()
    for path in make_shards(frame_schema, 23):
        content, lengths, checksums = path.read_bytes(), b"", b""
        while content:
            (length,) = struct.unpack_from("<Q", content)
            lengths += struct.pack("<I", length)
            checksums += content[12 + length : 16 + length]
            content = content[16 + length :]
        expected.update(path.name.encode() + b"\0" + lengths + checksums)
    for patterns in ("train-*", ("train-0000[01]*", "train-00002.tfrecord")):
        split = open_split(
            tmp_path / "data", "x", SplitSpec(patterns), frame_schema, cache=tmp_path / "cache"
        )
        assert split.fingerprint == expected.hexdigest()


def test_the_fingerprint_covers_contents_and_the_file_of_the_format(
    tmp_path: Path, frame_schema: Schema, make_clip: MakeClip
) -> None:
    clips = [make_clip(frame_schema, number) for number in range(3)]
    path = write_lines(tmp_path / "x.jsonl", clips)
    source = format_of(path, "auto").source
    assert source is not None and source.path == FORMAT
    assert source.digest == hashlib.sha256(FORMAT.read_bytes()).hexdigest()

    def fingerprint(format: str) -> str:
        cache = tmp_path / "cache"
        spec = SplitSpec("x.jsonl")
        return open_split(tmp_path, "x", spec, frame_schema, cache=cache, format=format).fingerprint

    before = fingerprint("auto")
    assert fingerprint("json_lines") == before
    load_extension(copy_of_the_format(tmp_path / "changed.py", "changed", ".changed", "# x\n"))
    assert fingerprint("changed") != before
    text = path.read_text()
    path.write_text(text.replace("clip0001", "clip0009"))
    assert fingerprint("auto") != before
