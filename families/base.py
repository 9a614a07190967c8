"""What every family's module has in common: its signature and its view of the inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from families.errors import FamilyError
from families.layers.heads import Head
from families.layers.pooling import masked_mean
from records.schema import Schema, Stream

Features = Mapping[str, Tensor]
HIDDEN = "hidden"  # among the features of a model that stands on another: its hidden layer


@dataclass(frozen=True)
class HostLayer:
    """A member's last hidden layer: the member's name, and how wide the layer is."""

    name: str
    width: int


class FamilyModule(nn.Module):
    """A model from streams of features to log-odds.

    Subclasses take (config, schema). Every one takes both levels: at video level a clip's mean is
    its only frame (`frames`), at frame level its means are those of its real frames (`means`).

    Attributes:
        streams: the schema's streams, widest first. The widest one leads: it gets the full number
            of clusters (rgb in YouTube-8M), the others a share of it (audio).
        host: as in `host_of`. Its hidden layer (B, H) is given in the features, as `HIDDEN`.
    """

    def __init__(self, config: Any, schema: Schema) -> None:
        super().__init__()
        self.config = config
        self.host = self.host_of(config)
        self._host: tuple[FamilyModule, ...] = ()
        # Streams of one size keep their order.
        self.streams = tuple(sorted(schema.streams, key=lambda stream: -stream.size))

    @staticmethod
    def host_of(config: Any) -> str | None:
        """The member on whose last hidden layer such a model stands, if there is one."""
        return None

    @staticmethod
    def fitted(config: Any, clips: int | None, host: HostLayer | None) -> Any:
        """The configuration whose sizes are those of the data and of the host.

        Args:
            config: as it was given.
            clips: of the training split; None as long as there is none.
            host: what `host_of` names.
        """
        return config

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        """Scores a batch.

        Args:
            features: by stream, float (B, T, D) at frame level or (B, D) at video level.
            mask: bool (B, T), True on real frames, which come first; None when all are real.

        Returns:
            Log-odds (B, V), float32.
        """
        raise NotImplementedError

    @property
    def hidden_size(self) -> int:
        """H, how many values the model's head sees.

        Raises:
            FamilyError: it has not exactly one head.
        """
        return self._only_head().size

    def with_hidden(self, features: Features, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The log-odds (B, V) of a batch, and what the head made them of (B, H).

        Raises:
            FamilyError: it has not exactly one head.
        """
        seen: list[Tensor] = []
        thread = get_ident()

        def see(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # Batches are scored by several threads at once, and each one's hook is called for all.
            if get_ident() == thread:
                seen.append(inputs[0])

        hook = self._only_head().register_forward_pre_hook(see)
        try:
            log_odds = self(features, mask)
        finally:
            hook.remove()
        return log_odds, seen[0]

    def _only_head(self) -> Head:
        heads = [module for module in self.modules() if isinstance(module, Head)]
        if len(heads) != 1:
            raise FamilyError(
                f"{type(self).__name__} has {len(heads)} heads: no other member can stand on its "
                "last hidden layer"
            )
        return heads[0]

    def stand_on(self, host: "FamilyModule") -> None:
        """Has the host computed for this model alone, wherever its layer is not given."""
        # In a tuple: its tensors are none of this model's.
        self._host = (host,)

    def host_layer(self, features: Features, mask: Tensor | None) -> Tensor:
        """The host's last hidden layer (B, H): given with the features, or computed from them."""
        if HIDDEN in features or not self._host:
            return features[HIDDEN]
        return self._host[0].with_hidden(features, mask)[1]

    def training_outputs(
        self, features: Features, mask: Tensor | None = None
    ) -> list[tuple[float, Tensor]]:
        """What the loss is taken of: weights and log-odds (B, V), the model's own output last."""
        return [(1.0, self(features, mask))]

    def total_loss(self, label_losses: Tensor) -> Tensor:
        """What training minimizes, from each label's cross entropy (V,): their sum.

        A family that learns several tasks may weigh them, also by parameters of its own.
        """
        return label_losses.sum()

    def add_penalty_gradient(self) -> None:
        """Adds the gradient of the L2 penalty on the heads' weights; see `Head`."""
        for module in self.modules():
            if isinstance(module, Head):
                module.add_penalty_gradient()

    def cluster_counts(self, count: int, divisor: int) -> list[tuple[int, int]]:
        """Every stream's size and clusters: `count` for the widest, a `divisor`-th for the others.

        Never below two: a softmax over a single cluster assigns everything to it and learns
        nothing.
        """
        counts = [count, *[max(2, count // divisor)] * (len(self.streams) - 1)]
        return [(stream.size, own) for stream, own in zip(self.streams, counts, strict=True)]

    def means(self, features: Features, mask: Tensor | None) -> list[Tensor]:
        """The streams' means over the real frames (B, D), widest stream first.

        Raises:
            FamilyError: when a stream is missing or has another size.
        """
        frames, mask = self.frames(features, mask)
        return [masked_mean(x, mask) for x in frames]

    def frames(self, features: Features, mask: Tensor | None) -> tuple[list[Tensor], Tensor | None]:
        """The streams' frames (B, T, D), widest stream first, with T >= 1, and the mask.

        Means (B, D) are clips of one frame.

        The mask comes back as None when every frame is known to be real; on a GPU only a mask that
        was None to begin with is, since looking into it would wait for the device.

        Raises:
            FamilyError: when a stream is missing or has another size.
        """
        frames = [self._stream(features, stream) for stream in self.streams]
        if frames[0].dim() == 2:
            return [x[:, None] for x in frames], None
        batch, length = frames[0].shape[:2]
        if length == 0:
            frames = [x.new_zeros(batch, 1, x.shape[2]) for x in frames]
            return frames, torch.zeros(batch, 1, dtype=torch.bool, device=frames[0].device)
        if mask is not None and mask.device.type == "cpu" and bool(mask.all()):
            mask = None
        return frames, mask

    @staticmethod
    def _stream(features: Features, stream: Stream) -> Tensor:
        if stream.name not in features:
            raise FamilyError(f"stream {stream.name!r} is missing from the batch")
        x = features[stream.name]
        if x.dim() not in (2, 3) or x.shape[-1] != stream.size:
            raise FamilyError(
                f"stream {stream.name!r} has shape {tuple(x.shape)}, expected (B, T, {stream.size})"
                f" or (B, {stream.size})"
            )
        return x
