"""A loaded bundle: every member as a module, and their mix."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from common.problems import quoted
from ensemble import mix
from families import FamilyError, FamilyModule
from families.layers.hosts import all_scores
from quantize.bundle.content import BundleMember, read_bundle
from quantize.bundle.manifest import Manifest, MemberEntry
from quantize.bundle.skeleton import build_skeleton
from quantize.errors import BundleError
from records import Batch, Schema


@dataclass(frozen=True)
class LoadedMember(MemberEntry):
    """A member that can be run: its `module` is in evaluation mode, float32."""

    module: FamilyModule


@dataclass(frozen=True)
class Bundle(Manifest):
    """The ensemble of a bundle's file, its members on a `device`."""

    members: tuple[LoadedMember, ...]
    device: torch.device

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> Self:
        """Reads a bundle and turns its codes into float32 weights, once.

        Nothing in the file is executed: families are looked up in the registry of this program,
        configurations are checked against their dataclasses, and tensors against both.

        Raises:
            BundleError: The file is missing, or is no bundle; one line says what is wrong.
        """
        device = torch.device(device)
        content = read_bundle(path)
        try:
            members = tuple(_load(member, content.schema, device) for member in content.members)
        except FamilyError as error:
            raise BundleError(f"{path}: {error}") from error
        return cls(**vars(content) | {"members": members, "device": device})

    @property
    def weights(self) -> Tensor:
        """(M,) float64, in the order of `members`, summing to 1."""
        weights = torch.tensor([member.weight for member in self.members], dtype=torch.float64)
        return weights / weights.sum()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels' names, by number; empty where the schema has none."""
        return self.schema.label_names

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """Scores a batch with every member and mixes them.

        Args:
            batch: As it was read, or already dequantized, on any device.

        Returns:
            Log-odds (B, V), float32, on the bundle's device.

        Raises:
            BundleError: The batch lacks a stream, or has one of another size.
        """
        self._check(batch)
        batch = batch.to(self.device)
        modules = {member.name: member.module for member in self.members}
        scores = all_scores(modules, batch.features, batch.mask)
        return mix(torch.stack(scores), self.weights, self.mix)

    def _check(self, batch: Batch) -> None:
        for stream in self.schema.streams:
            found = batch.features.get(stream.name)
            if found is None or found.shape[-1] != stream.size:
                size = "missing" if found is None else f"{found.shape[-1]} wide"
                raise BundleError(
                    f"stream {quoted(stream.name)}: {size} in the data, the bundle needs "
                    f"{stream.size}"
                )


def _load(member: BundleMember, schema: Schema, device: torch.device) -> LoadedMember:
    state = member.state.dequantize()
    module = build_skeleton(member, schema, len(state))
    # The tensors become the parameters themselves; a copy would double the memory.
    module.load_state_dict(state, assign=True)
    module.requires_grad_(False)
    module.to(device).eval()
    return LoadedMember(member.name, member.family, member.config, member.weight, module)
