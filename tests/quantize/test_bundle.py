"""The bundle's file: exact size, same bytes, and nothing in it is believed."""

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
from torch import Tensor

import families
from quantize import (
    Bundle,
    BundleError,
    BundleMember,
    Codes,
    QuantizedState,
    bundle_bytes,
    quantize_state,
    read_bundle,
    write_bundle,
)
from quantize.container import read_container, write_container
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
        module = families.build("perceptron", config, schema)
        state = quantize_state(module.state_dict(), draw(st.integers(0, 100)))
        weight = draw(st.floats(0.0009765625, 1.0))
        members.append(BundleMember(name, "perceptron", config, weight, state))
    return schema, members, draw(RECEIPTS)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(catalogues(), st.randoms(use_true_random=False))
def test_the_size_is_predicted_and_the_bytes_are_the_same(
    tmp_path: Path, catalogue: tuple[Schema, list[BundleMember], dict[str, Any]], random: Any
) -> None:
    schema, members, receipt = catalogue
    path = tmp_path / "bundle.safetensors"
    predicted = bundle_bytes(schema, members, receipt)
    assert write_bundle(path, schema, members, receipt) == predicted == path.stat().st_size
    first = path.read_bytes()
    random.shuffle(members)
    write_bundle(path, schema, members, receipt)
    assert path.read_bytes() == first
    reweighted = [dataclasses.replace(m, weight=random.uniform(0.01, 1.0)) for m in members]
    assert bundle_bytes(schema, reweighted, receipt) == predicted
    assert os.listdir(tmp_path) == ["bundle.safetensors"]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(catalogues())
def test_everything_comes_back(
    tmp_path: Path, catalogue: tuple[Schema, list[BundleMember], dict[str, Any]]
) -> None:
    schema, members, receipt = catalogue
    write_bundle(tmp_path / "bundle", schema, members, receipt, "log_odds")
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
        expected = same.state.dequantize()
        found = member.state.dequantize()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_size_does_not_depend_on_figures(schema: Schema, make_member: MakeMember) -> None:
    members = [make_member()]
    short = bundle_bytes(schema, members, {"gap": 0.0, "members": [{"gap": 0.5}]})
    long = bundle_bytes(
        schema, members, {"gap": -1.23456789012345e-300, "members": [{"gap": 1e99}]}
    )
    assert short == long


def test_the_size_is_that_of_the_tensors_and_little_more(
    schema: Schema, make_member: MakeMember
) -> None:
    member = make_member(hidden=(200, 200))
    size = bundle_bytes(schema, [member], {})
    assert 0 < size - member.state.tensor_bytes() < 5_000


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "a/b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"weight": float("nan")}, "weight nan"),
        ({"weight": -0.1}, "weight -0.1"),
        ({"weight": 0.0}, "every member has weight 0"),
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


def rewritten(
    tmp_path: Path,
    schema: Schema,
    members: list[BundleMember],
    document: Change | None = None,
    tensors: Callable[[dict[str, Tensor]], None] | None = None,
) -> Path:
    """A bundle whose metadata or tensors were changed behind the writer's back."""
    path = tmp_path / "bundle"
    write_bundle(path, schema, members, {"gap": 0.5})
    container = read_container(path)
    values = json.loads(container.metadata["onegig"])
    if document is not None:
        document(values)
    held = {name: tensor.clone() for name, tensor in container.tensors.items()}
    if tensors is not None:
        tensors(held)
    write_container(path, {"onegig": json.dumps(values)}, held)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
    assert str(caught.value).startswith(str(path))


def assign(place: str, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        *path, last = place.split(".")
        target: Any = document
        for part in path:
            target = target[int(part)] if part.isdigit() else target[part]
        target[last] = value

    return change


def delete(place: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        *path, last = place.split(".")
        target: Any = document
        for part in path:
            target = target[int(part)] if part.isdigit() else target[part]
        del target[last]

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (assign("version", 2), "version 2"),
        (assign("extra", 1), "unknown key 'extra'"),
        (assign("mix", "median"), "mix"),
        (assign("mix", ["probability"]), "mix"),
        (assign("receipt", []), "receipt"),
        (assign("members", {}), "members is no list"),
        (assign("members", []), "at least one member"),
        (assign("members", [3]), "member 0: no object"),
        (assign("schema", []), "schema"),
        (assign("schema.num_labels", 8), "label"),
        (assign("schema.label_names", []), "^((?!Traceback).)*$"),
        (assign("schema.streams.0.size", 10**12), "shape|cannot be built"),
        (assign("schema.level", "os.system"), "level"),
        (assign("members.0.name", "two"), "belongs to no member"),
        (assign("members.0.name", 3), "name is of the wrong type"),
        (assign("members.0.family", "os.system"), "os.system"),
        (assign("members.0.family", "netvlad"), "member one"),
        (assign("members.0.config", []), "config is of the wrong type"),
        (assign("members.0.config.hidden", [17]), "has shape"),
        (assign("members.0.config.hidden", [10**15]), "has shape|cannot be built"),
        (assign("members.0.config.hidden", [2**62, 2**62]), "cannot be built"),
        (assign("members.0.config.hidden", [1] * 100_000), "more than"),
        (assign("members.0.config.hidden", "wide"), "hidden"),
        (assign("members.0.config._target_", "os.system"), "_target_"),
        (assign("members.0.weight", "1"), "weight is no number"),
        (assign("members.0.weight", True), "weight is no number"),
        (assign("members.0.weight", 10**400), "weight is no number"),
        (assign("members.0.weight", -1.0), "weight -1.0"),
        (assign("members.0.weight", 1e308), "weight 1e.308"),
        *[
            (delete(key), f"{key.rsplit('.')[-1]} is missing")
            for key in ("version", "schema", "mix", "members", "receipt")
        ],
        *[
            (delete(f"members.0.{key}"), f"{key} is missing")
            for key in ("name", "family", "config", "weight")
        ],
    ],
)
def test_changed_metadata_is_refused(
    tmp_path: Path, schema: Schema, make_member: MakeMember, change: Change, match: str
) -> None:
    path = rewritten(tmp_path, schema, [make_member()], change)
    if match.startswith("^"):
        assert Bundle.load(path).labels == ()
    else:
        refused(path, match)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", '{"version": 1, "version": 1}'])
def test_metadata_that_is_no_manifest_is_refused(
    tmp_path: Path, schema: Schema, make_member: MakeMember, text: str
) -> None:
    path = rewritten(tmp_path, schema, [make_member()])
    write_container(path, {"onegig": text}, read_container(path).tensors)
    refused(path, "metadata")
    write_container(path, {"other": text}, {})
    refused(path, "no bundle")


def first(tensors: dict[str, Tensor], dtype: torch.dtype) -> str:
    return next(name for name, tensor in sorted(tensors.items()) if tensor.dtype == dtype)


def drop_codebook(tensors: dict[str, Tensor]) -> None:
    del tensors[first(tensors, torch.uint8) + "/codebook"]


def short_codebook(tensors: dict[str, Tensor]) -> None:
    tensors[first(tensors, torch.uint8) + "/codebook"] = torch.zeros(255)


def nan_codebook(tensors: dict[str, Tensor]) -> None:
    tensors[first(tensors, torch.uint8) + "/codebook"][9] = float("nan")


def byte_codebook(tensors: dict[str, Tensor]) -> None:
    tensors[first(tensors, torch.uint8) + "/codebook"] = torch.zeros(256, dtype=torch.uint8)


def drop_tensor(tensors: dict[str, Tensor]) -> None:
    name = first(tensors, torch.uint8)
    del tensors[name], tensors[name + "/codebook"]


def flat_tensor(tensors: dict[str, Tensor]) -> None:
    name = first(tensors, torch.uint8)
    tensors[name] = tensors[name].reshape(-1, 1)


def infinite_tensor(tensors: dict[str, Tensor]) -> None:
    name = next(n for n in sorted(tensors) if n.endswith("running_var"))
    tensors[name][0] = float("inf")


def extra_tensor(tensors: dict[str, Tensor]) -> None:
    tensors["one/stray"] = torch.zeros(3)


def foreign_tensor(tensors: dict[str, Tensor]) -> None:
    tensors["stray"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (drop_codebook, "has no codebook"),
        (short_codebook, "not 256 values"),
        (nan_codebook, "1 of 256 values are NaN"),
        (byte_codebook, "has no codebook"),
        (drop_tensor, "is missing"),
        (flat_tensor, "has shape"),
        (infinite_tensor, "NaN or infinite"),
        (extra_tensor, "no place for tensor 'stray'"),
        (foreign_tensor, "belongs to no member"),
    ],
)
def test_changed_tensors_are_refused(
    tmp_path: Path,
    schema: Schema,
    make_member: MakeMember,
    change: Callable[[dict[str, Tensor]], None],
    match: str,
) -> None:
    refused(rewritten(tmp_path, schema, [make_member()], tensors=change), match)


def test_a_codebook_need_not_be_uniform(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    member = make_member()
    codes = {
        name: Codes(entry.codes, torch.randn(256)) for name, entry in member.state.codes.items()
    }
    state = QuantizedState(codes, member.state.plain)
    write_bundle(tmp_path / "b", schema, [dataclasses.replace(member, state=state)], {})
    found = read_bundle(tmp_path / "b").members[0].state.dequantize()
    for name, entry in codes.items():
        assert torch.equal(found[name], entry.codebook[entry.codes.long()])
