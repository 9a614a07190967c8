"""In which words the codec refuses what is wrong."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from common import codec, problems
from common.codec import from_plain
from common.errors import UserError
from tests.common.nets import NET_KEYS, Net, OwnError, Schema

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
        ({"by_name": {LONG: 1}}, f".by_name['{'x' * 189}…: expected a mapping, not 1"),
        ({"extra": {"a": DEEP}}, f".extra.a{'[0]' * 63}[0…: nested more than 100 deep"),
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


MANY = {f"k{number}": 1 for number in range(20_000)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": [0] * 10**6}, ".hidden[0]: must be at least 1, not 0"),
        (MANY, f": unknown key 'k0'; known are {NET_KEYS}"),
        ({"head": MANY}, ".head: unknown key 'k0'; known are kind, experts, prior"),
        ({"heads": [{}, MANY]}, ".heads[1]: unknown key 'k0'; known are kind, experts, prior"),
        ({"spare": MANY}, ".spare: unknown key 'k0'; known are kind, experts, prior"),
        ({"own": MANY}, ".own: unknown key 'k0'; known are kind, experts, prior"),
        ({"by_name": {"a": MANY}}, ".by_name.a: unknown key 'k0'; known are kind, experts, prior"),
        ({"levels": MANY}, ".levels.k0: must be one of a, b, not 'k0'"),
    ],
)
def test_a_flood_of_problems_costs_no_more_than_one(
    values: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[int] = []
    first = problems.first_problem

    def count(cls: type, plain: Any, found: list[Any], *rest: Any) -> str:
        listed.append(len(found))
        return first(cls, plain, found, *rest)

    monkeypatch.setattr(codec, "first_problem", count)
    with pytest.raises(UserError) as caught:
        from_plain(Net, values, "net")
    assert str(caught.value) == f"net{message}"
    assert max(listed, default=0) < 10


def test_a_mapping_takes_many_keys() -> None:
    assert from_plain(Net, {"extra": MANY}, "net").extra == MANY
    assert len(from_plain(Net, {"by_name": {key: {} for key in MANY}}, "net").by_name) == 20_000


@dataclass(frozen=True)
class Numbers:
    level: Literal[1, 2] = 1
    switch: Literal[True] = True
    depth: Literal["auto", 0, 3] | None = None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level": True}, ".level: must be one of 1, 2, not True"),
        ({"level": 1.0}, ".level: must be one of 1, 2, not 1.0"),
        ({"level": 3}, ".level: must be one of 1, 2, not 3"),
        ({"switch": 1}, ".switch: must be one of True, not 1"),
        ({"depth": False}, ".depth: must be one of auto, 0, 3 or None, not False"),
        ({"depth": 3.0}, ".depth: must be one of auto, 0, 3 or None, not 3.0"),
    ],
)
def test_a_literal_number_is_of_its_own_type(values: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        from_plain(Numbers, values, "n")
    assert str(caught.value) == f"n{message}"
    assert from_plain(Numbers, {"level": 2, "depth": 3}, "n") == Numbers(2, depth=3)
