from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.codec import from_plain, to_plain
from records import DataError, Schema, Stream, load_schema, with_vocabulary
from records.schema import dequantize

BUILT_IN = ["audioset", "demo", "yt8m_frame", "yt8m_video"]


def survived_json(schema: Schema) -> Schema:
    return from_plain(Schema, json.loads(json.dumps(to_plain(schema))), "schema", DataError)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_schemas_survive_json(name: str) -> None:
    schema = load_schema(name)
    assert schema.name == name
    assert survived_json(schema) == schema


def test_every_built_in_schema_is_listed_here() -> None:
    folder = Path(__file__).parents[2] / "conf" / "schema"
    assert sorted(path.stem for path in folder.glob("*.yaml")) == BUILT_IN


def test_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nlevel: frame\nstreams:\n  - {name: optical, size: 7}\nnum_labels: 9\n"
        "id_keys: [key]\nquantized_max: 6\n"
    )
    schema = load_schema(path)
    assert schema.streams == (Stream("optical", 7, "uint8"),)
    assert schema.id_keys == ("key",)
    assert schema.quantized_max == 6.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_label": 3}, "unknown key 'num_label'"),
        ({"num_labels": "3"}, "schema.num_labels: expected int, not '3'"),
        ({"num_labels": True}, "schema.num_labels: expected int, not True"),
        ({"num_labels": 0}, "schema.num_labels: must be at least 1, not 0"),
        ({"level": "scene"}, "schema.level: must be one of frame, video, not 'scene'"),
        ({"streams": []}, "give at least one"),
        ({"streams": "rgb"}, "schema.streams: expected a list, not 'rgb'"),
        ({"streams": [{"name": "rgb"}]}, r"streams\[0\]: key 'size' is missing"),
        (
            {"streams": [{"name": "rgb", "size": 0}]},
            r"schema.streams\[0\].size: must be at least 1, not 0",
        ),
        (
            {"streams": [{"name": "a", "size": 1, "encoding": "int4"}]},
            r"streams\[0\].encoding: must be one of uint8, float32, not 'int4'",
        ),
        ({"streams": [{"name": "a", "size": 1}] * 2}, "each name once"),
        ({"id_keys": [1]}, r"schema.id_keys\[0\]: expected str, not 1"),
        ({"id_keys": []}, r"schema.id_keys: must have a length of at least 1, not \[\]"),
        ({"quantized_min": 2.0}, "quantized_min must be below"),
        ({"streams": [{"name": "", "size": 1}]}, r"streams\[0\].name: must have a length"),
        ({"label_verticals": [[-1]] * 30}, r"label_verticals\[0\]\[0\]: must be at least 0"),
        ({"label_names": ["a"]}, "1 label_names for 30 labels"),
        ({"label_verticals": [[0]] * 30}, "vertical 0 has no name"),
    ],
)
def test_wrong_schema_is_refused(
    frame_schema: Schema, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        from_plain(Schema, to_plain(frame_schema) | change, "schema", DataError)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file, and not one of audioset, demo"):
        load_schema("youtube")
    for content in (b"name: [", b"\xff", b"- 1"):
        path = tmp_path / "bad.yaml"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.yaml") as error:
            load_schema(path)
        assert "\n" not in str(error.value)


MINE = "name: m\nlevel: frame\nstreams: [{name: a, size: 7}]\nnum_labels: 6\n"


def test_verticals_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE + 'verticals: {Sound: ["3-5", 0], Air: ["2", "4-4"]}\n')
    schema = load_schema(path)
    assert schema.vertical_names == ("Sound", "Air")
    assert schema.label_verticals == ((0,), (), (1,), (0,), (0, 1), (0,))
    assert survived_json(schema) == schema
    assert "verticals" not in to_plain(schema)


@pytest.mark.parametrize(
    ("verticals", "message"),
    [
        ("[a]", "verticals: expected names"),
        ("{}", "verticals: expected names"),
        ("{A: 0-3}", "'A' needs a list"),
        ("{1: [0]}", "1 needs a list"),
        ("{A: [0-6]}", "A: '0-6' is no range within 0-5"),
        ("{A: [6]}", "A: 6 is no range within 0-5"),
        ("{A: [3-2]}", "A: '3-2' is no range"),
        ("{A: [-1]}", "A: -1 is no label and no range"),
        ("{A: [1.5]}", "A: 1.5 is no label"),
        ("{A: [true]}", "A: True is no label"),
        ("{A: [0]}\nvertical_names: [A]", "vertical_names and verticals say the same"),
    ],
)
def test_wrong_verticals_are_named(tmp_path: Path, verticals: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"{MINE}verticals: {verticals}\n")
    with pytest.raises(DataError, match=r"bad\.yaml: schema: ") as error:
        load_schema(path)
    assert message in str(error.value)


def test_audioset_s_verticals() -> None:
    schema = load_schema("audioset")
    assert all(len(verticals) == 1 for verticals in schema.label_verticals)
    of_label = [schema.vertical_names[row[0]] for row in schema.label_verticals]
    borders = [i for i in range(527) if i == 0 or of_label[i] != of_label[i - 1]]
    assert [(i, of_label[i]) for i in borders] == [
        (0, "Human sounds"),
        (72, "Animal"),
        (137, "Music"),
        (283, "Natural sounds"),
        (300, "Sounds of things"),
        (466, "Source-ambiguous sounds"),
        (506, "Channel, environment and background"),
    ]


def test_a_vocabulary_without_verticals_keeps_the_schema_s(
    tmp_path: Path, frame_schema: Schema
) -> None:
    own = dataclasses.replace(
        frame_schema, num_labels=2, label_verticals=((0,), ()), vertical_names=("Sound",)
    )
    path = tmp_path / "labels.csv"
    path.write_text("label_id,label_name\n1,Dog\n0,Cat\n")
    named = with_vocabulary(own, path)
    assert named == dataclasses.replace(own, label_names=("Cat", "Dog"))
    path.write_text("Index,Name,Vertical1\n1,Dog,Pets\n0,Cat,\n")
    assert with_vocabulary(own, path).vertical_names == ("Pets",)
    assert with_vocabulary(own, path).label_verticals == ((), (0,))


def test_youtube_vocabulary(tmp_path: Path, frame_schema: Schema) -> None:
    path = tmp_path / "vocabulary.csv"
    path.write_text(
        "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,Text\n"
        '2,9,/m/2,Car,,Autos,Games,,"two\nlines"\n'
        "0,8,/m/0,Game,,Games,,,x\n"
        "1,7,/m/1,,,,,,x\n"
    )
    schema = with_vocabulary(dataclasses.replace(frame_schema, num_labels=3), path)
    assert schema.label_names == ("Game", "/m/1", "Car")
    assert schema.vertical_names == ("Autos", "Games")
    assert schema.label_verticals == ((1,), (), (0, 1))
    assert survived_json(schema) == schema


@pytest.mark.parametrize(
    "text",
    [
        'index,mid,display_name\n0,/m/a,"Speech, male"\n1,/m/b,Dog\n',
        'label_id,label_name\n1,Dog\n0,"Speech, male"\n',
    ],
)
def test_other_vocabularies(tmp_path: Path, frame_schema: Schema, text: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    schema = with_vocabulary(dataclasses.replace(frame_schema, num_labels=2), path)
    assert schema.label_names == ("Speech, male", "Dog")
    assert schema.label_verticals == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number,name\n0,a\n", "no column Index or index or label_id; found number, name"),
        ("", "no column Index"),
        ("index,display_name\n0,a\n0,b\n", "line 3: label 0 is there twice"),
        ("index,display_name\n0,a\n2,b\n", "line 3: label 2 is out of range"),
        ("index,display_name\n0,a\n-1,b\n", "line 3: label index '-1' is not a number"),
        ("index,display_name\n1,a\n", "label 0 of schema 'frames' has no row"),
        ("index,display_name\n0\n", "line 2: the row is too short"),
    ],
)
def test_wrong_vocabularies(tmp_path: Path, frame_schema: Schema, text: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        with_vocabulary(dataclasses.replace(frame_schema, num_labels=2), path)


def test_missing_vocabulary(frame_schema: Schema) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        with_vocabulary(frame_schema, "nowhere.csv")


def test_dequantization_is_the_published_formula() -> None:
    values = np.arange(256, dtype=np.uint8)
    expected = values.astype(np.float64) * 4 / 255 + 4 / 512 - 2
    result = dequantize(torch.from_numpy(values)).numpy()
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=3e-7)
    twice = values.astype(np.float64) * 8 / 255 + 8 / 512
    np.testing.assert_allclose(dequantize(torch.from_numpy(values), 0.0, 8.0), twice, atol=1e-6)
