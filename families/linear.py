"""A head straight on a clip's vector: logistic regression and mixture of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from common.codec import Share
from families.base import FamilyModule
from families.errors import FamilyError
from families.layers.classifier import classifier_of
from families.layers.heads import HeadConfig
from families.layers.inputs import InputNorm
from families.layers.moments import ClipPooling, PooledClip
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class LogisticConfig:
    """Hyperparameters of the logistic regression.

    Attributes:
        pooling: what the frames become: their "mean", or "moments" (mean, standard deviation and
            the five highest values of every dimension).
        input_norm: of each stream's vector: "none", "batch" (standardized) or "length" (L2).
        gating: context gating of the vector.
        dropout: of the vector.
        head: the classifier; its kind is the family's.
    """

    KIND: ClassVar[str] = "logistic"

    pooling: ClipPooling = "mean"
    input_norm: InputNorm = "batch"
    gating: bool = False
    dropout: Share = 0.0
    head: HeadConfig = field(default_factory=lambda: HeadConfig(kind="logistic"))

    def __post_init__(self) -> None:
        if self.head.kind != self.KIND:
            raise FamilyError(f"head.kind must be {self.KIND!r}, not {self.head.kind!r}")


@dataclass(frozen=True)
class MoEConfig(LogisticConfig):
    """Hyperparameters of the mixture of experts: those of `LogisticConfig`, with its own head."""

    KIND: ClassVar[str] = "mixture"

    head: HeadConfig = field(default_factory=HeadConfig)


@register("logistic", LogisticConfig)
class Logistic(FamilyModule):
    """Logistic regression on a clip's vector (Abu-El-Haija et al. 2016, and the public code)."""

    def __init__(self, config: LogisticConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.pooled = PooledClip(self.streams, pooling=config.pooling, norm=config.input_norm)
        self.classifier = classifier_of(config, self.pooled.size, schema.num_labels)

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """See `FamilyModule.forward`."""
        return self.classifier(self.pooled(*self.frames(features, mask)))


@register("moe", MoEConfig)
class MoE(Logistic):
    """Mixture of experts on a clip's vector (Abu-El-Haija et al. 2016, and the public code)."""
