from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from records import Clip, DataError, Schema, SplitSpec, open_split
from records.formats import ClipReader

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_open_files_are_bounded(
    tmp_path: Path, frame_schema: Schema, make_clip: MakeClip, make_shards: MakeShards
) -> None:
    make_shards(frame_schema, 40, per_shard=1)
    split = open_split(tmp_path / "data", "x", SplitSpec("*"), frame_schema, cache=None)
    before = open_files()
    with ClipReader(split.shards, frame_schema, "auto", max_open=8) as reader:
        for _ in range(2):
            for number, place in enumerate(split.places(slice(None))):
                assert reader.clip(*place).id == make_clip(frame_schema, number).id
        assert open_files() - before == 8
    assert open_files() == before


def test_a_shard_that_went_away_is_named(
    tmp_path: Path, frame_schema: Schema, make_shards: MakeShards
) -> None:
    (path,) = make_shards(frame_schema, 2)
    split = open_split(tmp_path / "data", "x", SplitSpec("*"), frame_schema, cache=None)
    path.unlink()
    with pytest.raises(DataError, match=rf"^{path}: cannot be opened: No such file"):
        next(split.clips())
