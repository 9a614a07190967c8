"""Chain: every stage sees the pooled features beside the scores of the stage before it."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

from common.codec import Depth, Positive
from families.base import FamilyModule, Features
from families.layers.classifier import classifier_of
from families.layers.heads import MIXTURE, HeadConfig
from families.layers.hidden import HiddenLayer
from families.layers.moments import ClipConfig, PooledClip
from families.layers.pooling import unit_length
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class ChainConfig(ClipConfig):
    """Hyperparameters of the chain; gating, dropout and head are every stage's.

    Attributes:
        stages: how many score the clip, one after the other; two at least.
        projection: units that a stage's scores come to before the next stage sees them.
        hidden: units of the layer at a stage's entrance; 0 leaves the head alone on its input.
        auxiliary_weight: of the earlier stages' losses, each; the last stage's is 1.
    """

    stages: Annotated[Depth, Ge(2)] = 3
    projection: Positive = 256
    hidden: Annotated[int, Ge(0)] = 0
    auxiliary_weight: Annotated[float, Ge(0)] = 0.05
    head: HeadConfig = MIXTURE


class Stage(nn.Module):
    """Hidden layer (linear, relu) if there is one, head."""

    def __init__(self, size: int, num_labels: int, config: ChainConfig) -> None:
        super().__init__()
        self.hidden: nn.Module = nn.Identity()
        if config.hidden:
            # The classifier drops the units.
            self.hidden = HiddenLayer(size, config.hidden)
        self.classifier = classifier_of(config, config.hidden or size, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, size) to log-odds (B, V), float32."""
        return self.classifier(self.hidden(x))


class ProjectedScores(nn.Module):
    """relu(W p + b) at unit length, p being a stage's probabilities (Wang et al. 2017, code)."""

    def __init__(self, num_labels: int, units: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_labels, units)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, log_odds: Tensor) -> Tensor:
        """Log-odds (B, V) to (B, units)."""
        return unit_length(functional.relu(self.linear(torch.sigmoid(log_odds))))


@register("chain", ChainConfig)
class Chain(FamilyModule):
    """Pooled features, then stage upon stage (Wang et al. 2017, its section on chaining).

    z_1 = stage_1(x) and z_n = stage_n([x, projection_n(z_(n-1))]). The earlier stages have losses
    of their own, with a small weight, and learn from the later ones' as well.
    """

    def __init__(self, config: ChainConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.pooled = PooledClip(self.streams, config)
        size, labels = self.pooled.size, schema.num_labels
        self.first = Stage(size, labels, config)
        later = range(1, config.stages)
        self.later = nn.ModuleList(Stage(size + config.projection, labels, config) for _ in later)
        self.projections = nn.ModuleList(ProjectedScores(labels, config.projection) for _ in later)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return self.stage_scores(features, mask)[-1]

    def training_outputs(
        self, features: Features, mask: Tensor | None = None
    ) -> list[tuple[float, Tensor]]:
        *earlier, last = self.stage_scores(features, mask)
        return [*((self.config.auxiliary_weight, scores) for scores in earlier), (1.0, last)]

    def stage_scores(self, features: Features, mask: Tensor | None) -> list[Tensor]:
        """The log-odds (B, V) of every stage, first to last."""
        x = self.pooled(*self.frames(features, mask))
        scores = [self.first(x)]
        for stage, projection in zip(self.later, self.projections, strict=True):
            scores.append(stage(torch.cat([x, projection(scores[-1])], dim=1)))
        return scores
