"""Files of a folder, and the splits that they become."""

from __future__ import annotations

from pathlib import Path

import pytest

from records import DataError, SplitSpec
from records.recognition.files import divide, find_files, group_files


def laid(root: Path, *names: str) -> list[Path]:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return find_files(root, "auto")[1]


def splits(root: Path, *names: str, labels: bool = True) -> dict[str, SplitSpec]:
    return divide(root, group_files(root, laid(root, *names)), labels)


def test_without_a_word_ids_are_cut(tmp_path: Path) -> None:
    found = splits(tmp_path, "a-1.parquet", "a-2.parquet")
    assert {name: (s.shards, s.hash_from, s.hash_to) for name, s in found.items()} == {
        "train": ("a-*.parquet", 0, 0.8),
        "search": ("a-*.parquet", 0.8, 0.9),
        "report": ("a-*.parquet", 0.9, 1),
    }


def test_words_are_splits(tmp_path: Path) -> None:
    names = ("train/1.parquet", "train/2.parquet", "val/1.parquet", "test/1.parquet")
    whole = splits(tmp_path, *names)
    assert {name: s.shards for name, s in whole.items()} == {
        "train": "train/*.parquet",
        "search": "val/1.parquet",
        "report": "test/1.parquet",
    }
    assert all((s.hash_from, s.hash_to) == (0, 1) for s in whole.values())
    blind = splits(tmp_path, *names, labels=False)
    assert blind["test"].shards == "test/1.parquet"
    halves = {n: (blind[n].shards, blind[n].hash_from, blind[n].hash_to) for n in blind}
    assert halves["search"] == ("val/1.parquet", 0, 0.5)
    assert halves["report"] == ("val/1.parquet", 0.5, 1)


def test_a_test_set_alone_is_reported_on_or_predicted(tmp_path: Path) -> None:
    names = ("my-train.pq", "my-test.pq")
    whole, blind = splits(tmp_path, *names), splits(tmp_path, *names, labels=False)
    assert (whole["train"].hash_to, whole["search"].hash_from) == (0.9, 0.9)
    assert whole["report"].shards == "my-test.pq" and "test" not in whole
    assert blind["test"].shards == "my-test.pq" and blind["report"].hash_from == 0.9
    both = splits(tmp_path, *names, "my-report.pq")
    assert (both["report"].shards, both["test"].shards) == ("my-report.pq", "my-test.pq")


def test_files_that_no_glob_takes_are_named(tmp_path: Path) -> None:
    found = splits(tmp_path, "a.parquet", "b.parquet", "a-test.parquet")
    assert found["train"].shards == ("a.parquet", "b.parquet")
    # A word within a word is none.
    found = splits(tmp_path / "more", "interval.parquet", "contest.parquet")
    assert found.keys() == {"train", "search", "report"}


def test_what_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root: no file under .* ends in .*\.parquet"):
        laid(tmp_path, "notes.txt", ".hidden.parquet")
    with pytest.raises(DataError, match=r"by their names all files under .* add those of train"):
        splits(tmp_path, "test.parquet")
    with pytest.raises(DataError, match=r"data\.format: .* files of parquet and tfrecord; say"):
        laid(tmp_path, "a.tfrecord")
    assert find_files(tmp_path, "tfrecord")[1] == [tmp_path / "a.tfrecord"]
