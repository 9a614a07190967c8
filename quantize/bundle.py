"""The bundle: one safetensors file with every member at 8 bits and all that is said of them.

Under `<member>/<tensor>` lie the codes (uint8) of a large tensor, with its
codebook (256 float32) under `<member>/<tensor>/codebook`, or a small tensor itself (float32). The
metadata holds one text, `onegig`: the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from families.size import CENTROIDS
from quantize.container import container_bytes, read_container, write_container
from quantize.errors import BundleError
from quantize.manifest import Manifest, MemberEntry, from_text, make_manifest, to_text
from quantize.member import QuantizedState
from quantize.skeleton import check_shapes
from quantize.uniform import Codes, check_finite
from records import Schema

_METADATA_KEY = "onegig"
_CODEBOOK = "codebook"


@dataclass(frozen=True)
class BundleMember:
    """One member, with its tensors.

    Attributes:
        name: Unique in the bundle; letters, digits and ._+-
        family: Its name in the registry of families.
        config: Fields of the family's configuration, as `families.config_to_dict` writes them.
        weight: Its share in the mix, from 0 to 1.
        state: Its weights.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    weight: float
    state: QuantizedState


@dataclass(frozen=True)
class BundleContent:
    """What a bundle's file holds.

    Attributes:
        schema: What a record holds.
        mix: `probability` or `log_odds`.
        members: Sorted by name; their codes are views of the memory-mapped file.
        receipt: What the maker reports of it.
    """

    schema: Schema
    mix: str
    members: tuple[BundleMember, ...]
    receipt: Mapping[str, Any]


def write_bundle(
    path: Path | str,
    schema: Schema,
    members: Sequence[BundleMember],
    receipt: Mapping[str, Any],
    mix: str = "probability",
) -> int:
    """Writes a bundle, atomically; the same content gives the same bytes, in any order of members.

    Args:
        path: Where the file is to stand.
        schema: What a record holds, with the labels' names where they are known.
        members: At least one.
        receipt: What there is to report, as JSON.
        mix: What the weights mix: `probability` or `log_odds`.

    Returns:
        The file's size in bytes, as `bundle_bytes` predicts it.

    Raises:
        BundleError: Something is wrong that a reader would refuse; nothing is written.
    """
    manifest = _manifest(schema, members, receipt, mix)
    by_name = {member.name: member for member in members}
    for entry in manifest.members:
        check_shapes(entry, schema, _shapes(by_name[entry.name].state))
    text, slack = to_text(manifest)
    metadata, tensors = {_METADATA_KEY: text}, _tensors(members)
    write_container(Path(path), metadata, tensors, slack)
    return container_bytes(metadata, tensors, slack)


def bundle_bytes(
    schema: Schema,
    members: Sequence[BundleMember],
    receipt: Mapping[str, Any],
    mix: str = "probability",
) -> int:
    """The exact size of the file that `write_bundle` would write from the same arguments.

    It does not depend on the weights, nor on any other float: of two receipts that differ in
    their figures alone, both give the same size.

    Raises:
        BundleError: As in `write_bundle`.
    """
    text, slack = to_text(_manifest(schema, members, receipt, mix))
    return container_bytes({_METADATA_KEY: text}, _tensors(members), slack)


def read_bundle(path: Path | str) -> BundleContent:
    """Reads a bundle's file; maps its codes into memory and builds nothing.

    Raises:
        BundleError: The file is missing, or is no bundle that this program would have written.
    """
    path = Path(path)
    container = read_container(path)
    if set(container.metadata) != {_METADATA_KEY}:
        raise BundleError(f"{path}: no bundle: its metadata lacks {_METADATA_KEY}")
    try:
        manifest = from_text(container.metadata[_METADATA_KEY])
        return _content(manifest, container.tensors)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _manifest(
    schema: Schema, members: Sequence[BundleMember], receipt: Mapping[str, Any], mix: str
) -> Manifest:
    entries = [MemberEntry(m.name, m.family, m.config, m.weight) for m in members]
    return make_manifest(schema, mix, entries, receipt)


def _tensors(members: Sequence[BundleMember]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for member in members:
        for name, codes in member.state.codes.items():
            tensors[f"{member.name}/{name}"] = codes.codes
            tensors[f"{member.name}/{name}/{_CODEBOOK}"] = codes.codebook
        for name, plain in member.state.plain.items():
            tensors[f"{member.name}/{name}"] = plain
    return tensors


def _content(manifest: Manifest, tensors: Mapping[str, Tensor]) -> BundleContent:
    groups: dict[str, dict[str, Tensor]] = {member.name: {} for member in manifest.members}
    for name, tensor in tensors.items():
        member, _, rest = name.partition("/")
        if member not in groups:
            raise BundleError(f"tensor {name[:200]!r}: belongs to no member")
        groups[member][rest] = tensor
    members = []
    for entry in manifest.members:
        state = _state(entry.name, groups[entry.name])
        check_shapes(entry, manifest.schema, _shapes(state))
        members.append(BundleMember(entry.name, entry.family, entry.config, entry.weight, state))
    return BundleContent(manifest.schema, manifest.mix, tuple(members), manifest.receipt)


def _state(member: str, tensors: Mapping[str, Tensor]) -> QuantizedState:
    codes: dict[str, Codes] = {}
    plain: dict[str, Tensor] = {}
    books = {name for name, tensor in tensors.items() if tensor.dtype == torch.uint8}
    books = {f"{name}/{_CODEBOOK}" for name in books}
    for name, tensor in tensors.items():
        place = f"{member}/{name}"[:200]
        if tensor.dtype == torch.uint8:
            codebook = tensors.get(f"{name}/{_CODEBOOK}")
            if codebook is None or codebook.dtype != torch.float32:
                raise BundleError(f"tensor {place}: has no codebook of float32")
            if codebook.shape != (CENTROIDS,):
                raise BundleError(f"tensor {place}: its codebook is not {CENTROIDS} values")
            codes[name] = Codes(tensor, codebook)
        else:
            check_finite(tensor, f"tensor {place}")
            if name not in books:
                plain[name] = tensor
    return QuantizedState(codes, plain)


def _shapes(state: QuantizedState) -> dict[str, tuple[int, ...]]:
    large = {name: tuple(codes.codes.shape) for name, codes in state.codes.items()}
    return {**large, **{name: tuple(tensor.shape) for name, tensor in state.plain.items()}}
