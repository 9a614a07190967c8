"""The bundle: one safetensors file with every member's weights and all that is said of them.

Under `<member>/` lie a member's tensors, named as in `quantize.bundle.stored`. The metadata holds
one text, `onegig`: the manifest.
"""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.codec import count_values
from common.problems import quoted
from common.tensors import check_count
from quantize.bundle.container import read_container, write_container
from quantize.bundle.manifest import (
    METADATA_KEY,
    VERSION,
    Manifest,
    MemberEntry,
    check_numbers,
    completed,
    from_text,
    to_text,
)
from quantize.bundle.skeleton import build_skeleton, check_hosts
from quantize.bundle.stored import check_growth, from_tensors, to_tensors
from quantize.errors import BundleError
from quantize.precision import UNIFORM8
from quantize.state import QuantizedState
from records import Schema

# From this version on a file has checksums.
_CHECKED = 3
# What torch and `MaskedBatchNorm` call it.
_VARIANCE = "running_var"


@dataclass(frozen=True)
class BundleMember(MemberEntry):
    """One member, with its weights in `state`."""

    state: QuantizedState


@dataclass(frozen=True)
class BundleContent(Manifest):
    """What a bundle's file holds; the members' codes are views of the memory-mapped file."""

    members: tuple[BundleMember, ...]


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
    members = completed(members)
    manifest = Manifest(VERSION, schema, mix, members, receipt)
    check_numbers(manifest)
    check_hosts(members, schema)
    for member in members:
        _state(member, schema, to_tensors(member.state, entropy=False))
    text, slack = to_text(manifest)
    tensors = {
        f"{member.name}/{name}": tensor
        for member in members
        for name, tensor in to_tensors(member.state, entropy).items()
    }
    check_growth(tensors)
    return write_container(Path(path), {METADATA_KEY: text}, tensors, slack)


def read_bundle(path: Path | str) -> BundleContent:
    """Reads a bundle's file; maps its codes into memory and builds nothing.

    Raises:
        BundleError: The file is missing, or is no bundle that this program would have written.
    """
    # What is made here is kept, or goes at once. The collector would look through all of it again
    # and again, which takes several times as long as everything else.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _read(Path(path))
    finally:
        if collects:
            gc.enable()


def _read(path: Path) -> BundleContent:
    container = read_container(path)
    if set(container.metadata) != {METADATA_KEY}:
        raise BundleError(f"{path}: no bundle: its header has not {METADATA_KEY} alone as metadata")
    text, tensors = container.metadata[METADATA_KEY], container.tensors
    try:
        check_count("values", count_values(text), container.size, "metadata", BundleError)
        manifest = from_text(text, most_members=len(tensors))
        if manifest.version >= _CHECKED and not container.checked:
            raise BundleError(f"metadata: format version {manifest.version} without checksums")
        return _content(manifest, tensors)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def _content(manifest: Manifest, tensors: Mapping[str, Tensor]) -> BundleContent:
    check_growth(tensors)
    groups: dict[str, dict[str, Tensor]] = {member.name: {} for member in manifest.members}
    for name, tensor in tensors.items():
        member, _, rest = name.partition("/")
        if member not in groups:
            raise BundleError(f"tensor {quoted(name)}: belongs to no member")
        if manifest.version == 1 and tensor.dtype == torch.uint8:
            # There was one precision, and no need to say so.
            rest = f"{rest}/{UNIFORM8}"
        groups[member][rest] = tensor
    members = tuple(
        BundleMember(**vars(entry), state=_state(entry, manifest.schema, groups[entry.name]))
        for entry in manifest.members
    )
    check_hosts(members, manifest.schema)
    return BundleContent(**vars(manifest) | {"members": members})


def _state(entry: MemberEntry, schema: Schema, tensors: Mapping[str, Tensor]) -> QuantizedState:
    """A member's state, held against its configuration."""
    count = len({place.partition("/")[0] for place in tensors})
    expected = build_skeleton(entry, schema, count).state_dict()
    try:
        state = from_tensors(tensors, expected)
        for name in expected:
            if name.endswith(_VARIANCE):
                _check_variance(name, state.dequantized(name))
        return state
    except BundleError as error:
        raise BundleError(f"member {entry.name}: {error}") from error


def _check_variance(name: str, variance: Tensor) -> None:
    if variance.numel() and variance.min() < 0:
        raise BundleError(f"tensor {name}: a variance of {float(variance.min()):.6g}")
