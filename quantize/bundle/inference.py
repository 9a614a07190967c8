"""A loaded bundle: every member as a module, their mix, and the tags that it gives."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Self, get_args

import torch
from torch import Tensor

from common.problems import quoted
from common.units import parse_bytes
from ensemble import mix
from families import FamilyModule
from families.layers.hosts import scores_in_turn
from quantize.bundle.computing import in_bfloat16
from quantize.bundle.content import BundleFile, naming_file, open_bundle, without_collector
from quantize.bundle.inputs import clips_of
from quantize.bundle.manifest import Manifest, MemberEntry
from quantize.bundle.residency import kept_members
from quantize.bundle.skeleton import build_skeleton
from quantize.bundle.tags import Tag, best_tags, tags_above
from quantize.errors import BundleError
from records import Batch, collate
from training.config import Precision
from training.device import autocast, chosen_precision

BATCH_CLIPS = 256

# Clips as `Bundle.predict` takes them: by stream arrays, or lists of them.
Clips = Batch | Mapping[str, Any]


@dataclass(frozen=True)
class LoadedMember(MemberEntry):
    """A member that can be run.

    Attributes:
        host: The member on whose hidden layer it stands, if it does.
        make: Gives its module: the one that stays in memory, or a new one of the file.
    """

    host: str | None
    make: Callable[[], FamilyModule]

    @property
    def module(self) -> FamilyModule:
        """In evaluation mode."""
        return self.make()


@dataclass(frozen=True)
class Bundle(Manifest):
    """The ensemble of a bundle's file.

    Attributes:
        members: Sorted by name.
        device: That they are computed on.
        precision: In which they are: `float32` or `bfloat16`.
        thresholds: (V,) float32, on the CPU: the log-odds from which on a clip is given a label,
            inf where it never is; None in a bundle without them.
        turn: Held while members are decoded in turn: each thread would decode one.

    Example:
        bundle = Bundle.load("bundle.safetensors")
        for tag in bundle.top({"rgb": rgb, "audio": audio}, k=5)[0]:
            print(tag.name, tag.probability)
    """

    members: tuple[LoadedMember, ...]
    device: torch.device
    precision: Precision
    thresholds: Tensor | None
    turn: AbstractContextManager[object]

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: torch.device | str = "cpu",
        resident: int | str | None = None,
        precision: Precision = "float32",
    ) -> Self:
        """Reads a bundle and turns its codes into weights.

        Nothing in the file is executed: families are looked up in the registry of this program,
        configurations are checked against their dataclasses, and tensors against both.

        Args:
            path: Of the file.
            device: Where members are computed.
            resident: Bytes of decoded weights that there may be at any time, as float32, such as
                `1GiB`. What is beyond it is decoded anew for each batch, one member at a time, from
                the mapped file, which comes to it and has to stay as it is. None: all are decoded
                once, and the file may go.
            precision: What members compute in. In `float32` a clip has the scores of the stages,
                bit for bit. In `bfloat16` weights take half of the memory and a batch, on
                processors with bfloat16 instructions, less than half of the time; log-odds differ
                by some hundredths. `auto`: bfloat16 on such a processor or GPU, else float32.

        Raises:
            BundleError: The file is missing, or is no bundle, or a member alone takes more than
                `resident`, or there is no such precision; one line says what is wrong.
            UserError: `resident` is no number of bytes.
        """
        if precision not in get_args(Precision):
            raise BundleError(
                f"precision={precision}: must be one of {', '.join(get_args(Precision))}"
            )
        device = torch.device(device)
        precision = chosen_precision(device, precision)
        with without_collector():
            file = open_bundle(path)
            kept = {member.name for member in file.members}
            if resident is not None:
                sizes = {member.name: file.decoded_bytes(member) for member in file.members}
                with naming_file(file.path):
                    kept = kept_members(sizes, parse_bytes(resident, "resident"))
            members = tuple(
                _load(partial(_decoded, file, own, device, precision), own, own.name in kept)
                for own in file.members
            )
            file.check_hosts()
        return cls(
            **file.said() | {"members": members},
            device=device,
            precision=precision,
            thresholds=file.thresholds,
            turn=nullcontext() if len(kept) == len(members) else Lock(),
        )

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
    def predict(
        self, clips: Clips, *, lengths: Any = None, mask: Any = None, batch_size: int = BATCH_CLIPS
    ) -> Tensor:
        """Scores clips with every member and mixes the scores.

        Args:
            clips: A batch, as it was read or already dequantized, on any device. Or by stream NumPy
                arrays or torch tensors. Of a stream that the schema has as uint8 they are bytes as
                stored, or floats, dequantized; of others floats. At frame level one clip is (T, D),
                many are a list of these, of any lengths, or (B, T, D); at video level they are (D,)
                and (B, D). One clip is a batch of one.
            lengths: Of clips in (B, T, D), (B,): how many of the frames are real.
            mask: In place of it (B, T) bool, True on real frames.
            batch_size: Clips of arrays that are scored at once.

        Returns:
            Log-odds (B, V), float32, on the bundle's device.

        Raises:
            BundleError: A stream is missing, unknown, or of another size, type or number of frames,
                or holds NaN or infinity.
        """
        if isinstance(clips, Batch):
            if lengths is not None or mask is not None:
                raise BundleError("lengths, mask: a batch has its own; leave them out")
            return self._scored(clips)
        if batch_size < 1:
            raise BundleError(f"batch_size={batch_size}: at least 1 is needed")
        given = clips_of(clips, self.schema, lengths, mask)
        parts = [given[start : start + batch_size] for start in range(0, len(given), batch_size)]
        scores = [self._scored(collate(part, self.schema)) for part in parts]
        nothing = torch.zeros(0, self.schema.num_labels, device=self.device)
        return torch.cat([nothing, *scores])

    def top(
        self,
        clips: Clips,
        k: int = 5,
        *,
        lengths: Any = None,
        mask: Any = None,
        batch_size: int = BATCH_CLIPS,
    ) -> list[list[Tag]]:
        """The k best labels of each clip, best first; equal ones rank by label.

        Args:
            clips: As in `predict`, and so are the other arguments.
            k: Labels a clip; where there are fewer, all.

        Raises:
            BundleError: As in `predict`.
        """
        log_odds = self.predict(clips, lengths=lengths, mask=mask, batch_size=batch_size)
        return best_tags(log_odds, self.labels, k)

    def tags(
        self, clips: Clips, *, lengths: Any = None, mask: Any = None, batch_size: int = BATCH_CLIPS
    ) -> list[list[Tag]]:
        """The labels of each clip that reach their thresholds, best first; there may be none.

        Args:
            clips: As in `predict`, and so are the other arguments.

        Raises:
            BundleError: The bundle has no thresholds. And as in `predict`.
        """
        if self.thresholds is None:
            raise BundleError(
                "this bundle has no thresholds; use top(), or pack it with pack.thresholds=f1"
            )
        log_odds = self.predict(clips, lengths=lengths, mask=mask, batch_size=batch_size)
        return tags_above(log_odds, self.thresholds, self.labels)

    def _scored(self, batch: Batch) -> Tensor:
        self._check(batch)
        batch = batch.to(self.device)
        hosts = {member.name: member.host for member in self.members}
        makers = {member.name: member.make for member in self.members}
        with self.turn, autocast(self.device, self.precision):
            scores = scores_in_turn(hosts, lambda name: makers[name](), batch.features, batch.mask)
        log_odds = torch.stack([own.float() for own in scores])
        return mix(log_odds, self.weights, self.mix)

    def _check(self, batch: Batch) -> None:
        for stream in self.schema.streams:
            found = batch.features.get(stream.name)
            if found is None or found.shape[-1] != stream.size:
                size = "missing" if found is None else f"{found.shape[-1]} wide"
                raise BundleError(
                    f"stream {quoted(stream.name)}: {size} in the data, the bundle needs "
                    f"{stream.size}"
                )


def _load(make: Callable[[], FamilyModule], member: MemberEntry, keep: bool) -> LoadedMember:
    # Also of a member that does not stay everything is checked.
    module = make()
    host = module.host
    return LoadedMember(**vars(member), host=host, make=(lambda: module) if keep else make)


def _decoded(
    file: BundleFile, member: MemberEntry, device: torch.device, precision: Precision
) -> FamilyModule:
    state = file.state(member).dequantize()
    module = build_skeleton(member, file.schema, len(state))
    # The tensors become the parameters themselves; a copy would double the memory.
    with naming_file(file.path):
        module.load_state_dict(state, assign=True)
    module.requires_grad_(False)
    module = module.to(device).eval()
    if precision == "bfloat16":
        in_bfloat16(module)
    return module
