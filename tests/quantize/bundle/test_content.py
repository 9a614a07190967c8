"""The bundle's file: exact size, same bytes, and nothing in it is believed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import families
from quantize import (
    Bundle,
    BundleError,
    BundleMember,
    MemberLayout,
    QuantizedState,
    bundle_bytes,
    list_precisions,
    quantize_state,
    read_bundle,
    write_bundle,
)
from quantize.bundle.container import read_container, write_container
from quantize.entropy import compress_codes, decompress_codes
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
    return schema, members, draw(RECEIPTS)


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
    reweighted = [dataclasses.replace(m, weight=random.uniform(0.01, 1.0)) for m in members]
    assert write_bundle(path, schema, reweighted, receipt, entropy=entropy) == predicted
    assert os.listdir(tmp_path) == ["bundle.safetensors"]


def layouts(members: list[BundleMember], entropy: bool = False) -> list[MemberLayout]:
    """The members' layouts, as they come back from a file that another process wrote."""
    written = json.dumps([member.layout(entropy).to_dict() for member in members])
    return [MemberLayout.from_dict(values) for values in json.loads(written)]


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
    size = bundle_bytes(schema, layouts([member]), {})
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
        (assign("version", 3), "version 3"),
        (assign("version", True), "version True"),
        (assign("version", [2]), "version"),
        (assign("extra", 1), "unknown key 'extra'"),
        (assign("mix", "median"), "mix"),
        (assign("mix", ["probability"]), "mix"),
        (assign("receipt", []), "receipt"),
        (assign("members", {}), "members: expected a list"),
        (assign("members", []), "at least one member"),
        (assign("members", [3]), r"members\[0\]: expected a mapping"),
        (assign("schema", []), "schema"),
        (assign("schema.num_labels", 8), "label"),
        (assign("schema.label_names", []), "^((?!Traceback).)*$"),
        (assign("schema.streams.0.size", 10**12), "shape|cannot be built"),
        (assign("schema.level", "os.system"), "level"),
        (assign("members.0.name", "two"), "belongs to no member"),
        (assign("members.0.name", 3), r"members\[0\].name: expected str"),
        (assign("members.0.family", "os.system"), "os.system"),
        (assign("members.0.family", "netvlad"), "member one"),
        (assign("members.0.config", []), r"members\[0\].config: expected a mapping"),
        (assign("members.0.config.hidden", [17]), "has shape"),
        (assign("members.0.config.hidden", [10**15]), "has shape|cannot be built"),
        (assign("members.0.config.hidden", [2**62, 2**62]), "cannot be built"),
        (assign("members.0.config.hidden", [1] * 100_000), "more than"),
        (assign("members.0.config.hidden", "wide"), "hidden"),
        (assign("members.0.config._target_", "os.system"), "_target_"),
        (assign("members.0.weight", "1"), "weight: expected float"),
        (assign("members.0.weight", True), "weight: expected float"),
        (assign("members.0.weight", 10**400), "weight: an integer of 1329 bits"),
        (assign("members.0.weight", -1.0), "weight -1.0"),
        (assign("members.0.weight", 1e308), "weight 1e.308"),
        *[
            (delete(key), f"key '{key}' is missing")
            for key in ("version", "schema", "mix", "members", "receipt")
        ],
        *[
            (delete(f"members.0.{key}"), f"key '{key}' is missing")
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


# Two tensors of the perceptron: one of codes, and one that is too small for them.
CODES = "one/hidden.0.layers.0.weight/uniform8"
TENSOR, _, _ = CODES.rpartition("/")
CODEBOOK = f"{TENSOR}/codebook"
BIAS = "one/hidden.0.layers.0.bias"


def without(*names: str) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        for name in names:
            del tensors[name]

    return change


def with_tensor(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({name: tensor})


def renamed(old: str, new: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({new: tensors.pop(old)})


def flat_tensor(tensors: dict[str, Tensor]) -> None:
    tensors[CODES] = tensors[CODES].reshape(-1, 1)


def nan_codebook(tensors: dict[str, Tensor]) -> None:
    tensors[CODEBOOK][9] = float("nan")


def infinite_tensor(tensors: dict[str, Tensor]) -> None:
    name = next(n for n in sorted(tensors) if n.endswith("running_var"))
    tensors[name][0] = float("inf")


def half(value: float) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        shape = tensors.pop(CODES).shape
        tensors[f"{TENSOR}/float16"] = torch.full(shape, value, dtype=torch.float16)

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (without(CODEBOOK), "no codebook"),
        (with_tensor(CODEBOOK, torch.zeros(255)), "wants .256."),
        (with_tensor(CODEBOOK, torch.zeros(16, 2)), "wants .256."),
        (nan_codebook, "1 of 256 values are NaN"),
        (with_tensor(CODEBOOK, torch.zeros(256, dtype=torch.uint8)), "float32 is needed"),
        (without(CODES), "a codebook without codes"),
        (with_tensor(f"{BIAS}/codebook", torch.zeros(256)), "a codebook without codes"),
        (without(CODES, CODEBOOK), "is missing"),
        (flat_tensor, "has shape"),
        (infinite_tensor, "NaN or infinite"),
        (with_tensor(BIAS, torch.zeros(16).half()), "float32 is needed"),
        (with_tensor(BIAS, torch.zeros(16, dtype=torch.uint8)), "float32 is needed"),
        (renamed(CODES, f"{TENSOR}/uniform7"), "unknown precision 'uniform7'"),
        (renamed(CODES, f"{TENSOR}/float32"), "unknown precision 'float32'"),
        (renamed(CODES, f"{TENSOR}/uniform8/"), "unknown precision 'uniform8/'"),
        (with_tensor(f"{BIAS}/", torch.zeros(16)), "stored twice, as float32 and ''"),
        (renamed(BIAS, f"{BIAS}/"), "unknown precision ''"),
        (renamed(CODES, f"{TENSOR}/uniform4"), "has shape .16, 17., .* wants .136."),
        (renamed(CODES, f"{TENSOR}/channel8"), "wants .16, 2."),
        (renamed(CODES, f"{TENSOR}/float16"), "float16 is needed"),
        (half(1.0), "an unwanted codebook"),
        (half(float("inf")), "an unwanted codebook|NaN or infinite"),
        (with_tensor(TENSOR, torch.zeros(16, 17)), "stored twice, as float32 and 'uniform8'"),
        (
            with_tensor(f"{TENSOR}/uniform4", torch.zeros(136, dtype=torch.uint8)),
            "stored twice, as 'uniform4' and 'uniform8'",
        ),
        (
            with_tensor(f"{CODES}.zst", torch.zeros(9, dtype=torch.uint8)),
            "stored twice, as 'uniform8' and 'uniform8.zst'",
        ),
        (renamed(CODES, f"{CODES}.zst"), "no compressed codes"),
        (with_tensor("one/stray", torch.zeros(3)), "no place for tensor 'stray'"),
        (with_tensor("stray", torch.zeros(3)), "belongs to no member"),
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
        name: dataclasses.replace(entry, codebook=torch.randn(256))
        for name, entry in member.state.codes.items()
    }
    state = QuantizedState(codes, member.state.plain)
    write_bundle(tmp_path / "b", schema, [dataclasses.replace(member, state=state)], {})
    found = read_bundle(tmp_path / "b").members[0].state.dequantize()
    for name, entry in codes.items():
        assert entry.codebook is not None
        assert torch.equal(found[name], entry.codebook[entry.codes.long()])


def compressed(data: bytes, **options: Any) -> Tensor:
    frame = zstandard.ZstdCompressor(**options).compress(data)
    return torch.frombuffer(bytearray(frame), dtype=torch.uint8)


# As many codes as the tensor has, so even that they are stored in a fraction of the bytes.
FRAME = compressed(bytes(range(16)) * 17)


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (FRAME[:-1], "damaged"),
        (torch.cat([FRAME, FRAME[:1]]), "damaged"),
        (torch.cat([FRAME, FRAME]), "damaged"),
        (FRAME[:3], "damaged"),
        (torch.zeros(0, dtype=torch.uint8), "damaged"),
        (torch.zeros(40, dtype=torch.uint8), "damaged"),
        (FRAME.reshape(1, -1), "no compressed codes"),
        (compressed(bytes(16 * 17 - 1)), "codes of 271 bytes, 272 are needed"),
        (compressed(bytes(2**30)), "codes of 1073741824 bytes, 272 are needed"),
        (compressed(bytes(16 * 17), write_content_size=False), "272 are needed"),
    ],
)
def test_compressed_codes_are_not_believed(
    tmp_path: Path, schema: Schema, make_member: MakeMember, frame: Tensor, match: str
) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors[CODES]
        tensors[f"{CODES}.zst"] = frame

    refused(rewritten(tmp_path, schema, [make_member()], tensors=change), match)


def test_a_frame_with_a_byte_changed_is_refused(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    member = make_member()
    name = "hidden.0.layers.0.weight"
    entry = member.state.codes[name]
    even = dataclasses.replace(entry, codes=(torch.arange(16 * 17) % 16).byte().reshape(16, 17))
    codes = {**member.state.codes, name: even}
    state = QuantizedState(codes, member.state.plain)
    path = tmp_path / "b"
    member = dataclasses.replace(member, state=state)
    write_bundle(path, schema, [member], {}, entropy=True)
    assert any(key.endswith(".zst") for key in read_container(path).tensors)
    Bundle.load(path)
    content = path.read_bytes()
    # Nothing comes behind this frame.
    for place in range(1, 12):
        path.write_bytes(
            content[:-place] + bytes([content[-place] ^ 1]) + content[len(content) - place + 1 :]
        )
        refused(path, "compressed codes")


def test_a_small_file_cannot_ask_for_much_memory() -> None:
    zeros = np.zeros(2**20, dtype=np.uint8)
    assert compress_codes(zeros, 8, len(zeros)) is None, "a reader would not take it"
    with pytest.raises(BundleError, match="more than 32 times"):
        decompress_codes(zstandard.compress(zeros.tobytes()), 8, len(zeros))
