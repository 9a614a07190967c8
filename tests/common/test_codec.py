"""The codec: what it takes, and what comes back."""

from __future__ import annotations

import enum
import json
import math
import pickle
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import (
    check,
    from_plain,
    parse_json,
    read_yaml,
    replaced,
    to_plain,
)
from common.errors import UserError
from tests.common.nets import NET_KEYS, Head, Net, OwnError


def test_lists_become_tuples_and_integers_floats() -> None:
    values = {"hidden": [3, 4], "dropout": 0, "rows": [[1], []], "folder": "a/b", "spare": None}
    net = from_plain(Net, values, "net")
    assert net == Net(hidden=(3, 4), dropout=0.0, rows=((1,), ()), folder=Path("a/b"))
    assert isinstance(net.dropout, float)
    assert isinstance(net.folder, Path)


def test_instances_and_tuples_are_taken_as_their_plain_form() -> None:
    values = types.MappingProxyType({"head": Head(experts=4), "hidden": (3,), "folder": Path("a")})
    assert from_plain(Net, values, "net") == Net(
        head=Head(experts=4), hidden=(3,), folder=Path("a")
    )


@pytest.mark.parametrize(("given", "text"), [("a", "a"), (2024, "2024"), (0.5, "0.5")])
def test_a_text_may_be_given_as_a_number(given: Any, text: str) -> None:
    assert from_plain(Net, {"run": given}, "net").run == text


def test_a_choice_among_types_keeps_the_type() -> None:
    assert from_plain(Net, {"ids": "5"}, "net").ids == "5"
    assert from_plain(Net, {"ids": 5}, "net").ids == 5
    assert from_plain(Net, {"own": {"experts": 3}}, "net").own == Head(experts=3)


def test_a_frozen_class_stays_as_it_was() -> None:
    before = dict(vars(Head))
    head = from_plain(Head, {"experts": 3}, "head")
    assert dict(vars(Head)) == before
    assert pickle.loads(pickle.dumps(head)) == head == Head(experts=3)
    assert hash(head) == hash(Head(experts=3))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**1000), 2**1000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)
HEADS = st.builds(
    Head,
    kind=st.just("mixture"),
    experts=st.integers(1, 2**70),
    prior=st.floats(0, 1, exclude_min=True),
)
NETS = st.builds(
    Net,
    clusters=st.integers(1),
    dropout=st.floats(0, 1, exclude_max=True),
    hidden=st.lists(st.integers(1)).map(tuple),
    heads=st.lists(HEADS, max_size=2).map(tuple),
    spare=st.none() | HEADS,
    ids=st.integers() | st.text(st.characters(codec="utf-8")),
    extra=st.dictionaries(st.text(st.characters(codec="utf-8")), PLAIN, max_size=3),
    by_name=st.dictionaries(st.text(st.characters(codec="utf-8")), HEADS, max_size=2),
)


@given(NETS)
def test_what_is_written_reads_back(net: Net) -> None:
    text = json.dumps(to_plain(net, "net"), allow_nan=False)
    assert from_plain(Net, parse_json(text, "text"), "net") == net
    assert replaced(net, {}, "net") == net
    check(net, "net")


@given(PLAIN)
def test_plain_data_stays_as_it_is(value: Any) -> None:
    assert to_plain(value) == value


@given(st.dictionaries(st.sampled_from(NET_KEYS.split(", ")), PLAIN, max_size=3))
def test_any_data_is_taken_or_refused_in_one_line(values: dict[str, Any]) -> None:
    try:
        from_plain(Net, values, "net", OwnError)
    except OwnError as refused:
        assert str(refused).startswith("net") and str(refused).isprintable()


class Colour(enum.Enum):
    RED = "red"


def test_numpy_enums_and_paths_become_plain() -> None:
    value = {"a": np.float32(0.5), "b": (np.int64(3), np.bool_(True)), "c": Colour.RED}
    assert to_plain(value | {"d": Path("x/y"), "e": np.float64(1)}) == {
        "a": 0.5,
        "b": [3, True],
        "c": "red",
        "d": "x/y",
        "e": 1.0,
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, math.nan]}, "inputs.a[1]: nan is not finite"),
        (np.float32(math.inf), "inputs: inf is not finite"),
        (Head(prior=math.nan), "inputs.prior: nan"),
        ({"a": {1: 2}}, "inputs.a: the key 1 is no string"),
        (np.zeros(3), "inputs: a ndarray cannot be written as JSON"),
        (Head, "inputs: a type cannot be"),
    ],
)
def test_what_json_does_not_know_is_refused(value: Any, message: str) -> None:
    with pytest.raises(OwnError) as caught:
        to_plain(value, "inputs", OwnError)
    assert str(caught.value).startswith(message)


def test_an_instance_is_held_against_its_bounds() -> None:
    check(Net(), "net")
    with pytest.raises(OwnError, match=r"^net\.head\.experts: must be at least 1, not 0$"):
        check(Net(head=Head(experts=0)), "net", OwnError)
    with pytest.raises(UserError, match=r"^net\.hidden\[0\]: expected int, not 'x'$"):
        check(Net(hidden=("x",)), "net")  # type: ignore[arg-type]


def test_changes_are_laid_over_a_base() -> None:
    base = Net(clusters=3, head=Head(experts=5), extra={"a": 1})
    changed = replaced(base, {"head": {"prior": 0.5}, "extra": {"b": 2}, "dropout": 0}, "net")
    assert changed == Net(clusters=3, head=Head(experts=5, prior=0.5), extra={"b": 2})
    assert base.head.prior == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": "x"}, "members.a.train.dropout: expected float, not 'x'"),
        (
            {"head": {"exprts": 3}},
            "members.a.train.head: unknown key 'exprts'; known are kind, exp",
        ),
        ({"clusterz": 3}, "members.a.train: unknown key 'clusterz'; known are clusters, "),
        ({3: 3}, "members.a.train: the key 3 is no string"),
        ([1], "members.a.train: expected a mapping, not [1]"),
    ],
)
def test_wrong_changes_are_named(changes: Any, message: str) -> None:
    with pytest.raises(OwnError) as caught:
        replaced(Net(), changes, "members.a.train", OwnError)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "a key stands twice"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "1e999 is no number"),
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        (b"\xff\xfe\xff", "'utf-16-le' codec"),
        ("9" * 5000, "Exceeds the limit"),
        ("[" * 10**6, "maximum recursion depth"),
    ],
)
def test_json_is_read_strictly(text: str | bytes, reason: str) -> None:
    with pytest.raises(OwnError) as caught:
        parse_json(text, "header", OwnError)
    assert str(caught.value).startswith(f"header: not JSON: {reason}")
    assert str(caught.value).isprintable()


def test_json_is_read() -> None:
    assert parse_json(b'{"a": [1, 1.5, null]}', "header") == {"a": [1, 1.5, None]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: [1", "not YAML: while parsing"),
        (b"\xff", "not UTF-8: "),
        (b"a: \x00", "not YAML: "),
        (b"a: 2024-13-45", "not YAML: month must be in"),
        (b"a: !!bool maybe", "not YAML: "),
        (b"a: !!python/object:os.system {}", "not YAML: could not determine a constructor"),
        (b"[" * 5000, "not YAML: maximum recursion"),
        (b"9" * 5000, "not YAML: Exceeds the limit"),
    ],
)
def test_wrong_yaml_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(OwnError) as caught:
        read_yaml(path, OwnError)
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert str(caught.value).isprintable()


def test_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("clusters: 3\nhidden: [1, 2]\n", encoding="utf-8")
    assert from_plain(Net, read_yaml(path), "net") == Net(clusters=3, hidden=(1, 2))


def test_a_yaml_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
