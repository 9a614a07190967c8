"""What is counted of ids and labels, and what of it is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from records import (
    Clip,
    DataError,
    Schema,
    Split,
    SplitSpec,
    check_census,
    check_ids,
    encode_clip,
    open_split,
    write_shards,
)
from records.census import take_census

MakeClip = Callable[..., Clip]
Labeled = Callable[[Iterable[Any]], Split]


@pytest.fixture
def write(tmp_path: Path, frame_schema: Schema, make_clip: MakeClip) -> Callable[..., Split]:
    """A function (changes of clips 0, 1, ..., split) that writes and opens a split of them."""

    def make(
        changes: Iterable[dict[str, Any]], name: str = "train", first: int = 0, **spec: Any
    ) -> Split:
        clips = (
            dataclasses.replace(make_clip(frame_schema, number), **change)
            for number, change in enumerate(changes, first)
        )
        records = [encode_clip(clip, frame_schema) for clip in clips]
        write_shards(tmp_path / "data", name, records, 3)
        cache = tmp_path / "cache"
        return open_split(
            tmp_path / "data", name, SplitSpec(f"{name}-*", **spec), frame_schema, cache=cache
        )

    return make


@pytest.fixture
def labeled(write: Callable[..., Split]) -> Labeled:
    """As `write`, of labels."""
    return lambda rows: write({"labels": np.array(row, np.int64)} for row in rows)


def test_labels_are_counted(labeled: Labeled, tmp_path: Path) -> None:
    split = labeled([[3], [], [4, 9, 4], [1, 2, 3, 5], [7]])
    for _ in range(2):
        census = take_census(split, tmp_path / "cache")
        assert census.labels.tolist() == [1, 0, 2, 4, 1]
        assert (census.repeating, census.same, census.flags) == (1, False, False)
    said = "labels a clip: train 0 to 4, median 1 (5 clips, 1 without, 1 name one twice)"
    assert check_census([split], tmp_path / "cache") == said


def test_it_is_counted_once_for_a_content(
    labeled: Labeled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, cache = labeled([[3], [5, 6]]), tmp_path / "cache"
    said = check_census([split], cache)
    monkeypatch.delattr(Split, "clips")
    assert check_census([split], cache) == said
    (kept,) = cache.glob("*.census")
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(AttributeError):
        check_census([split], cache)


def test_the_pass_over_the_ids_counts_too(
    write: Callable[..., Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = write([{}] * 9, hash_from=0.2)
    assert 0 < len(split) < 9
    with monkeypatch.context() as patch:
        patch.delattr(Split, "clips")
        census = take_census(split, tmp_path / "cache")
    assert census.labels.tolist() == [len(clip.labels) for clip in split.clips()]


def test_multi_hot_vectors_are_refused(labeled: Labeled, tmp_path: Path) -> None:
    """They were clips that all have the labels 0 and 1, and a MAP of 1."""
    vectors = np.random.default_rng(0).integers(0, 2, (6, 30))
    split = labeled(vectors)
    with pytest.raises(DataError, match=r"clip 'clip0000': the labels are 30 numbers .*multi-hot"):
        check_census([split], tmp_path / "cache")


def test_multi_hot_vectors_of_another_length_are_refused(labeled: Labeled, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).integers(0, 2, (6, 25))
    with pytest.raises(DataError, match="'train': the labels under 'labels' are 0 and 1 over and"):
        check_census([labeled(vectors)], tmp_path / "cache")


def test_few_labels_are_no_vector(labeled: Labeled, tmp_path: Path) -> None:
    split = labeled([[0, 1], [1], [0, 0, 1], []])
    assert take_census(split, tmp_path / "cache").labels.tolist() == [2, 1, 2, 0]


@pytest.mark.parametrize("row", [[0], [5, 9]])
def test_labels_that_are_the_same_in_every_clip_are_refused(
    labeled: Labeled, tmp_path: Path, row: list[int]
) -> None:
    split = labeled([row] * 5)
    with pytest.raises(DataError) as error:
        check_census([split], tmp_path / "cache")
    assert f"'train': all 5 clips have the same labels under 'labels', {row}, " in str(error.value)


def test_labels_under_another_key_are_found(
    write: Callable[..., Split], tmp_path: Path, frame_schema: Schema
) -> None:
    write([{}] * 5)
    other = dataclasses.replace(frame_schema, labels_key="tags")
    split = open_split(tmp_path / "data", "train", SplitSpec("*"), other, cache=None)
    with pytest.raises(DataError) as error:
        check_census([split], tmp_path / "cache")
    said = "none of its 5 clips has a label under 'tags'; its first record has "
    keys = "audio (frames), id (bytes), labels (int64), rgb (frames); set labels_key"
    assert said + keys in str(error.value)


def test_an_id_that_is_there_twice_is_named_with_both_shards(
    write: Callable[..., Split], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    train, search = write([{}] * 9), write([{}] * 5, "search", first=20)
    check_census([train, search], cache)
    within = write([{"id": "a"}, {}, {}, {}, {"id": "a"}])
    place = r"train-00000\.tfrecord \(train\) and in .*train-00001\.tfrecord \(train\), and 1 ids"
    with pytest.raises(DataError, match=f"clip 'a' is there twice, in .*{place}"):
        check_census([within, search], cache)
    shared = write([{}, {"id": "clip0022"}])
    place = r"train-00000\.tfrecord \(train\) and in .*search-00000\.tfrecord \(search\)"
    with pytest.raises(DataError, match=f"clip 'clip0022' is there twice, in .*{place}"):
        check_census([shared, search], cache)


def test_ids_of_one_number_are_not_one(write: Callable[..., Split]) -> None:
    split = write([{}] * 5)
    check_ids([(split, np.array([1, 2, 3, 2, 2], np.uint64))])
