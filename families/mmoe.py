"""Mixtures of experts for several tasks: one gate for all (OMoE), a gate a task (MMoE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from common.codec import Positive
from families.layers.experts import Experts, Gates
from families.layers.towers import MultiTask, MultiTaskConfig
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class MMoEConfig(MultiTaskConfig):
    """Hyperparameters of both mixtures.

    Attributes:
        experts: n.
        expert_units: of every expert, which is one hidden layer.
    """

    experts: Annotated[int, Ge(2)] = 8
    expert_units: Positive = 512


class TaskMixture(MultiTask):
    """f^k(x) = sum over i of softmax(W_k x)_i f_i(x), then a tower a task.

    Args:
        config: see there.
        schema: its verticals are the tasks.
        one_gate: whether all tasks share their gate.
    """

    def __init__(self, config: MMoEConfig, schema: Schema, *, one_gate: bool) -> None:
        super().__init__(config, schema, config.expert_units)
        size = self.inputs.size
        self.experts = Experts(1, config.experts, size, config.expert_units, dropout=config.dropout)
        self.gates = Gates(1 if one_gate else len(self.tasks), size, config.experts)

    def representations(self, x: Tensor) -> Tensor:
        """See `MultiTask.representations`."""
        experts, shares = self.experts(x[None])[0], self.gates(x[None])
        mixed = torch.einsum("kbn,bnu->kbu", shares.to(experts.dtype), experts)
        return mixed.expand(len(self.tasks), -1, -1)


@register("omoe", MMoEConfig)
class OMoE(TaskMixture):
    """All tasks see one mixture of the experts (Ma et al. 2018, one-gate)."""

    def __init__(self, config: MMoEConfig, schema: Schema) -> None:
        super().__init__(config, schema, one_gate=True)


@register("mmoe", MMoEConfig)
class MMoE(TaskMixture):
    """Every task has a gate, and with it a mixture, of its own (Ma et al. 2018)."""

    def __init__(self, config: MMoEConfig, schema: Schema) -> None:
        super().__init__(config, schema, one_gate=False)
