"""The index of a split in its cache: mapped, whole or absent, made anew with the shards."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import files
from records import DataError, Schema, Split, SplitSpec, open_split
from records import index as index_module

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
        assert len(list(cache.iterdir())) == 1
    make_shards(frame_schema, 5)
    os.utime(path, (1, 1))
    changed = open_split(root, "train", spec, frame_schema, cache=cache)
    assert changed.fingerprint != plain.fingerprint
    other = dataclasses.replace(frame_schema, id_keys=("video_id",))
    with pytest.raises(DataError, match="no id under video_id"):
        open_split(root, "train", spec, other, cache=cache)


def test_an_index_without_its_last_file_is_made_again(
    root: Path,
    tmp_path: Path,
    frame_schema: Schema,
    make_shards: MakeShards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kill between its two files leaves what is not taken for an index."""
    make_shards(frame_schema, 9)
    spec, cache = SplitSpec("*", 0.0, 0.7), tmp_path / "cache"

    def opened() -> Split:
        return open_split(root, "train", spec, frame_schema, cache=cache)

    def killed(path: Path, value: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(index_module, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        opened()
    (folder,) = cache.iterdir()
    assert [path.name for path in folder.iterdir()] == ["records.npy"]
    (folder / "records.npy").write_bytes(b"of a disk that was full")
    monkeypatch.undo()
    again = opened()
    plain = open_split(root, "train", spec, frame_schema, cache=None)
    assert again.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(again.position, plain.position)
    assert not list(folder.glob(f"*{files.TEMPORARY_SUFFIX}"))


def test_a_damaged_shard_leaves_no_index(
    root: Path, tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    _, second = make_shards(frame_schema, 20)
    second.write_bytes(second.read_bytes()[:-3])
    with pytest.raises(DataError, match="a record claims"):
        open_split(root, "x", SplitSpec("*"), frame_schema, cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
