"""Archives and folders of NumPy's arrays: the same batches, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable
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
    iterate_batches,
    open_split,
    read_truth,
)
from tests.records.tables import assert_equal_batch, multi_hot, names_of

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]
Arrays = dict[str, Any]


@pytest.fixture(params=["frame", "video"])
def schema(request: Any, frame_schema: Schema, video_schema: Schema) -> Schema:
    return frame_schema if request.param == "frame" else video_schema


def by_offsets(name: str, rows: list[np.ndarray]) -> Arrays:
    return {name: np.concatenate(rows), f"{name}_offsets": np.cumsum([0, *map(len, rows)])}


def padded(name: str, rows: list[np.ndarray]) -> Arrays:
    out = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), 255, rows[0].dtype)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return {name: out, f"{name}_lengths": np.array(list(map(len, rows)))}


def arrays_of(clips: list[Clip], schema: Schema, ragged: Any = by_offsets) -> Arrays:
    arrays = {"id": np.array([clip.id for clip in clips])}
    arrays |= ragged("labels", [clip.labels for clip in clips])
    for stream in schema.streams:
        rows = [clip.features[stream.name] for clip in clips]
        is_ragged = schema.level == "frame"
        arrays |= ragged(stream.name, rows) if is_ragged else {stream.name: np.stack(rows)}
    return arrays


def write_folder(folder: Path, arrays: Arrays) -> None:
    folder.mkdir(parents=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)


def opened(root: Path, schema: Schema, pattern: str, cache: Path | None = None) -> Split:
    return open_split(root, "train", SplitSpec(pattern), schema, cache=cache)


@pytest.mark.parametrize("ragged", [by_offsets, padded])
@pytest.mark.parametrize("kind", ["npz", "compressed", "folders", "files"])
def test_the_batches_are_those_of_tfrecords(
    tmp_path: Path,
    schema: Schema,
    make_clip: MakeClip,
    make_shards: MakeShards,
    kind: str,
    ragged: Any,
) -> None:
    make_shards(schema, 23)
    for shard in range(3):
        clips = [make_clip(schema, n) for n in range(10 * shard, min(23, 10 * shard + 10))]
        arrays = arrays_of(clips, schema, ragged)
        if kind in ("folders", "files"):
            write_folder(tmp_path / "arrays" / f"part-{shard}", arrays)
        else:
            (tmp_path / "arrays").mkdir(exist_ok=True)
            save = np.savez if kind == "npz" else np.savez_compressed
            save(tmp_path / "arrays" / f"part-{shard}.npz", **arrays)
    pattern = "part-*/*.npy" if kind == "files" else "part-*"
    split = opened(tmp_path / "arrays", schema, pattern, tmp_path / "cache")
    assert len(split.shards) == 3
    records = opened(tmp_path / "data", schema, "train-*")
    np.testing.assert_array_equal(read_truth(split).columns, read_truth(records).columns)
    shuffled: dict[str, Any] = {"shuffle_seed": 2}
    for options in ({}, shuffled):
        batches = (iterate_batches(one, 5, **options) for one in (split, records))
        for one, other in zip(*batches, strict=True):
            assert_equal_batch(one, other)


@pytest.mark.parametrize("encoding", ["names", "multi_hot", "one"])
def test_labels_by_name_multi_hot_or_alone(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip, encoding: str
) -> None:
    clips = [make_clip(video_schema, n) for n in (1, 2, 3, 5, 6, 7)]
    arrays = arrays_of(clips, video_schema)
    wanted = [clip.labels.tolist() for clip in clips]
    schema, names = video_schema, names_of(video_schema)
    if encoding == "names":
        schema = dataclasses.replace(schema, label_encoding="names", label_names=names)
        arrays["labels"] = np.array(names)[arrays["labels"]]
    else:
        del arrays["labels_offsets"]
    if encoding == "multi_hot":
        schema = dataclasses.replace(schema, label_encoding="multi_hot")
        arrays["labels"] = np.array(multi_hot(clips, schema))
    if encoding == "one":
        wanted = [row[:1] for row in wanted]
        arrays["labels"] = np.array([row[0] for row in wanted], np.int16)
    np.savez(tmp_path / "train.npz", **arrays)
    found = [clip.labels.tolist() for clip in opened(tmp_path, schema, "train.npz").clips()]
    assert found == wanted


def test_types_are_converted_as_far_as_they_fit(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip
) -> None:
    arrays = arrays_of([make_clip(video_schema, n) for n in range(4)], video_schema)
    exact = arrays["mean_rgb"]
    arrays |= {"mean_rgb": np.asfortranarray(exact.astype(">f8")), "id": np.arange(4)}
    np.savez(tmp_path / "x.npz", **arrays)
    clips = list(opened(tmp_path, video_schema, "x.npz").clips())
    assert [clip.id for clip in clips] == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(np.stack([c.features["mean_rgb"] for c in clips]), exact)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": None}, "no array id or video_id; there are labels, "),
        ({"mean_rgb": None}, "stream 'mean_rgb' of schema 'means' is missing"),
        ({"id": np.array(["a", "b", None])}, "'id.npy': holds objects of Python, which are not"),
        ({"id": np.array(["a", "b"])}, "'labels' is of 3 clips, and there are 2"),
        ({"id": np.array([0.5, 1, 2])}, r"the ids are float64 \(3,\), not a row"),
        ({"mean_rgb": np.zeros((3, 11), np.float32)}, "'mean_rgb' should be float32 .12,.; found"),
        ({"mean_rgb": np.zeros((3, 12), int)}, "'mean_rgb' holds int64, and must hold floats"),
        ({"labels_offsets": np.array([0, 1, 0, 3])}, "'labels_offsets' must rise from 0 to 3"),
        ({"labels_offsets": np.array([0, 1, 2, 4])}, "'labels_offsets' must rise from 0 to 3"),
        ({"labels_offsets": np.array([0.0, 1])}, "'labels_offsets' is float64 .2,., not a row of"),
        ({"labels_offsets": None, "labels_lengths": np.array([1, 1, 1])}, "does not fit labels"),
        ({"labels": np.array(3)}, "'labels' is a single number"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip, changes: Any, said: str
) -> None:
    clips = [make_clip(video_schema, n) for n in (1, 5, 9)]
    arrays = arrays_of(clips, video_schema) | changes
    kept = {name: values for name, values in arrays.items() if values is not None}
    np.savez(tmp_path / "x.npz", **kept)
    with pytest.raises(DataError, match=said) as error:
        list(opened(tmp_path, video_schema, "x.npz").clips())
    assert str(error.value).startswith(f"{tmp_path / 'x.npz'}")


def npy(header: bytes, content: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no .npy array"),
        (
            npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 12)}\n", b"1234"),
            "cl",
        ),
        (npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}\n", b"1234"), "claims"),
        (npy(b"__import__('os').system('x')\n", b""), "is no .npy array"),
        (
            npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", b"1234"),
            "objects of Py",
        ),
    ],
)
def test_claims_of_a_header_are_not_believed(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip, content: bytes, said: str
) -> None:
    write_folder(tmp_path / "x", arrays_of([make_clip(video_schema, 1)], video_schema))
    path = tmp_path / "x" / "mean_rgb.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path}: .*{said}"):
        opened(tmp_path, video_schema, "x")


def test_a_change_of_any_array_is_seen(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip
) -> None:
    arrays = arrays_of([make_clip(video_schema, n) for n in range(4)], video_schema)
    write_folder(tmp_path / "x", arrays)
    before = opened(tmp_path, video_schema, "x", tmp_path / "cache").fingerprint
    arrays["mean_rgb"][2, 3] += 1
    np.save(tmp_path / "x" / "mean_rgb.npy", arrays["mean_rgb"])
    split = opened(tmp_path, video_schema, "x", tmp_path / "cache")
    assert split.fingerprint != before


def test_a_damaged_archive_is_named(
    tmp_path: Path, video_schema: Schema, make_clip: MakeClip
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **arrays_of([make_clip(video_schema, n) for n in range(9)], video_schema))
    sound = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        at = archive.getinfo("mean_rgb.npy").header_offset + 300
    for content in (
        sound[:0],
        sound[:-30],
        sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :],
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"^{path}: is no sound .npz file: "):
            opened(tmp_path, video_schema, "x.npz")
