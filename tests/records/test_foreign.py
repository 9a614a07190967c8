"""What is no shard is called by what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from records import DataError, Schema, SplitSpec, open_split


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train.csv", "is a table of text, and no shard of features; write it as Parquet"),
        ("train-1.JPG", "is an image, and no shard of features; store features of it"),
        ("train.png", "is an image"),
        ("train.mp4", "is a film"),
        ("train.wav", "is a sound"),
        ("train.feather", "is a Feather file"),
        ("train.unheard", "no format has this suffix; there are "),
    ],
)
def test_by_its_suffix(tmp_path: Path, frame_schema: Schema, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(DataError) as error:
        open_split(tmp_path, "train", SplitSpec("train*"), frame_schema, cache=None)
    assert str(error.value).startswith(f"{tmp_path / name}: {said}")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("head", "said"), [(b"PAR1", "a Parquet file"), (b"\xff\xd8\xff\xe0", "an image")]
)
def test_by_its_content(tmp_path: Path, frame_schema: Schema, head: bytes, said: str) -> None:
    path = tmp_path / "train.tfrecord"
    path.write_bytes(head + bytes(100))
    with pytest.raises(DataError, match=f"^{path}: is {said}, and no TFRecord; give it its own"):
        open_split(tmp_path, "train", SplitSpec("train*"), frame_schema, cache=None)
