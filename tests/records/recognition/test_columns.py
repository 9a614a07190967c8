"""What columns hold, which is the id and which the labels: told, or asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from records import DataError
from records.recognition.columns import Column, describe, label_values
from records.recognition.config import ColumnsConfig
from records.recognition.roles import Roles, find_roles

BYTES = pa.list_(pa.uint8())


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array(["a", "b", "a"]), ("text", 0, False)),
        (pa.array(["a", "b"]).dictionary_encode(), ("text", 0, True)),
        (pa.array([b"a", b"b"]), ("text", 0, True)),
        (pa.array([3, 4]), ("number", 0, True)),
        (pa.array([["a"], [], None]), ("texts", 0, False)),
        (pa.array([[b"dog", b"cat"], [b"owl"]]), ("texts", 0, False)),
        (pa.array([[3], [4, 5]]), ("numbers", 0, False)),
        # As many labels each, and no vector: a vector is longer.
        (pa.array([[3, 9], [4, 5]]), ("numbers", 0, False)),
        (pa.array([[0, 1, 0], [1, 0, 0]]), ("multi_hot", 3, False)),
        (pa.array([[0.0, 1.0], [1.0, 1.0]]), ("multi_hot", 2, False)),
        (pa.array([[True, False]]), ("multi_hot", 2, False)),
        (pa.array([[0.5, 1.0], [1.0, 1.0]]), ("vector", 2, False)),
        (pa.array([[0.5, 1.0], [1.0, 1.0]], pa.list_(pa.float16(), 2)), ("vector", 2, False)),
        (pa.array([[0, 255], [7, 9]], BYTES), ("vector", 2, False)),
        (pa.array([list(range(16))] * 2), ("vector", 16, False)),
        (pa.array([bytes(range(200, 240))] * 2), ("vector", 40, False)),
        (pa.array([[[0.5, 1.0]], [[1.0, 1.0]] * 3]), ("frames", 2, False)),
        (pa.array([[[5, 1]], [[255, 1]] * 3]), ("frames", 2, False)),
        (pa.array([[b"\x80\xff"], [b"\x81\xfe"] * 3]), ("frames", 2, False)),
        (pa.array([[0.5], [1.0, 1.0]]), ("other", 0, False)),
        (pa.array([[[0.5]], [[1.0, 1.0]]]), ("other", 0, False)),
        (pa.array([[[300, 1]], [[1, 1]]]), ("other", 2, False)),
        (pa.array([0.5, 1.0]), ("other", 0, False)),
        (pa.array([None, None]), ("other", 0, False)),
        (pa.array([[], []], pa.list_(pa.int64())), ("numbers", 0, False)),
        (pa.array([[], []]), ("other", 0, False)),
    ],
)
def test_a_column_is_told_by_its_values(values: pa.Array, wanted: tuple[str, int, bool]) -> None:
    found = describe("it", pa.chunked_array([values]))
    size = found.size if found.kind != "other" else wanted[1]
    assert (found.kind, size, found.distinct) == wanted


def test_whole_numbers_of_one_length_are_labels_where_they_are_called_so() -> None:
    values = pa.array([list(range(20))] * 2)
    assert [describe(name, values).kind for name in ("x", "Labels")] == ["vector", "numbers"]


def test_bytes_are_told_from_floats() -> None:
    assert describe("it", pa.array([[0, 255]], BYTES)).encoding == "uint8"
    assert describe("it", pa.array([[[0, 255]]])).encoding == "uint8"
    assert describe("it", pa.array([[[0.0, 255.0]]])).encoding == "float32"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([["b", "a"], None, ["a"]]), ["b", "a", "a"]),
        (pa.array([[b"b", b"a"]]), ["b", "a"]),
        (pa.array(["b", None]), ["b"]),
        (pa.array([[3], [4, 5]]).slice(1), [4, 5]),
        (pa.array([[0, 1], [1, 1]]), [0, 1, 1, 1]),
    ],
)
def test_all_labels_of_some_rows(values: pa.Array, wanted: list[Any]) -> None:
    assert label_values(values).tolist() == wanted


TABLE = {
    "id": pa.array(["a", "b"]),
    "tags": pa.array([["x"], ["x", "y"]]),
    "rgb": pa.array([[0.5, 1.0], [1.0, 1.0]]),
    "seconds": pa.array([0.5, 1.5]),
}


def roles(given: ColumnsConfig | None = None, **changes: pa.Array | None) -> Roles:
    columns = {name: values for name, values in (TABLE | changes).items() if values is not None}
    described = [describe(name, values) for name, values in columns.items()]
    return find_roles(described, given or ColumnsConfig())


def test_columns_have_their_roles() -> None:
    found = roles()
    assert (found.id.name, found.labels.name, found.level) == ("id", "tags", "video")
    assert [column.name for column in found.streams] == ["rgb"]
    assert [column.name for column in found.others] == ["seconds"]


def test_a_name_says_more_than_values_that_differ() -> None:
    assert roles(url=pa.array(["c", "d"])).id.name == "id"
    assert roles(id=None, number=pa.array([3, 4]), url=pa.array(["c", "d"])).id.name == "url"
    assert roles(id=pa.array([3, 4])).id.name == "id"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": pa.array([[3], [4, 5]])}, "columns.labels: tags, labels may each be the lab"),
        ({"Category": pa.array(["p", "p"])}, "columns.labels: tags, Category may each be"),
        ({"tags": None}, "columns.labels: no column looks like the labels; there are id (str"),
        ({"id": None}, "columns.id: no column looks like the ids, each once; there are tags"),
        ({"id": pa.array(["a", "a"])}, "columns.id: no column looks like the ids"),
        ({"id": None, "u": pa.array(["c", "d"]), "v": pa.array(["c", "d"])}, "columns.id: u, v"),
        ({"rgb": None}, "no column has vectors of numbers"),
        ({"f": pa.array([[[0.5]], [[1.0]]])}, "columns.streams: rgb have a vector a clip, f on"),
    ],
)
def test_what_is_in_doubt_is_asked_for(changes: dict[str, pa.Array | None], said: str) -> None:
    with pytest.raises(DataError) as refused:
        roles(**changes)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_the_answer_decides() -> None:
    two = {"labels": pa.array([[3], [4, 5]]), "frames": pa.array([[[0.5]], [[1.0]]])}
    given = ColumnsConfig("id", "labels", ("frames",))
    found = roles(given, **two)
    assert (found.labels.name, found.level) == ("labels", "frame")
    assert {column.name for column in found.others} == {"tags", "rgb", "seconds"}
    for wrong, said in (
        (ColumnsConfig(id="rgb"), "columns.id: column 'rgb' is 'list<"),
        (ColumnsConfig(labels="rgb"), "columns.labels: column 'rgb' is 'list<"),
        (ColumnsConfig(streams=("tags",)), "columns.streams: column 'tags' is 'list<"),
        (ColumnsConfig(labels="no"), "columns.labels: no column 'no'; there are id"),
    ):
        with pytest.raises(DataError, match=said):
            roles(wrong)


def test_names_are_hostile() -> None:
    with pytest.raises(DataError) as refused:
        roles(tags=None, **{"a\x1b[2Jb": pa.array(np.zeros(2))})
    assert "\x1b" not in str(refused.value)
    assert isinstance(roles().id, Column)
