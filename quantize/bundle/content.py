"""The bundle: one safetensors file with every member's weights and all that is said of them.

Under `<member>/` lie a member's tensors, named as in `quantize.bundle.stored`; under `thresholds`
those of the labels, where there are any. The metadata holds one text, `onegig`: the manifest.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.codec import count_values
from common.problems import quoted
from common.tensors import check_count
from families import FamilyError
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
from quantize.bundle.tags import THRESHOLDS, check_thresholds
from quantize.errors import BundleError
from quantize.precision import UNIFORM8
from quantize.state import QuantizedState
from records import Schema

# From these versions on a file has checksums, and may have thresholds.
_CHECKED, _WITH_THRESHOLDS = 3, 4
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
    thresholds: Tensor | None


def write_bundle(
    path: Path | str,
    schema: Schema,
    members: Sequence[BundleMember],
    receipt: Mapping[str, Any],
    mix: str = "probability",
    *,
    entropy: bool = False,
    thresholds: Tensor | None = None,
) -> int:
    """Writes a bundle, atomically; the same content gives the same bytes, in any order of members.

    Args:
        path: Where the file is to stand.
        schema: What a record holds, with the labels' names where they are known.
        members: At least one.
        receipt: What there is to report, as JSON.
        mix: What the weights mix: `probability` or `log_odds`.
        entropy: Whether codes are compressed, where that makes them smaller.
        thresholds: (V,) float32 log-odds; see `Bundle`.

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
    if thresholds is not None:
        check_thresholds(thresholds, schema)
        tensors[THRESHOLDS] = thresholds
    return write_container(Path(path), {METADATA_KEY: text}, tensors, slack)


@dataclass(frozen=True)
class BundleFile(Manifest):
    """A bundle's file, mapped into memory, before any member's state is made of it.

    Attributes:
        path: Of the file, which has to stay as it is as long as states are made.
        tensors: By member, those that it has in the file.
        thresholds: As in `Bundle`.
    """

    path: Path
    tensors: Mapping[str, Mapping[str, Tensor]]
    thresholds: Tensor | None

    def said(self) -> dict[str, Any]:
        """The fields of the manifest."""
        return {field.name: getattr(self, field.name) for field in fields(Manifest)}

    def decoded_bytes(self, member: MemberEntry) -> int:
        """What the tensors of a member take in float32.

        Raises:
            BundleError: Its configuration cannot be built.
        """
        with naming_file(self.path):
            tensors = self.tensors[member.name]
            skeleton = build_skeleton(member, self.schema, _count(tensors))
        return sum(tensor.nbytes for tensor in skeleton.state_dict().values())

    def state(self, member: MemberEntry) -> QuantizedState:
        """What the file holds of a member; its codes are views of the file, unless compressed.

        Raises:
            BundleError: It is not as the member's configuration wants it.
        """
        # The others may be at odd addresses.
        tensors = {
            place: tensor if tensor.dtype == torch.uint8 else tensor.clone()
            for place, tensor in self.tensors[member.name].items()
        }
        with naming_file(self.path):
            return _state(member, self.schema, tensors)

    def check_hosts(self) -> None:
        """To be called once every state was made, which bounds what configurations ask for.

        Raises:
            BundleError: As in `skeleton.check_hosts`.
        """
        with naming_file(self.path):
            check_hosts(self.members, self.schema)


def read_bundle(path: Path | str) -> BundleContent:
    """Reads a bundle's file; maps its codes into memory and builds nothing.

    Raises:
        BundleError: The file is missing, or is no bundle that this program would have written.
    """
    with without_collector():
        file = open_bundle(path)
        members = tuple(
            BundleMember(**vars(entry), state=file.state(entry)) for entry in file.members
        )
        file.check_hosts()
    return BundleContent(**file.said() | {"members": members}, thresholds=file.thresholds)


def open_bundle(path: Path | str) -> BundleFile:
    """Maps a bundle's file into memory and checks all but its members' states.

    Raises:
        BundleError: As in `read_bundle`.
    """
    path = Path(path)
    container = read_container(path)
    if set(container.metadata) != {METADATA_KEY}:
        raise BundleError(f"{path}: no bundle: its header has not {METADATA_KEY} alone as metadata")
    text, tensors = container.metadata[METADATA_KEY], container.tensors
    with naming_file(path):
        check_count("values", count_values(text), container.size, "metadata", BundleError)
        manifest = from_text(text, most_members=len(tensors))
        if manifest.version >= _CHECKED and not container.checked:
            raise BundleError(f"metadata: format version {manifest.version} without checksums")
        check_growth(tensors)
        thresholds = None
        if manifest.version >= _WITH_THRESHOLDS and THRESHOLDS in tensors:
            thresholds = tensors.pop(THRESHOLDS).clone()
            check_thresholds(thresholds, manifest.schema)
        groups = _by_member(manifest, tensors)
        return BundleFile(**vars(manifest), path=path, tensors=groups, thresholds=thresholds)


@contextmanager
def without_collector() -> Iterator[None]:
    """Meanwhile Python looks for no garbage.

    What reading a bundle makes is kept, or goes at once. The collector would look through all of it
    again and again, which takes several times as long as everything else.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """An error names the file.

    Raises:
        BundleError: Instead of what was raised.
    """
    try:
        yield
    except (BundleError, FamilyError) as error:
        raise BundleError(f"{path}: {error}") from error


def _by_member(manifest: Manifest, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {member.name: {} for member in manifest.members}
    for name, tensor in tensors.items():
        member, _, rest = name.partition("/")
        if member not in groups:
            raise BundleError(f"tensor {quoted(name)}: belongs to no member")
        if manifest.version == 1 and tensor.dtype == torch.uint8:
            # There was one precision, and no need to say so.
            rest = f"{rest}/{UNIFORM8}"
        groups[member][rest] = tensor
    return groups


def _state(entry: MemberEntry, schema: Schema, tensors: Mapping[str, Tensor]) -> QuantizedState:
    """A member's state, held against its configuration."""
    expected = build_skeleton(entry, schema, _count(tensors)).state_dict()
    try:
        state = from_tensors(tensors, expected)
        for name in expected:
            if name.endswith(_VARIANCE):
                _check_variance(name, state.dequantized(name))
        return state
    except BundleError as error:
        raise BundleError(f"member {entry.name}: {error}") from error


def _count(tensors: Mapping[str, Tensor]) -> int:
    """How many tensors of a member's state those of the file stand for."""
    return len({place.partition("/")[0] for place in tensors})


def _check_variance(name: str, variance: Tensor) -> None:
    if variance.numel() and variance.min() < 0:
        raise BundleError(f"tensor {name}: a variance of {float(variance.min()):.6g}")
