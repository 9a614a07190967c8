"""The published data sets, where ``ONEGIG_DATA`` names the folder that holds them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from records import (
    SplitSpec,
    check_disjoint,
    iterate_batches,
    load_schema,
    open_split,
    read_truth,
    with_vocabulary,
)
from records.tfrecord import wire
from records.tfrecord.example import parse_clip, parse_with_protobuf
from tests.conftest import read_records

ROOT = Path(os.environ.get("ONEGIG_DATA", "unset"))

pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="ONEGIG_DATA is not set")

SETS = [
    ("yt8m_video", "*.tfrecord", "vocabulary.csv", 28792),
    ("audioset", "**/*.tfrecord", "class_labels_indices.csv", 22160),
]


@pytest.mark.parametrize(("name", "pattern", "vocabulary", "clips"), SETS)
def test_whole_set(name: str, pattern: str, vocabulary: str, clips: int, tmp_path: Path) -> None:
    schema = with_vocabulary(load_schema(name), ROOT / name / vocabulary)
    assert all(schema.label_names)
    bounds = [(0.0, 0.1), (0.1, 0.2), (0.2, 1.0)]
    splits = [
        open_split(ROOT / name, str(start), SplitSpec(pattern, start, end), schema, cache=tmp_path)
        for start, end in bounds
    ]
    check_disjoint(splits)
    assert sum(map(len, splits)) == clips
    truth = read_truth(splits[0])
    batches = list(iterate_batches(splits[0], 256))
    assert [clip_id for batch in batches for clip_id in batch.ids] == truth.ids.tolist()
    assert sum(len(batch.labels) for batch in batches) == len(truth.columns)


@pytest.mark.parametrize(("name", "pattern", "vocabulary", "clips"), SETS)
def test_paths_agree(name: str, pattern: str, vocabulary: str, clips: int) -> None:
    schema = load_schema(name)
    for path in sorted((ROOT / name).glob(pattern))[:3]:
        for record in read_records(path):
            fast = wire.walk(record, schema)
            general = parse_with_protobuf(record, schema)
            assert (fast.id, fast.labels) == (general.id, general.labels)
            for stream, values in parse_clip(record, schema).features.items():
                np.testing.assert_array_equal(values, general.features[stream])


def test_vocabulary_of_youtube() -> None:
    schema = with_vocabulary(load_schema("yt8m_video"), ROOT / "yt8m_video" / "vocabulary.csv")
    assert schema.label_names[:2] == ("Game", "Video game")
    assert len(schema.vertical_names) == 25
    assert sum(name.startswith("/m/") for name in schema.label_names) == 56
    small = ROOT / "yt8m_video" / "label_names_2018.csv"
    assert len(with_vocabulary(schema, small).label_names) == 3862


def test_vocabulary_of_audioset() -> None:
    table = ROOT / "audioset" / "class_labels_indices.csv"
    schema = with_vocabulary(load_schema("audioset"), table)
    first: dict[str, str] = {}
    for name, verticals in zip(schema.label_names, schema.label_verticals, strict=True):
        first.setdefault(schema.vertical_names[verticals[0]], name)
    assert first == {
        "Human sounds": "Speech",
        "Animal": "Animal",
        "Music": "Music",
        "Natural sounds": "Wind",
        "Sounds of things": "Vehicle",
        "Source-ambiguous sounds": "Bang",
        "Channel, environment and background": "Inside, small room",
    }
