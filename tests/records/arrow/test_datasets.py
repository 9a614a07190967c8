"""Data sets as Hugging Face's `datasets` saves them: Arrow's stream format, and what names it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from records import Clip, DataError, Schema, Split, SplitSpec, iterate_batches, open_split
from tests.records.tables import LAYOUTS, assert_equal_batch, table_of

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]


def save(folder: Path, table: pa.Table, per_file: int = 10, **options: Any) -> list[Path]:
    """As `Dataset.save_to_disk` does."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(table), per_file)
    names = [f"data-{n:05d}-of-{len(starts):05d}.arrow" for n in range(len(starts))]
    for name, start in zip(names, starts, strict=True):
        part = table.slice(start, per_file)
        settings = pa.ipc.IpcWriteOptions(**options)
        with (
            pa.OSFile(str(folder / name), "wb") as file,
            pa.ipc.new_stream(file, table.schema, options=settings) as writer,
        ):
            writer.write_table(part, max_chunksize=4)
    files = [{"filename": name} for name in names]
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": "train"}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))
    return [folder / name for name in names]


def opened(root: Path, schema: Schema, pattern: str = "train") -> Split:
    return open_split(root, "train", SplitSpec(pattern), schema, cache=None)


@pytest.fixture(params=["frame", "video"])
def schema(request: Any, frame_schema: Schema, video_schema: Schema) -> Schema:
    return frame_schema if request.param == "frame" else video_schema


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_batches_are_those_of_tfrecords(
    tmp_path: Path, schema: Schema, make_clip: MakeClip, make_shards: MakeShards, layout: str
) -> None:
    make_shards(schema, 23)
    table = table_of([make_clip(schema, n) for n in range(23)], schema, LAYOUTS[layout])
    save(tmp_path / "train", table)
    # What `datasets` keeps beside is no part of it.
    save(tmp_path / "other", table)[0].rename(tmp_path / "train" / "cache-1f.arrow")
    split = opened(tmp_path, schema)
    assert len(split) == 23
    records = opened(tmp_path / "data", schema, "train-*")
    shuffled: dict[str, Any] = {"shuffle_seed": 2}
    for options in ({}, shuffled):
        batches = (iterate_batches(one, 5, **options) for one in (split, records))
        for one, other in zip(*batches, strict=True):
            assert_equal_batch(one, other)


def test_unknown_labels_are_a_column_of_their_own(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip
) -> None:
    schema = dataclasses.replace(video_schema, unknown_labels_key="unrated")
    table = table_of([make_clip(schema, n) for n in range(4)], schema)
    save(tmp_path / "train", table.append_column("unrated", [[[29], None, [], [0, 7]]]))
    found = [clip.unknown.nonzero()[0].tolist() for clip in opened(tmp_path, schema).clips()]  # type: ignore[union-attr]
    assert found == [[29], [], [], [0, 7]]


def test_damage_is_named(tmp_path: Path, video_schema: Schema, make_clip: MakeClip) -> None:
    table = table_of([make_clip(video_schema, n) for n in range(9)], video_schema)
    path, *_ = save(tmp_path / "train", table)
    sound, before = path.read_bytes(), opened(tmp_path, video_schema).fingerprint
    for size in (0, 3, 100, len(sound) // 2):
        path.write_bytes(sound[:size])
        with pytest.raises(DataError, match=f"^{path}: is no sound file of a saved data set: "):
            opened(tmp_path, video_schema)
    # The bounds of a list, far beyond its values.
    values = [clip.labels.tolist() for clip in (make_clip(video_schema, n) for n in range(4))]
    starts = [0]
    for row in values:
        starts.append(starts[-1] + len(row))
    at = sound.index(b"".join(start.to_bytes(4, "little") for start in starts))
    path.write_bytes(sound[: at + 8] + b"\xff\xff\xff\x7f" + sound[at + 12 :])
    split = opened(tmp_path, video_schema)
    assert split.fingerprint != before
    with pytest.raises(DataError, match=f"^{path}, row 0: its batch is damaged: "):
        list(split.clips())
    (tmp_path / "train" / "state.json").write_text("{}")
    with pytest.raises(DataError, match=r"state\.json: names no _data_files"):
        opened(tmp_path, video_schema)
    path.unlink()
    save(tmp_path / "train", table)
    path.unlink()
    with pytest.raises(DataError, match=f"names files that are not there, such as {path}"):
        opened(tmp_path, video_schema)


def test_what_is_compressed_is_not_decompressed_without_end(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("records.arrow.datasets._MOST_ALLOCATED", 1 << 12)
    table = table_of([make_clip(video_schema, n) for n in range(200)], video_schema)
    save(tmp_path / "train", table, per_file=200, compression="zstd")
    with pytest.raises(DataError, match="is compressed; save it without"):
        opened(tmp_path, video_schema)
