"""Shards in object storage are read as those in a folder are."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from common import objects
from common.objects import ObjectError
from records import (
    Clip,
    DataError,
    Schema,
    Split,
    SplitSpec,
    check_census,
    encode_clip,
    iterate_batches,
    open_split,
    write_shards,
)
from records.folds import Part
from records.objects.folder import RemoteFolder
from records.splits import DataSource, check_disjoint
from tests.object_storage import ObjectServer
from tests.records.conftest import MakeClip, MakeShards
from tests.records.tables import table_of, write_parquet

Remote = Callable[..., RemoteFolder]


@pytest.fixture
def remote(object_server: ObjectServer, tmp_path: Path) -> Remote:
    """A function that copies ``tmp_path``/data to the server, and is given `most`."""

    def make(most: int = 1 << 30) -> RemoteFolder:
        url = object_server.put_folder(tmp_path / "data", "some/where")
        return RemoteFolder(url, tmp_path / "copies", most)

    return make


def opened(folder: RemoteFolder, schema: Schema, spec: SplitSpec, **settings: Any) -> Split:
    cache = folder.copies.parent / "index"
    return open_split(folder.root, "train", spec, schema, cache=cache, remote=folder, **settings)


def contents(split: Split) -> list[Any]:
    return [
        (clip.id, clip.labels.tolist(), {k: v.tobytes() for k, v in clip.features.items()})
        for clip in split.clips()
    ]


@pytest.mark.parametrize("ranges", [(0.0, 1.0), (0.2, 0.7)])
def test_the_same_clips_as_from_the_folder(
    make_shards: MakeShards,
    frame_schema: Schema,
    remote: Remote,
    tmp_path: Path,
    ranges: tuple[float, float],
) -> None:
    make_shards(frame_schema, 95)
    make_shards(frame_schema, 10, prefix="other/x", first=100)
    (tmp_path / "data" / "list.txt").write_text("train-0000[3-9]*\nother\n")
    spec = SplitSpec(("train-0000[0-2]*", "@list.txt"), *ranges, exclude="train-00001.tfrecord")
    folder = remote()
    local = open_split(tmp_path / "data", "train", spec, frame_schema, cache=None)
    away = opened(folder, frame_schema, spec)
    assert away.fingerprint == local.fingerprint and contents(away) == contents(local)
    kept = opened(folder, frame_schema, spec)
    assert kept.fingerprint == local.fingerprint
    for workers in (0, 2):
        pairs = zip(
            iterate_batches(local, 16, shuffle_seed=3, shuffle_group_shards=4),
            iterate_batches(away, 16, shuffle_seed=3, shuffle_group_shards=4, workers=workers),
            strict=True,
        )
        for one, other in pairs:
            assert one.ids == other.ids
            assert all((one.features[k] == other.features[k]).all() for k in one.features)
    index = tmp_path / "index"
    assert check_census([away], index) == check_census([local], index)
    with pytest.raises(
        DataError, match=f"splits 'train' and 'train' share .* records of {folder.url}/"
    ):
        check_disjoint([away, kept])


def write_gzipped(data: Path, clips: list[Clip], schema: Schema) -> None:
    (shard,) = write_shards(data, "x", [encode_clip(clip, schema) for clip in clips])
    (data / "x.tfrecord.gz").write_bytes(gzip.compress(shard.read_bytes()))
    shard.unlink()


def write_arrays(data: Path, clips: list[Clip], schema: Schema) -> None:
    arrays: dict[str, Any] = {
        stream.name: np.stack([clip.features[stream.name] for clip in clips])
        for stream in schema.streams
    }
    arrays["labels"] = np.concatenate([clip.labels for clip in clips])
    arrays["labels_offsets"] = np.cumsum([0, *(len(clip.labels) for clip in clips)])
    arrays[schema.id_keys[0]] = np.array([clip.id for clip in clips])
    np.savez_compressed(data / "x.npz", **arrays)


def write_table(data: Path, clips: list[Clip], schema: Schema) -> None:
    write_parquet(data, table_of(clips, schema))


def write_saved(data: Path, clips: list[Clip], schema: Schema) -> None:
    (data / "x").mkdir()
    table = table_of(clips, schema)
    with pa.ipc.new_stream(data / "x" / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    (data / "x" / "cache.arrow").write_bytes(b"of others")
    (data / "x" / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')


@pytest.mark.parametrize("write", [write_gzipped, write_arrays, write_table, write_saved])
def test_other_formats(
    write: Callable[[Path, list[Clip], Schema], None],
    video_schema: Schema,
    make_clip: MakeClip,
    remote: Remote,
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data, [make_clip(video_schema, n) for n in range(8)], video_schema)
    spec = SplitSpec("x" if (data / "x").exists() else "*")
    local = open_split(data, "train", spec, video_schema, cache=tmp_path / "other")
    folder = remote()
    away = opened(folder, video_schema, spec)
    assert away.fingerprint == local.fingerprint and contents(away) == contents(local)
    # What was decompressed lies beside the copy, and nowhere else.
    assert not list((tmp_path / "index").glob("*.decompressed"))


def test_requests_that_fail_change_nothing(
    make_shards: MakeShards,
    frame_schema: Schema,
    remote: Remote,
    tmp_path: Path,
    object_server: ObjectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "_FIRST_PAUSE", 0.01)
    make_shards(frame_schema, 200, per_shard=2)
    folder = remote()
    object_server.failures = 0.05
    away = opened(folder, frame_schema, SplitSpec())
    local = open_split(tmp_path / "data", "train", SplitSpec(), frame_schema, cache=None)
    assert contents(away) == contents(local)
    assert object_server.failed >= 3


def test_a_shard_that_changes_is_refused(
    make_shards: MakeShards, frame_schema: Schema, remote: Remote, object_server: ObjectServer
) -> None:
    path = make_shards(frame_schema, 20)[0]
    folder = remote()
    split = opened(folder, frame_schema, SplitSpec())
    for copy in folder.copies.glob("*-train*"):
        copy.unlink()
    object_server.put(f"some/where/{path.name}", path.read_bytes()[:-1] + b"x")
    said = f"{folder.url}/{path.name}: changed since it was listed"
    with pytest.raises(ObjectError, match=said):
        contents(split)
    with pytest.raises(ObjectError, match=said):
        list(iterate_batches(split, 10, workers=1))
    with pytest.raises(DataError, match=rf"{path.name}, byte \d+: the checksum"):
        contents(opened(folder, frame_schema, SplitSpec()))
    # Damage on the way, or on this machine's disk, is gone with the copy.
    object_server.put(f"some/where/{path.name}", path.read_bytes())
    assert len(contents(opened(folder, frame_schema, SplitSpec()))) == 20


def test_a_damaged_copy_is_fetched_again(
    make_shards: MakeShards, frame_schema: Schema, remote: Remote
) -> None:
    make_shards(frame_schema, 20)
    folder = remote()
    split = opened(folder, frame_schema, SplitSpec())
    copy = next(folder.copies.glob("*-train-00001*"))
    content = bytearray(copy.read_bytes())
    content[100] ^= 1
    copy.write_bytes(content)
    said = f"^{folder.url}/train-00001.tfrecord, byte 0: the checksum"
    with pytest.raises(DataError, match=said):
        contents(split)
    assert len(contents(split)) == 20


def test_what_cannot_be_read_is_refused_in_a_line(
    make_shards: MakeShards,
    frame_schema: Schema,
    remote: Remote,
    tmp_path: Path,
    object_server: ObjectServer,
) -> None:
    make_shards(frame_schema, 20)
    np.save(tmp_path / "data" / "rgb.npy", np.zeros(3))
    folder = remote()
    for spec, said in (
        (SplitSpec("no*"), f"no file matches 'no\\*' under {folder.url}"),
        (SplitSpec("rgb.npy"), f"{folder.url}/rgb.npy: single arrays"),
        (SplitSpec("@no.txt"), f"list {folder.url}/no.txt: cannot be read"),
    ):
        with pytest.raises(DataError, match=said):
            opened(folder, frame_schema, spec)
    nowhere = RemoteFolder(f"{object_server.url}/nowhere", folder.copies, folder.most)
    with pytest.raises(DataError, match="nowhere: no object lies below it"):
        opened(nowhere, frame_schema, SplitSpec())
    small = RemoteFolder(folder.url, folder.copies, 1000)
    with pytest.raises(DataError, match=r"data.cache: 1.0 kB are too few for s3://.*2 shards are"):
        opened(small, frame_schema, SplitSpec("train*"))
    with folder.file("rgb.npy") as path:
        assert len(np.load(path)) == 3
    with (
        pytest.raises(DataError, match=f"{folder.url}/no.csv: no such"),
        folder.file("no.csv"),
    ):
        pass


def test_parts_of_one_set_are_read_as_one(
    make_shards: MakeShards, frame_schema: Schema, remote: Remote, tmp_path: Path
) -> None:
    make_shards(frame_schema, 30)
    make_shards(frame_schema, 20, prefix="search", first=100)
    folder = remote()
    splits = {"train": SplitSpec("train*"), "search": SplitSpec("search*")}
    both = [
        DataSource(root, frame_schema, splits, tmp_path / index, part=Part(2, 0), remote=where)
        for root, index, where in (
            (tmp_path / "data", "one", None),
            (folder.root, "other", folder),
        )
    ]
    one, other = (contents(source.open("train")) for source in both)
    assert one == other and len(one) > 10
