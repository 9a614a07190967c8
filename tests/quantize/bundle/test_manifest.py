"""What a bundle says about itself: the same text again, and every lie of it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantize import Bundle, BundleMember
from quantize.bundle.container import read_container, write_container
from quantize.bundle.manifest import from_text, to_text
from records import Schema
from tests.quantize.bundle.changed import Change, refused, rewritten

MakeMember = Callable[..., BundleMember]
FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize("version", [3, 4])
def test_the_same_manifest_and_tensors_are_the_same_bytes_as_ever(
    tmp_path: Path, version: int
) -> None:
    """Those of a file that was written once and for all."""
    path = FIXTURES / f"bundle-v{version}.safetensors"
    container = read_container(path)
    written = container.metadata["onegig"]
    text, slack = to_text(from_text(written, 2))
    # The fields of a configuration may come to be declared in another order.
    assert json.loads(text) == json.loads(written) and len(text) == len(written)
    write_container(tmp_path / "again", {"onegig": written}, container.tensors, slack)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def assign(place: str, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        *path, last = place.split(".")
        target: Any = document
        for part in path:
            target = target[int(part)] if part.isdigit() else target[part]
        target[int(last) if last.isdigit() else last] = value

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
        (assign("version", 5), "version 5"),
        (assign("version", True), "version True"),
        (assign("version", [2]), "version"),
        (assign("extra", 1), "unknown key 'extra'"),
        (assign("mix", "median"), "mix 'median': probability and log_odds are known"),
        (assign("mix", "m" * 10_000), "mix 'mmm"),
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
        (assign("members.0.weight", 0.9), "weights sum to 0.9; they have to sum to 1"),
        (assign("schema.quantized_max", 1e308), "quantized_max: 1e.308; its products"),
        (
            assign("schema.streams.0.name", "rgb\ud800"),
            r"streams\[0\].name: 'rgb.ud800' is no valid",
        ),
        (assign("schema.label_names.2", "\udfff"), "is no valid Unicode"),
        (assign("receipt.a\ud800", 1), "is no valid Unicode"),
        (
            assign("schema.streams", [{"name": str(n), "size": 1} for n in range(101)]),
            "101 streams",
        ),
        (assign("members", [{}] * 1_000), "1000 members, and only "),
        (assign("members.0.family", "f" * 10_000), "unknown family"),
        (assign("members.0.config", {"k" * 10_000: 1}), "unknown key"),
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


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_what_is_no_number_is_refused(
    tmp_path: Path, schema: Schema, make_member: MakeMember, number: str
) -> None:
    path = rewritten(tmp_path, schema, [make_member()], assign("schema.quantized_max", 12345.0))
    container = read_container(path)
    text = container.metadata["onegig"].replace("12345.0", number)
    write_container(path, {"onegig": text}, container.tensors)
    refused(path, f"{number} is no number")


def test_weights_that_sum_to_3_are_refused(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    def change(document: dict[str, Any]) -> None:
        for member in document["members"]:
            member["weight"] = 1.0

    members = [make_member(name) for name in ("one", "two", "three")]
    refused(rewritten(tmp_path, schema, members, change), "weights sum to 3; they have to sum to 1")
