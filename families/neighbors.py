"""k nearest neighbors: the labels of the most similar clips among those that are remembered."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from common.codec import Positive
from families.base import Features, HostLayer
from families.errors import FamilyError
from families.layers.groups import MEMORY, in_group
from families.layers.memory import Lesson, RememberingModule
from families.layers.pooling import unit_length
from families.registry import register
from records.schema import Schema

AboveZero = Annotated[float, Gt(0)]
LEVELS = 255  # of a share, which is stored in a byte
_FORBIDDEN = -1e6  # so far below every cosine that no temperature leaves it a vote


@dataclass(frozen=True)
class NeighborsConfig:
    """Hyperparameters of the neighbors.

    Attributes:
        clips: how many to remember; fewer where the training split has fewer.
        of: the member whose last hidden layer is compared; None for the means of the streams.
        width: of that layer; found out by itself, and 0 without one.
        stream_weights: of the streams' means, by name; 1 for those that are not named.
        neighbors: k, how many vote.
        temperature: t; a neighbor at a cosine of s has exp(s / t) votes.
        labels: that are kept a clip, those with the highest targets.
        floor: what is added to a label's share of the votes, and to the share of the others.
    """

    clips: Positive = 30_000
    of: str | None = None
    width: Annotated[int, Ge(0)] = 0
    stream_weights: dict[str, AboveZero] = field(default_factory=dict)
    neighbors: Positive = 60
    temperature: Annotated[float, Ge(1e-3)] = 0.05
    labels: Positive = 12
    floor: Annotated[float, Ge(1e-9), Lt(1)] = 1e-4


@in_group(MEMORY)
class Memory(nn.Module):
    """Remembered clips: where they are, which labels they have.

    A row without a share is empty.

    Attributes:
        embeddings: (N, D) float32, each less the mean of all and of unit length.
        labels: (N, K) int16, or int32 where there are more labels than it counts.
        shares: (N, K) uint8, of each label in 255ths.
    """

    embeddings: Tensor
    labels: Tensor
    shares: Tensor

    def __init__(self, clips: int, size: int, stored: int, num_labels: int) -> None:
        super().__init__()
        whole = torch.int16 if num_labels <= torch.iinfo(torch.int16).max else torch.int32
        self.num_labels = num_labels
        self.register_buffer("embeddings", torch.zeros(clips, size))
        self.register_buffer("labels", torch.zeros(clips, stored, dtype=whole))
        self.register_buffer("shares", torch.zeros(clips, stored, dtype=torch.uint8))
        self.register_load_state_dict_post_hook(_check_labels)

    def cosines(self, x: Tensor) -> Tensor:
        """Queries (B, D) of unit length to (B, N), float32; empty rows are below all others."""
        # Autocast would round cosines so that others vote.
        with _without_autocast(x.device.type):
            # Codes of few bits do not keep the length.
            cosines = x @ unit_length(self.embeddings).t()
        return cosines.masked_fill(self.shares[:, 0] == 0, _FORBIDDEN)

    def votes(self, weights: Tensor, rows: Tensor) -> Tensor:
        """The labels' shares of the votes (B, V) of rows (B, k) with weights (B, k)."""
        shares = weights[..., None] * (self.shares[rows].float() / LEVELS)
        labels = self.labels[rows].long()
        # len() would fix the number of clips in an exported graph.
        votes = shares.new_zeros(rows.shape[0], self.num_labels)
        # A sum of shares may be above 1 by a rounding.
        return votes.scatter_add(1, labels.flatten(1), shares.flatten(1)).clamp(max=1)

    def store(self, start: int, embeddings: Tensor, targets: Tensor) -> int:
        """Puts clips (n, D) with targets (n, V) into the rows from `start`; returns the next."""
        rows = slice(start, start + len(targets))
        # Of equal targets the first labels, whatever a sort would do.
        order = torch.arange(targets.shape[1], device=targets.device, dtype=torch.float64)
        best = (targets.double() - 1e-9 * order).topk(self.labels.shape[1]).indices
        self.embeddings[rows] = embeddings
        self.labels[rows] = best.to(self.labels.dtype)
        self.shares[rows] = (targets.gather(1, best) * LEVELS).round().to(torch.uint8)
        return start + len(targets)


def _without_autocast(device: str) -> AbstractContextManager[object]:
    # The ONNX exporter cannot follow into such a context, and traces on a device that has none.
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def _check_labels(memory: Memory, _: object) -> None:
    """Refuses a state whose labels lie outside of the scores."""
    for label in torch.aminmax(memory.labels):
        if not 0 <= int(label) < memory.num_labels:
            raise FamilyError(f"memory: label {int(label)} is out of range of {memory.num_labels}")


@register("neighbors", NeighborsConfig)
class Neighbors(RememberingModule):
    """softmax over the k nearest of cosine / t, times their labels; as log-odds.

    (Cover & Hart 1967; the weights are those of Khandelwal et al. 2020, section 2.) A clip is the
    means of its streams, each of unit length, weighed and side by side; or the last hidden layer of
    a host. The mean of the remembered clips is subtracted from either.
    """

    centre: Tensor

    def __init__(self, config: NeighborsConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        if schema.has_unknown_labels:
            raise FamilyError(
                "neighbors: a clip that is remembered has its labels or has them not, and of this "
                "data some are unknown (unknown_labels_key, segments); leave the member out"
            )
        names = [stream.name for stream in self.streams]
        for name in config.stream_weights.keys() - names:
            raise FamilyError(f"stream_weights: no stream {name[:50]!r}; there are {names}")
        if config.width and config.of is None:
            raise FamilyError(f"width: {config.width}, but `of` names no member that has a layer")
        self.weights = [config.stream_weights.get(name, 1.0) for name in names]
        size = config.width or sum(stream.size for stream in self.streams)
        stored = min(config.labels, schema.num_labels)
        self.memory = Memory(config.clips, size, stored, schema.num_labels)
        self.register_buffer("centre", torch.zeros(size))

    @staticmethod
    def host_of(config: NeighborsConfig) -> str | None:
        return config.of

    @staticmethod
    def fitted(
        config: NeighborsConfig, clips: int | None, host: HostLayer | None
    ) -> NeighborsConfig:
        most = config.clips if clips is None else min(config.clips, clips)
        of, width = (None, 0) if host is None else (host.name, host.width)
        return replace(config, clips=most, of=of, width=width)

    @property
    def capacity(self) -> int:
        clips: int = self.config.clips
        return clips

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return self._log_odds(self.memory.cosines(self._query(features, mask)))

    def without_own(self, features: Features, mask: Tensor | None, rows: Tensor) -> Tensor:
        cosines = self.memory.cosines(self._query(features, mask))
        own = torch.arange(cosines.shape[1], device=rows.device) == rows[:, None]
        return self._log_odds(cosines.masked_fill(own, _FORBIDDEN))

    @torch.no_grad()
    def remember(self, lessons: Iterable[Lesson]) -> None:
        count = 0
        for features, mask, targets in lessons:
            count = self.memory.store(count, self._embedding(features, mask), targets)
        known = self.memory.embeddings[:count]
        self.centre.copy_(known.mean(dim=0))
        known.copy_(unit_length(known - self.centre))

    def _log_odds(self, cosines: Tensor) -> Tensor:
        """Cosines (B, N) to log-odds (B, V), float32."""
        best = cosines.topk(min(self.config.neighbors, cosines.shape[1]))
        weights = torch.softmax(best.values / self.config.temperature, dim=1)
        # Without any neighbor the votes would be even.
        votes = self.memory.votes(weights * (best.values > _FORBIDDEN), best.indices)
        return torch.log(votes + self.config.floor) - torch.log(1 - votes + self.config.floor)

    def _query(self, features: Features, mask: Tensor | None) -> Tensor:
        """(B, D), of unit length."""
        return unit_length(self._embedding(features, mask) - self.centre)

    def _embedding(self, features: Features, mask: Tensor | None) -> Tensor:
        """(B, D), as it is before the mean is subtracted."""
        if self.host is not None:
            return unit_length(self.host_layer(features, mask).float())
        means = self.means(features, mask)
        return torch.cat([w * unit_length(x) for w, x in zip(self.weights, means, strict=True)], 1)
