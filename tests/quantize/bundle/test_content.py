"""The bundle's file: exact size, same bytes, all of it comes back, and mistakes are refused."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import families
from common.codec import from_plain, to_plain
from quantize import (
    BundleError,
    BundleMember,
    MemberLayout,
    bundle_bytes,
    list_precisions,
    quantize_state,
    read_bundle,
    write_bundle,
)
from records import Schema, Stream

MakeMember = Callable[..., BundleMember]
Change = Callable[[dict[str, Any]], None]

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,12}", fullmatch=True)
FIGURES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
RECEIPTS = st.dictionaries(st.text(), FIGURES | st.lists(FIGURES), max_size=4)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    labels = draw(st.integers(1, 12))
    names = draw(st.just(()) | st.tuples(*[st.text()] * labels))
    streams = tuple(
        Stream(f"stream{number}", draw(st.integers(1, 9)), "float32")
        for number in range(draw(st.integers(1, 3)))
    )
    return Schema(draw(st.text(min_size=1)), "video", streams, labels, label_names=names)


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[Schema, list[BundleMember], dict[str, Any]]:
    schema = draw(schemas())
    members = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        config = {"hidden": draw(st.lists(st.integers(1, 20), max_size=2))}
        weights = dict(families.build("perceptron", config, schema).state_dict())
        if draw(st.booleans()):
            # Codes that compress.
            weights = {name: tensor * (tensor > 0.1) for name, tensor in weights.items()}
        state = quantize_state(
            weights,
            draw(st.integers(0, 100)),
            draw(st.sampled_from(list_precisions())),
            draw(
                st.dictionaries(
                    st.sampled_from(sorted(weights)), st.sampled_from(list_precisions())
                )
            ),
        )
        weight = draw(st.floats(0.0009765625, 1.0))
        members.append(BundleMember(name, "perceptron", config, weight, state))
    return schema, shared(members), draw(RECEIPTS)


def shared(members: list[BundleMember]) -> list[BundleMember]:
    """The members with weights that sum to 1."""
    total = sum(member.weight for member in members)
    return [dataclasses.replace(m, weight=m.weight / total) for m in members]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(catalogues(), st.booleans(), st.randoms(use_true_random=False))
def test_the_size_is_predicted_and_the_bytes_are_the_same(
    tmp_path: Path,
    catalogue: tuple[Schema, list[BundleMember], dict[str, Any]],
    entropy: bool,
    random: Any,
) -> None:
    schema, members, receipt = catalogue
    path = tmp_path / "bundle.safetensors"
    predicted = bundle_bytes(schema, layouts(members, entropy), receipt)
    written = write_bundle(path, schema, members, receipt, entropy=entropy)
    assert written == predicted == path.stat().st_size
    first = path.read_bytes()
    random.shuffle(members)
    write_bundle(path, schema, members, receipt, entropy=entropy)
    assert path.read_bytes() == first
    assert bundle_bytes(schema, layouts(members, entropy), receipt) == predicted
    others = [dataclasses.replace(m, weight=random.uniform(0.01, 1.0)) for m in members]
    assert write_bundle(path, schema, shared(others), receipt, entropy=entropy) == predicted
    assert os.listdir(tmp_path) == ["bundle.safetensors"]


def layouts(members: list[BundleMember], entropy: bool = False) -> list[MemberLayout]:
    """The members' layouts, as they come back from a file that another process wrote."""
    made = [MemberLayout.of(m.name, m.family, m.config, m.state, entropy) for m in members]
    written = json.dumps([to_plain(layout) for layout in made])
    return [
        from_plain(MemberLayout, values, "layout", BundleError) for values in json.loads(written)
    ]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(catalogues(), st.booleans())
def test_everything_comes_back(
    tmp_path: Path,
    catalogue: tuple[Schema, list[BundleMember], dict[str, Any]],
    entropy: bool,
) -> None:
    schema, members, receipt = catalogue
    write_bundle(tmp_path / "bundle", schema, members, receipt, "log_odds", entropy=entropy)
    content = read_bundle(tmp_path / "bundle")
    assert content.schema == schema
    assert content.mix == "log_odds"
    assert content.receipt == receipt
    assert [m.name for m in content.members] == sorted(m.name for m in members)
    written = {member.name: member for member in members}
    for member in content.members:
        same = written[member.name]
        assert member.weight == same.weight
        assert member.family == same.family
        assert list(member.config["hidden"]) == same.config["hidden"]
        assert member.config["dropout"] == 0.5, "defaults are written out"
        precisions = {name: codes.precision for name, codes in member.state.codes.items()}
        assert precisions == {name: codes.precision for name, codes in same.state.codes.items()}
        expected = same.state.dequantize()
        found = member.state.dequantize()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_size_does_not_depend_on_figures(schema: Schema, make_member: MakeMember) -> None:
    members = layouts([make_member()])
    short = bundle_bytes(schema, members, {"gap": 0.0, "members": [{"gap": 0.5}]})
    long = bundle_bytes(
        schema, members, {"gap": -1.23456789012345e-300, "members": [{"gap": 1e99}]}
    )
    assert short == long


def test_the_size_is_that_of_the_tensors_and_little_more(
    schema: Schema, make_member: MakeMember
) -> None:
    member = make_member(hidden=(200, 200))
    (layout,) = layouts([member])
    assert 0 < bundle_bytes(schema, [layout], {}) - layout.tensor_bytes() < 5_000


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "a/b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"weight": float("nan")}, "weight nan"),
        ({"weight": -0.1}, "weight -0.1"),
        ({"weight": 0.0}, "every member has weight 0"),
        ({"weight": 0.5}, "weights sum to 0.5; they have to sum to 1"),
        ({"family": "unknown"}, "unknown"),
        ({"config": {"hidden": [16], "colour": 1}}, "colour"),
        ({"config": {"hidden": [17]}}, r"has shape \[.*, its configuration wants \["),
        ({"config": {"hidden": [16, 16]}}, "is missing"),
        ({"config": {"hidden": []}}, "no place|has shape"),
    ],
)
def test_what_would_not_be_read_is_not_written(
    tmp_path: Path,
    schema: Schema,
    make_member: MakeMember,
    change: dict[str, Any],
    match: str,
) -> None:
    member = dataclasses.replace(make_member(), **change)
    with pytest.raises(BundleError, match=match):
        write_bundle(tmp_path / "bundle", schema, [member], {})
    assert os.listdir(tmp_path) == []


def test_no_members_two_of_a_name_a_wrong_mix_and_a_wrong_receipt(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    member = make_member()
    with pytest.raises(BundleError, match="at least one member"):
        write_bundle(tmp_path / "bundle", schema, [], {})
    with pytest.raises(BundleError, match="there are two"):
        write_bundle(tmp_path / "bundle", schema, [member, member], {})
    with pytest.raises(BundleError, match="mix"):
        write_bundle(tmp_path / "bundle", schema, [member], {}, "median")
    for receipt in ({"gap": float("nan")}, {"path": tmp_path}):
        with pytest.raises(BundleError, match="receipt"):
            write_bundle(tmp_path / "bundle", schema, [member], receipt)
