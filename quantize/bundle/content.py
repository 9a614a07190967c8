"""The bundle: one safetensors file with every member's weights and all that is said of them.

Under `<member>/` lie a member's tensors, named as in `quantize.bundle.stored`. The metadata holds
one text, `onegig`: the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quantize.bundle.container import read_container, write_container
from quantize.bundle.layout import METADATA_KEY
from quantize.bundle.manifest import Manifest, MemberEntry, from_text, make_manifest, to_text
from quantize.bundle.skeleton import tensor_shapes
from quantize.bundle.stored import from_tensors, tensor_count, to_tensors
from quantize.errors import BundleError
from quantize.precision import UNIFORM8
from quantize.state import QuantizedState
from records import Schema


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
    *,
    entropy: bool = False,
) -> int:
    """Writes a bundle, atomically; the same content gives the same bytes, in any order of members.

    Args:
        path: Where the file is to stand.
        schema: What a record holds, with the labels' names where they are known.
        members: At least one.
        receipt: What there is to report, as JSON.
        mix: What the weights mix: `probability` or `log_odds`.
        entropy: Whether codes are compressed, where that makes them smaller.

    Returns:
        The file's size in bytes, as `bundle_bytes` predicts it.

    Raises:
        BundleError: Something is wrong that a reader would refuse; nothing is written.
    """
    entries = [MemberEntry(m.name, m.family, m.config, m.weight) for m in members]
    manifest = make_manifest(schema, mix, entries, receipt)
    by_name = {member.name: member for member in members}
    for entry in manifest.members:
        _state(entry, schema, to_tensors(by_name[entry.name].state, entropy=False))
    text, slack = to_text(manifest)
    tensors = {
        f"{member.name}/{name}": tensor
        for member in members
        for name, tensor in to_tensors(member.state, entropy).items()
    }
    return write_container(Path(path), {METADATA_KEY: text}, tensors, slack)


def read_bundle(path: Path | str) -> BundleContent:
    """Reads a bundle's file; maps its codes into memory and builds nothing.

    Raises:
        BundleError: The file is missing, or is no bundle that this program would have written.
    """
    path = Path(path)
    container = read_container(path)
    if set(container.metadata) != {METADATA_KEY}:
        raise BundleError(f"{path}: no bundle: its metadata lacks {METADATA_KEY}")
    try:
        manifest = from_text(container.metadata[METADATA_KEY])
        return _content(manifest, container.tensors)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _content(manifest: Manifest, tensors: Mapping[str, Tensor]) -> BundleContent:
    groups: dict[str, dict[str, Tensor]] = {member.name: {} for member in manifest.members}
    for name, tensor in tensors.items():
        member, _, rest = name.partition("/")
        if member not in groups:
            raise BundleError(f"tensor {name[:200]!r}: belongs to no member")
        if manifest.version == 1 and tensor.dtype == torch.uint8:
            # There was one precision, and no need to say so.
            rest = f"{rest}/{UNIFORM8}"
        groups[member][rest] = tensor
    members = []
    for entry in manifest.members:
        state = _state(entry, manifest.schema, groups[entry.name])
        members.append(BundleMember(entry.name, entry.family, entry.config, entry.weight, state))
    return BundleContent(manifest.schema, manifest.mix, tuple(members), manifest.receipt)


def _state(entry: MemberEntry, schema: Schema, tensors: Mapping[str, Tensor]) -> QuantizedState:
    """A member's state, held against its configuration."""
    shapes = tensor_shapes(entry, schema, tensor_count(tensors))
    try:
        return from_tensors(tensors, shapes)
    except BundleError as error:
        raise BundleError(f"member {entry.name}: {error}") from error
