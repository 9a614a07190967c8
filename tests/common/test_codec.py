"""The codec: what it takes, and in which words it refuses."""

from __future__ import annotations

import enum
import json
import math
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, MinLen
from hypothesis import given
from hypothesis import strategies as st

from common.codec import (
    Positive,
    Share,
    Text,
    check,
    from_plain,
    parse_json,
    read_yaml,
    replaced,
    to_plain,
)
from common.errors import UserError


class OwnError(ValueError):
    """That of a room."""


@dataclass(frozen=True)
class Head:
    kind: Literal["logistic", "mixture"] = "mixture"
    experts: Positive = 2
    prior: Annotated[float, Gt(0), Le(1)] = 1.0

    def __post_init__(self) -> None:
        if self.kind == "logistic" and self.experts != 1:
            raise OwnError("logistic has 1 expert")


@dataclass(frozen=True)
class Base:
    clusters: Positive = 8
    dropout: Share = 0.0


@dataclass(frozen=True)
class Net(Base):
    sampling: ClassVar[str] = "draw"
    hidden: tuple[Positive, ...] = (4,)
    gating: bool = False
    head: Head = field(default_factory=Head)
    heads: tuple[Head, ...] = ()
    frames: Positive | None = None
    spare: Head | None = None
    precision: Literal["low", "high"] | None = None
    ids: int | str = 0
    own: Annotated[int, Ge(1)] | Head | tuple[int, ...] = 1
    rows: tuple[tuple[int, ...], ...] = ()
    levels: Mapping[Literal["a", "b"], int | Literal["auto"]] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    extra: dict[str, Any] = field(default_factory=dict)
    by_name: Mapping[str, Head] = field(default_factory=dict)
    folder: Path = Path("here")
    run: Text = "default"
    title: Annotated[str, MinLen(1)] = "net"


@dataclass(frozen=True)
class Stream:
    name: str
    size: Positive


@dataclass(frozen=True)
class Schema:
    name: str
    level: Literal["frame", "video"]
    streams: tuple[Stream, ...]

    def __post_init__(self) -> None:
        if len({stream.name for stream in self.streams}) != len(self.streams):
            raise OwnError(f"schema {self.name!r}: two streams of a name")


NET_KEYS = (
    "clusters, dropout, hidden, gating, head, heads, frames, spare, precision, ids, own, rows, "
    "levels, pair, extra, by_name, folder, run, title"
)
LONG = "x" * 2**20
DEEP: Any = 1
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"clusterz": 8},
            f": unknown key 'clusterz'; known are {NET_KEYS}; did you mean 'clusters'?",
        ),
        ({"Q": 8}, f": unknown key 'Q'; known are {NET_KEYS}"),
        ({"sampling": "x"}, f": unknown key 'sampling'; known are {NET_KEYS}"),
        ({"clusters": "many", "z": 1}, f": unknown key 'z'; known are {NET_KEYS}"),
        ({"head": {"a": 1}}, ".head: unknown key 'a'; known are kind, experts, prior"),
        (
            {"by_name": {"b": {"a": 1}}},
            ".by_name.b: unknown key 'a'; known are kind, experts, prior",
        ),
        ({"clusters": "many"}, ".clusters: expected int, not 'many'"),
        ({"clusters": True}, ".clusters: expected int, not True"),
        ({"clusters": 8.0}, ".clusters: expected int, not 8.0"),
        ({"clusters": None}, ".clusters: expected int, not None"),
        ({"clusters": 0}, ".clusters: must be at least 1, not 0"),
        ({"dropout": 1}, ".dropout: must be below 1, not 1"),
        ({"dropout": -0.5}, ".dropout: must be at least 0, not -0.5"),
        ({"dropout": "0.5"}, ".dropout: expected float, not '0.5'"),
        ({"dropout": True}, ".dropout: expected float, not True"),
        ({"dropout": math.nan}, ".dropout: nan is not finite; use a finite number or null"),
        (
            {"extra": {"a": [math.inf]}},
            ".extra.a[0]: inf is not finite; use a finite number or null",
        ),
        ({"gating": 1}, ".gating: expected bool, not 1"),
        ({"hidden": 8}, ".hidden: expected a list, not 8"),
        ({"hidden": "ab"}, ".hidden: expected a list, not 'ab'"),
        ({"hidden": [8, "x", "y"]}, ".hidden[1]: expected int, not 'x'"),
        ({"hidden": [8, 0]}, ".hidden[1]: must be at least 1, not 0"),
        ({"rows": [[1], [2, None]]}, ".rows[1][1]: expected int, not None"),
        ({"pair": [1]}, ".pair: expected a list of 2 values, not [1]"),
        ({"pair": [1, "a", 2]}, ".pair: must have a length of at most 2, not [1, 'a', 2]"),
        ({"pair": [1, 2]}, ".pair[1]: expected str, not 2"),
        ({"title": ""}, ".title: must have a length of at least 1, not ''"),
        ({"head": 3}, ".head: expected a mapping, not 3"),
        ({"head": [3]}, ".head: expected a mapping, not [3]"),
        ({"head": {"kind": "soft"}}, ".head.kind: must be one of logistic, mixture, not 'soft'"),
        ({"head": {"prior": 0}}, ".head.prior: must be above 0, not 0"),
        ({"head": {"prior": 1.5}}, ".head.prior: must be at most 1, not 1.5"),
        ({"head": {"kind": "logistic"}}, ".head: logistic has 1 expert"),
        ({"heads": [{}, {"experts": 0}]}, ".heads[1].experts: must be at least 1, not 0"),
        ({"heads": [{}, {"kind": "logistic"}]}, ".heads[1]: logistic has 1 expert"),
        ({"by_name": [1]}, ".by_name: expected a mapping, not [1]"),
        ({"by_name": {"a.b": {"prior": "x"}}}, ".by_name.a.b.prior: expected float, not 'x'"),
        ({"by_name": {"a b": 1}}, ".by_name['a b']: expected a mapping, not 1"),
        ({"frames": "x"}, ".frames: expected int or None, not 'x'"),
        ({"frames": 0}, ".frames: must be at least 1, not 0"),
        ({"spare": 1}, ".spare: expected a mapping or None, not 1"),
        ({"spare": {"a": 1}}, ".spare: unknown key 'a'; known are kind, experts, prior"),
        ({"precision": 1}, ".precision: must be one of low, high or None, not 1"),
        ({"ids": 1.5}, ".ids: expected int or str, not 1.5"),
        ({"own": "x"}, ".own: expected int or a mapping or a list, not 'x'"),
        ({"own": 0}, ".own: must be at least 1, not 0"),
        ({"own": {"experts": 0}}, ".own.experts: must be at least 1, not 0"),
        ({"own": [1, "x"]}, ".own[1]: expected int, not 'x'"),
        ({"own": {"kind": "logistic"}}, ".own: logistic has 1 expert"),
        ({"own": {"a": 1}}, ".own: unknown key 'a'; known are kind, experts, prior"),
        ({"levels": {"c": 1}}, ".levels.c: must be one of a, b, not 'c'"),
        ({"levels": {"[key]": 1}}, ".levels.[key]: must be one of a, b, not '[key]'"),
        ({"by_name": {"[key]": 1}}, ".by_name.[key]: expected a mapping, not 1"),
        ({"levels": {"a": "x"}}, ".levels.a: expected int or one of auto, not 'x'"),
        ({"folder": 3}, ".folder: expected a path, not 3"),
        ({"run": True}, ".run: expected str, not True"),
        ({"extra": {1: 2}}, ".extra: the key 1 is no string"),
        ({"extra": {"a": {3}}}, ".extra.a: a set cannot be written as JSON"),
        (3, ": expected a mapping, not 3"),
        (None, ": expected a mapping, not None"),
        # What an enemy writes.
        ({"a\n\x1b[31m": 1}, f": unknown key 'a\\n\\x1b[31m'; known are {NET_KEYS}"),
        ({"by_name": {"a\n": 1}}, ".by_name['a\\n']: expected a mapping, not 1"),
        ({"by_name": {"": 1}}, ".by_name['']: expected a mapping, not 1"),
        ({"clusters": "\r\x00\u202e"}, ".clusters: expected int, not '\\r\\x00\\u202e'"),
        ({"clusters": LONG}, f".clusters: expected int, not '{'x' * 198}…"),
        ({"clusters": [1] * 10**5}, f".clusters: expected int, not [{'1, ' * 66}…"),
        ({LONG: 1}, f": unknown key '{'x' * 198}…; known are {NET_KEYS}"),
        ({"by_name": {LONG: 1}}, f".by_name['{'x' * 198}…]: expected a mapping, not 1"),
        ({"extra": {"a": DEEP}}, f".extra.a{'[0]' * 98}: nested more than 100 deep"),
        ({"clusters": -(2**63)}, f".clusters: must be at least 1, not {-(2**63)}"),
        ({"clusters": 2**5000}, ".clusters: an integer of 5001 bits is beyond every float"),
        ({2**20000: 1}, ": the key a long int is no string"),
        ({"title": "a\ud800"}, ".title: 'a\\ud800' is no valid Unicode"),
        ({"\udfff": 1}, ": '\\udfff' is no valid Unicode"),
    ],
)
def test_mistakes_are_named(values: Any, message: str) -> None:
    with pytest.raises(OwnError) as caught:
        from_plain(Net, values, "net", OwnError)
    assert str(caught.value) == f"net{message}"
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "streams": []}, "schema: key 'level' is missing"),
        ({"name": "a", "levl": "frame"}, "schema: unknown key 'levl'; known are name, level, stre"),
        ({"name": "a", "level": "frame", "streams": [{"name": "x"}]}, "schema.streams[0]: key 'si"),
        (
            {"name": "a", "level": "frame", "streams": [{"name": "x", "size": 1}] * 2},
            "schema 'a': two streams of a name",
        ),
    ],
)
def test_fields_without_default(values: Any, message: str) -> None:
    with pytest.raises(OwnError) as caught:
        from_plain(Schema, values, "schema", OwnError)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("place", "values", "message"),
    [
        ("", {"head": {"prior": 0}}, "head.prior: must be above 0, not 0"),
        ("", {"a": 1}, "unknown key 'a'; known"),
        ("", {"head": {"kind": "logistic"}}, "head: logistic has 1 expert"),
        ("", {"dropout": math.nan}, "dropout: nan is not finite"),
        ("", 3, "expected a mapping, not 3"),
        ("metadata: members[0]", {"dropout": 2}, "metadata: members[0].dropout: must be below 1"),
    ],
)
def test_the_place_is_the_callers(place: str, values: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        from_plain(Net, values, place)
    assert str(caught.value).startswith(message)


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


OWN_FILE = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import Annotated
import threading
from annotated_types import Ge

Positive = Annotated[int, Ge(2)]

@dataclass(frozen=True)
class Part:
    size: Positive = 2

@dataclass(frozen=True)
class Own:
    parts: tuple[Part, ...] = ()

@dataclass(frozen=True)
class Wrong:
    lock: threading.Lock

@dataclass(frozen=True)
class Vague:
    part: Prat
"""


@pytest.fixture
def own() -> Iterator[Any]:
    module = types.ModuleType("own_family_of_a_test")
    sys.modules[module.__name__] = module
    exec(OWN_FILE, vars(module))
    yield module
    del sys.modules[module.__name__]


def test_a_class_of_a_users_own_file(own: Any) -> None:
    built = from_plain(own.Own, {"parts": [{}, {"size": 3}]}, "own")
    assert built == own.Own((own.Part(), own.Part(3)))
    with pytest.raises(UserError, match=r"^own\.parts\[1\]\.size: must be at least 2, not 1$"):
        from_plain(own.Own, {"parts": [{}, {"size": 1}]}, "own")


@pytest.mark.parametrize(("name", "reason"), [("Wrong", "lock"), ("Vague", "Prat")])
def test_a_class_of_unreadable_fields_is_named(own: Any, name: str, reason: str) -> None:
    with pytest.raises(OwnError, match=f"^own: {name} is not readable: .*{reason}") as caught:
        from_plain(getattr(own, name), {}, "own", OwnError)
    assert str(caught.value).isprintable()


def test_a_flood_of_problems_costs_no_more_than_one() -> None:
    with pytest.raises(UserError, match=r"^net\.hidden\[0\]: must be at least 1, not 0$"):
        from_plain(Net, {"hidden": [0] * 10**6}, "net")
