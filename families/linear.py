"""A head straight on a clip's vector: logistic regression and mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from families.base import FamilyModule, Features
from families.errors import FamilyError
from families.layers.classifier import classifier_of
from families.layers.heads import MIXTURE, HeadConfig
from families.layers.moments import ClipConfig, PooledClip
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class LogisticConfig(ClipConfig):
    """Hyperparameters of the logistic regression; the head's kind is the family's."""

    KIND: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        if self.head.kind != self.KIND:
            raise FamilyError(f"head.kind must be {self.KIND!r}, not {self.head.kind!r}")


@dataclass(frozen=True)
class MoEConfig(LogisticConfig):
    """Hyperparameters of the mixture of experts: the same, with its own head."""

    KIND: ClassVar[str] = "mixture"

    head: HeadConfig = MIXTURE


@register("logistic", LogisticConfig)
class Logistic(FamilyModule):
    """Logistic regression on a clip's vector (Abu-El-Haija et al. 2016, and the public code)."""

    def __init__(self, config: LogisticConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.pooled = PooledClip(self.streams, config)
        self.classifier = classifier_of(config, self.pooled.size, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return self.classifier(self.pooled(*self.frames(features, mask)))


@register("moe", MoEConfig)
class MoE(Logistic):
    """Mixture of experts on a clip's vector (Abu-El-Haija et al. 2016, and the public code)."""
