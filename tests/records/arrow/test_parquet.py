"""Parquet files give what TFRecords of the same clips give, and say what is wrong with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from records import (
    Clip,
    DataError,
    FrameSampling,
    Schema,
    Split,
    SplitSpec,
    iterate_batches,
    open_split,
    read_truth,
)
from records.arrow import row_groups
from tests.records.tables import (
    LAYOUTS,
    assert_equal_batch,
    multi_hot,
    names_of,
    table_of,
    write_parquet,
)

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]
CLIPS = 47


@pytest.fixture(params=["frame", "video"])
def schema(request: Any, frame_schema: Schema, video_schema: Schema) -> Schema:
    """At either level a stream of bytes and one of floats."""
    schema = frame_schema if request.param == "frame" else video_schema
    first, second = schema.streams
    streams = (
        dataclasses.replace(first, encoding="uint8"),
        dataclasses.replace(second, encoding="float32"),
    )
    return dataclasses.replace(schema, streams=streams)


@pytest.fixture
def clips(schema: Schema, make_clip: MakeClip) -> list[Clip]:
    return [make_clip(schema, number) for number in range(CLIPS)]


def opened(folder: Path, schema: Schema, **options: Any) -> Split:
    return open_split(folder, "train", SplitSpec("train-*"), schema, cache=None, **options)


def assert_same(one: Split, other: Split) -> None:
    truths = read_truth(one), read_truth(other)
    for name in ("ids", "offsets", "columns"):
        np.testing.assert_array_equal(*(getattr(truth, name) for truth in truths))
    shuffled: dict[str, Any] = {"shuffle_seed": 4, "epoch": 3, "start_batch": 1}
    for options in ({}, shuffled | {"sampling": FrameSampling(draw=3)}):
        pairs = zip(
            iterate_batches(one, 7, **options), iterate_batches(other, 7, **options), strict=True
        )
        for a, b in pairs:
            assert_equal_batch(a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_batches_of_tfrecords(
    tmp_path: Path, schema: Schema, clips: list[Clip], make_shards: MakeShards, layout: str
) -> None:
    make_shards(schema, CLIPS)
    table = table_of(clips, schema, LAYOUTS[layout])
    write_parquet(tmp_path / "tables", table, row_group_size=4)
    assert_same(opened(tmp_path / "data", schema), opened(tmp_path / "tables", schema))


@pytest.mark.parametrize("encoding", ["names", "multi_hot", "one"])
def test_labels_by_name_multi_hot_or_alone(
    tmp_path: Path, schema: Schema, clips: list[Clip], make_shards: MakeShards, encoding: str
) -> None:
    if encoding == "one":
        clips = [dataclasses.replace(clip, labels=clip.labels[:1]) for clip in clips]
        labels = pa.array([next(iter(clip.labels.tolist()), None) for clip in clips])
        read = schema
    elif encoding == "names":
        names = names_of(schema)
        read = dataclasses.replace(schema, label_encoding="names", label_names=names)
        rows = [[names[label] for label in clip.labels] for clip in clips]
        labels = pa.array(rows, pa.list_(pa.dictionary(pa.int8(), pa.string())))
    else:
        read = dataclasses.replace(schema, label_encoding="multi_hot")
        labels = pa.array(multi_hot(clips, schema), pa.list_(pa.int8()))
    write_parquet(tmp_path, table_of(clips, schema, labels=labels))
    truth = read_truth(opened(tmp_path, read))
    found = np.split(truth.columns, truth.offsets[1:-1])
    assert [row.tolist() for row in found] == [clip.labels.tolist() for clip in clips]


def test_ids_may_be_numbers_and_labels_may_be_missing(
    tmp_path: Path, schema: Schema, clips: list[Clip]
) -> None:
    table = table_of(clips, schema).drop_columns("labels")
    write_parquet(tmp_path, table.set_column(0, "id", pa.array(range(CLIPS))))
    truth = read_truth(opened(tmp_path, schema))
    assert truth.ids.tolist() == list(map(str, range(CLIPS)))
    assert not truth.columns.size


def test_groups_beyond_the_budget_are_decoded_again(
    tmp_path: Path, schema: Schema, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path, table_of(clips, schema), row_group_size=3)
    whole = list(iterate_batches(opened(tmp_path, schema), 7, shuffle_seed=1))
    monkeypatch.setattr(row_groups, "_KEPT", row_groups.Kept(500))
    for one, other in zip(
        whole, iterate_batches(opened(tmp_path, schema), 7, shuffle_seed=1), strict=True
    ):
        assert_equal_batch(one, other)
    kept = row_groups._KEPT
    assert not kept._held and not kept._bytes


# --- what is refused


def refusal(folder: Path, schema: Schema) -> str:
    with pytest.raises(DataError) as error:
        list(iterate_batches(opened(folder, schema), 5))
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def changed(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    column = table.column(name)
    values = column.to_pylist()
    values[row] = value
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(values, column.type))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("id", None, "the id is None"),
        ("id", "", "the id is empty"),
        ("labels", [3, 30], "label 30 is out of range"),
        ("labels", [3, None], "a label is null"),
        ("rgb", None, "'rgb' is null"),
        ("rgb", [[1] * 12, None], "'rgb' should be 12 x uint8"),
        ("rgb", [[1] * 12, [1] * 11], "'rgb' should be 12 x uint8"),
        ("rgb", [[1] * 12, [None] * 12], "'rgb' holds a null"),
        ("rgb", [[1] * 12] * 9, "streams have different numbers of frames"),
    ],
)
def test_a_wrong_row_is_named(
    tmp_path: Path, frame_schema: Schema, make_clip: MakeClip, name: str, value: Any, said: str
) -> None:
    clips = [make_clip(frame_schema, number) for number in range(8)]
    write_parquet(tmp_path, changed(table_of(clips, frame_schema), name, 6, value))
    message = refusal(tmp_path, frame_schema)
    assert message.startswith(f"{tmp_path / 'train-00000.parquet'}, row 6: ")
    assert said in message


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("labels", [["dog"]] * 4, "the label 'dog' is no whole number; set label_encoding: names"),
        ("labels", [[0.5]] * 4, "the label 0.5 is no whole number"),
        ("labels", [[0, 1] * 15] * 4, "a multi-hot vector; set label_encoding: multi_hot"),
        ("mean_rgb", [[1] * 12] * 4, "'mean_rgb' is a column of 'list<element: int64>'; it must"),
        ("mean_rgb", ["x"] * 4, "'mean_rgb' is a column of 'string'; it must be a list of floats"),
        ("mean_rgb", [[1.0] * 11] * 4, "'mean_rgb' should be 12 x float32 a vector; found 11"),
        ("mean_rgb", [[1e300] * 12] * 4, "'mean_rgb' holds NaN or infinity"),
        ("id", [1.5] * 4, "the id is 1.5"),
    ],
)
def test_a_wrong_column_is_named(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip, name: str, column: Any, said: str
) -> None:
    table = table_of([make_clip(video_schema, number) for number in range(4)], video_schema)
    place = table.column_names.index(name)
    write_parquet(tmp_path, table.set_column(place, name, pa.array(column)))
    assert said in refusal(tmp_path, video_schema)


def test_missing_columns_are_named(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip
) -> None:
    table = table_of([make_clip(video_schema, 1)], video_schema)
    for name, said in (
        ("id", "no column id or video_id; there are made, labels, mean_rgb, mean_audio; set id_k"),
        ("mean_rgb", "stream 'mean_rgb' of schema 'means' is missing; there are id, made, labels"),
    ):
        write_parquet(tmp_path, table.drop_columns(name))
        assert said in refusal(tmp_path, video_schema)


def test_no_changed_byte_is_used_without_a_word(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip
) -> None:
    """With the checksums that a writer may add to pages; without, only what cannot be decoded."""
    table = table_of([make_clip(video_schema, number) for number in range(20)], video_schema)
    write_parquet(tmp_path, table, per_shard=20, write_page_checksum=True, row_group_size=10)
    path = tmp_path / "train-00000.parquet"
    sound, before = path.read_bytes(), opened(tmp_path, video_schema)
    column = pq.ParquetFile(path).metadata.row_group(1).column(3)
    at = column.dictionary_page_offset + column.total_compressed_size - 9
    path.write_bytes(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :])
    message = refusal(tmp_path, video_schema)
    assert message.startswith(f"{path}, row 10: row group 1 cannot be decoded: ")
    assert opened(tmp_path, video_schema).fingerprint != before.fingerprint
    for size in (0, 4, 100, len(sound) - 1):
        path.write_bytes(sound[:size])
        assert refusal(tmp_path, video_schema).startswith(f"{path}: is no sound Parquet file: ")


def test_claims_beyond_what_the_bytes_hold_are_not_believed(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repetitions take next to nothing in the file, and all of the memory once decoded."""
    clip = make_clip(video_schema, 1)
    rows = 3000
    table = table_of([clip], video_schema).take([0] * rows)
    write_parquet(tmp_path, table, per_shard=rows, compression="zstd")
    monkeypatch.setattr(row_groups, "_ALWAYS", 0)
    message = refusal(tmp_path, video_schema)
    assert "row group 0: column 'mean_rgb.list.element' claims 36000 values in" in message
