"""Every format of the project, looked at without a schema: the same clips are the same."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from records import (
    Clip,
    DataError,
    Schema,
    SplitSpec,
    encode_clip,
    open_split,
    write_shards,
)
from records.recognition.columns import describe, label_values
from records.recognition.config import ColumnsConfig
from records.recognition.dataset import recognise
from records.recognition.files import find_files
from records.recognition.labels import find_labels
from records.recognition.roles import find_roles
from records.recognition.sources import SOURCES
from tests.conftest import SMALL_FRAMES, SMALL_MEANS, make_clips
from tests.records.tables import table_of, write_parquet

CLIPS = 70  # more than are looked at
FORMATS = ("parquet", "arrow", "tfrecord", "gzip", "npz", "compressed", "npy")


def arrays_of(clips: Sequence[Clip], schema: Schema) -> dict[str, np.ndarray]:
    """Arrays with offsets, as `Ragged` takes them."""
    lists = {"labels": [clip.labels for clip in clips]}
    arrays = {"id": np.array([clip.id for clip in clips])}
    for stream in schema.streams:
        values = [clip.features[stream.name] for clip in clips]
        if schema.level == "video":
            arrays[stream.name] = np.stack(values)
        else:
            lists[stream.name] = values
    for name, rows in lists.items():
        arrays[name] = np.concatenate(rows)
        arrays[f"{name}_offsets"] = np.cumsum([0, *map(len, rows)])
    return arrays


def write(root: Path, kind: str, clips: Sequence[Clip], schema: Schema) -> None:
    """The clips in files of a format."""
    if kind == "parquet":
        write_parquet(root, table_of(clips, schema), 100)
    elif kind == "arrow":
        table = table_of(clips, schema)
        with pa.ipc.new_stream(root / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table, 30)
    elif kind in ("tfrecord", "gzip"):
        write_shards(root, "all", [encode_clip(clip, schema) for clip in clips], 100)
        if kind == "gzip":
            (path,) = root.glob("*.tfrecord")
            (root / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    elif kind == "npy":
        for name, array in arrays_of(clips, schema).items():
            np.save(root / f"{name}.npy", array)
    else:
        save = np.savez if kind == "npz" else np.savez_compressed
        save(root / "all.npz", **arrays_of(clips, schema))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("schema", [SMALL_MEANS, SMALL_FRAMES], ids=["means", "frames"])
def test_formats_hold_the_same(kind: str, schema: Schema, tmp_path: Path) -> None:
    clips = make_clips(schema, CLIPS, 0)
    write(tmp_path, kind, clips, schema)
    format, files = find_files(tmp_path, "auto")
    assert len(files) == 1
    source = SOURCES[format]
    assert source.count(files[0]) == CLIPS
    head = source.head(files[0])
    assert 0 < len(head) <= CLIPS
    columns = [describe(name, head.column(name)) for name in head.column_names]
    roles = find_roles(columns, ColumnsConfig())
    assert (roles.id.name, roles.labels.name, roles.level) == ("id", "labels", schema.level)
    assert {(c.name, c.size, c.encoding) for c in roles.streams} == {
        (s.name, s.size, s.encoding) for s in schema.streams
    }
    labels = find_labels(source, files, roles.labels)
    everything = np.concatenate([clip.labels for clip in clips])
    assert (labels.encoding, labels.count) == ("indices", everything.max() + 1)
    assert labels.total == len(everything)
    found = np.concatenate([label_values(v) for v in source.column(files[0], "labels")])
    assert found.tolist() == everything.tolist()
    assert not any(len(label_values(v)) for v in source.column(files[0], "no such"))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("schema", [SMALL_MEANS, SMALL_FRAMES], ids=["means", "frames"])
def test_what_is_recognised_is_read(kind: str, schema: Schema, tmp_path: Path) -> None:
    """By the schema and the pattern that came of it, and by the format that reads it anyway."""
    clips = make_clips(schema, 12, 0)
    write(tmp_path, kind, clips, schema)
    found = recognise(tmp_path, "it", "auto", ColumnsConfig())
    whole = SplitSpec(found.splits["train"].shards)
    split = open_split(tmp_path, "train", whole, found.schema, cache=None)
    read = list(split.clips())
    assert [clip.id for clip in read] == [clip.id for clip in clips]
    for one, other in zip(read, clips, strict=True):
        assert one.labels.tolist() == other.labels.tolist()
        for name, values in other.features.items():
            assert np.array_equal(one.features[name], values)


def test_what_a_saved_data_set_keeps_beside_its_rows_is_none(tmp_path: Path) -> None:
    write(tmp_path, "arrow", make_clips(SMALL_MEANS, 5, 0), SMALL_MEANS)
    (tmp_path / "cache-1.arrow").write_bytes(b"")
    saved = '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}'
    (tmp_path / "state.json").write_text(saved)
    assert [path.name for path in find_files(tmp_path, "auto")[1]] == ["data-00000-of-00001.arrow"]


@pytest.mark.parametrize(
    "feature",
    [
        {"names": ["dog", "cat", "owl"], "_type": "ClassLabel"},
        {"feature": {"names": ["dog", "cat", "owl"], "_type": "ClassLabel"}, "_type": "List"},
        [{"names": ["dog", "cat", "owl"], "_type": "ClassLabel"}],
    ],
)
def test_names_that_a_saved_data_set_has_are_the_labels(feature: object, tmp_path: Path) -> None:
    about = {"info": {"features": {"labels": feature}}}
    columns = {"id": [*"abc"], "labels": [[0], [1], [1]], "x": [[0.5, 1.5]] * 3}
    for metadata, count, names in (
        (json.dumps(about), 3, ("dog", "cat", "owl")),
        ('{"info": []}', 2, ()),
        ("no JSON", 2, ()),
    ):
        table = pa.table(columns).replace_schema_metadata({"huggingface": metadata})
        with pa.ipc.new_stream(tmp_path / "data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
        schema = recognise(tmp_path, "it", "auto", ColumnsConfig()).schema
        assert (schema.num_labels, schema.label_names) == (count, names)
        assert schema.label_encoding == "indices"


@pytest.mark.parametrize("kind", ["a.parquet", "a.arrow", "a.npz", "a.tfrecord", "a.tfrecord.gz"])
def test_damaged_files_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    path.write_bytes(b"\x1f\x8bno such thing" if kind.endswith("gz") else b"no such thing" * 9)
    format, files = find_files(tmp_path, "auto")
    with pytest.raises(DataError, match=str(path)) as refused:
        SOURCES[format].head(files[0])
    assert "\n" not in str(refused.value)


def test_what_is_no_data_is_called_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,x\n")
    with pytest.raises(DataError, match=r"table\.csv: is a table of text, and no shard"):
        find_files(tmp_path, "auto")
