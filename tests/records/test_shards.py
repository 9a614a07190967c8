"""Splits by names, globs, lists and exclusions of shards, and by ranges of the hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from common.codec import from_plain
from records import DataError, Schema, SplitSpec, Stream, open_split, read_truth
from records.config import DataConfig, id_hash
from records.shards import find_shards

NAMES = ["train0.tfrecord", "train1.tfrecord", *(f"validate{n:02d}.tfrecord" for n in range(20))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of empty shards; nothing here reads them."""
    for name in NAMES:
        (tmp_path / name).touch()
    return tmp_path


SCHEMA = Schema("x", "video", (Stream("x", 1),), 2)


def found(root: Path, **spec: Any) -> list[str]:
    return [p.name for p in find_shards(root, "train", SplitSpec(**spec), "auto", SCHEMA)]


def test_several_globs_name_each_shard_once(root: Path) -> None:
    assert found(root, shards=("validate*", "train*")) == NAMES
    assert found(root, shards=("*1.tfrecord", "train*")) == [
        "train0.tfrecord",
        "train1.tfrecord",
        "validate01.tfrecord",
        "validate11.tfrecord",
    ]


def test_the_winners_split(root: Path) -> None:
    """Training and validation partitions, less some validation shards, and those in another."""
    held_out = [name for name in NAMES[2:] if name[8:10] in ("03", "07", "19")]
    (root / "held-out.txt").write_text("\n".join(held_out[:2]) + "\n\n  validate1[9]* \n")
    both: dict[str, Any] = {"shards": ("train*.tfrecord", "validate*.tfrecord")}
    left = [name for name in NAMES if name not in held_out]
    assert found(root, **both, exclude="@held-out.txt") == left
    assert found(root, **both, exclude=tuple(held_out)) == left
    assert found(root, shards="@held-out.txt") == held_out
    assert found(root, **both, exclude=("train*", "@held-out.txt")) == left[2:]
    assert found(root, exclude="train*") == NAMES[2:]


def test_a_name_may_look_like_a_glob(root: Path) -> None:
    for name in ("[01].tfrecord", "0.tfrecord", "a*.tfrecord", "ab.tfrecord"):
        (root / name).touch()
    assert found(root, shards="[01].tfrecord") == ["[01].tfrecord"]
    assert found(root, shards="a*.tfrecord") == ["a*.tfrecord"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"shards": ("train*", "trian*")}, "split 'train': no file matches 'trian\\*' under"),
        ({"shards": "train*", "exclude": "val00"}, "split 'train': no file matches 'val00' under"),
        ({"shards": "train*", "exclude": "*"}, "no shard is left of 2 under .*; exclude fewer"),
        ({"shards": "@no.txt"}, "split 'train': list .*no.txt: cannot be read: No such file"),
        ({"shards": "@bad.txt"}, "split 'train': list .*bad.txt: cannot be read: not UTF-8"),
        (
            {"shards": "@list.txt"},
            "list.txt, line 3: no file matches 'validate77' under",
        ),
        ({"shards": "@empty.txt"}, "'train': no shard is left of 0 under"),
        ({"shards": "x" * 999}, "'train': pattern 'xxx.*: .*File name too long"),
    ],
)
def test_what_matches_nothing_is_named(root: Path, spec: dict[str, Any], message: str) -> None:
    (root / "list.txt").write_text("train0.tfrecord\n\nvalidate77\n")
    (root / "bad.txt").write_bytes(b"\xff")
    (root / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=message):
        found(root, **spec)


def test_several_ranges_of_the_hash(tmp_path: Path, frame_schema: Schema, make_shards: Any) -> None:
    make_shards(frame_schema, 60)
    ids = [f"clip{number:04d}" for number in range(60)]

    def opened(spec: SplitSpec) -> list[str]:
        split = open_split(tmp_path / "data", "x", spec, frame_schema, cache=None)
        return read_truth(split).ids.tolist()

    ranges = ((0.1, 0.3), (0.6, 0.65), (0.9, 1.0))
    kept = [i for i in ids if any(start <= id_hash(i) < end for start, end in ranges)]
    assert 0 < len(kept) < 60
    assert opened(SplitSpec("*", hash_ranges=ranges)) == kept
    assert opened(SplitSpec("*", hash_ranges=((0.25, 0.5),))) == opened(SplitSpec("*", 0.25, 0.5))
    with pytest.raises(DataError, match=r"id hash in \[0.1, 0.10001\] or \[0.2, 0.20001\]; widen"):
        opened(SplitSpec("*", hash_ranges=((0.1, 0.10001), (0.2, 0.20001))))


# --- the configuration


def read(text: str) -> DataConfig:
    return from_plain(DataConfig, yaml.safe_load(text), "data", DataError)


def test_the_configuration_of_the_data() -> None:
    data = read(
        """
        root: 2018
        train: {shards: "train-*.tfrecord", hash_from: 0, hash_to: 0.9}
        report: {shards: [a, b], exclude: "@list.txt", hash_ranges: [[0, 0.1], [0.5, 1]]}
        on_corrupt: skip
        demo: {train_clips: 320}
        """
    )
    assert data.root == "2018" and data.format == "auto"
    assert data.splits == {
        "train": SplitSpec("train-*.tfrecord", 0.0, 0.9),
        "report": SplitSpec(("a", "b"), hash_ranges=((0.0, 0.1), (0.5, 1.0)), exclude="@list.txt"),
    }
    assert (data.demo.train_clips, data.demo.search_clips) == (320, 1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {shard: x}", "data.train: unknown key 'shard'; known are .*mean 'shards'"),
        ("train: {shards: 3}", "data.train.shards: expected str or a list or None, not 3"),
        ("train: {shards: []}", "data.train: split .*shards is empty"),
        ("train: {shards: [a, '']}", "data.train: split .*shards is empty"),
        ("train: {shards: a, exclude: ''}", "data.train: split 'a': exclude holds an empty"),
        ("train: {shards: a, hash_to: 1.1}", "data.train.hash_to: must be at most 1, not 1.1"),
        ("train: {shards: a, hash_from: 1}", "data.train: split 'a': hash_from is 1.0 and hash_to"),
        (
            "train: {shards: a, hash_ranges: [[0.5, 0.4]]}",
            "data.train: split 'a': hash_from is 0.5 and hash_to 0.4; they must satisfy",
        ),
        (
            "train: {shards: a, hash_to: 0.5, hash_ranges: [[0, 0.4]]}",
            "data.train: split 'a': hash_ranges and hash_from, hash_to say the same",
        ),
        ("on_corrupt: ignore", "data.on_corrupt: must be one of error, skip, not 'ignore'"),
        ("workers: -1", "data.workers: must be at least 0, not -1"),
        ("demo: {min_frames: 0}", "data.demo.min_frames: must be at least 1, not 0"),
        ("demo: {min_frames: 200}", "data.demo: max_frames 120 is less than min_frames 200"),
    ],
)
def test_wrong_settings_are_named_by_their_key(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(text)
