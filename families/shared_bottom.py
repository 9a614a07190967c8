"""Shared bottom: hidden layers that all tasks share, then a tower a task."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from common.codec import Positive
from families.layers.experts import grouped_layers
from families.layers.towers import MultiTask, MultiTaskConfig
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class SharedBottomConfig(MultiTaskConfig):
    """Hyperparameters of the shared bottom.

    Attributes:
        hidden: units of every shared layer; none leaves the towers on the inputs.
    """

    hidden: tuple[Positive, ...] = (1024,)


@register("shared_bottom", SharedBottomConfig)
class SharedBottom(MultiTask):
    """y_k = h_k(f(x)), with one f for all tasks k (Caruana 1997; Ma et al. 2018)."""

    def __init__(self, config: SharedBottomConfig, schema: Schema) -> None:
        super().__init__(config, schema, config.hidden[-1] if config.hidden else None)
        sizes = [self.inputs.size, *config.hidden]
        self.hidden = grouped_layers(1, sizes, dropout=config.dropout)

    def representations(self, x: Tensor) -> Tensor:
        out: Tensor = self.hidden(x[None])
        return out.expand(len(self.tasks), -1, -1)
