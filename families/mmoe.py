"""What several tasks share: a bottom, or experts with one gate for all (OMoE) or a gate a task."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from common.codec import Positive
from families.layers.experts import Experts, Gates, grouped_layers
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


@register("mmoe", MMoEConfig)
class MMoE(MultiTask):
    """Every task has a gate, and with it a mixture, of its own (Ma et al. 2018).

    f^k(x) = sum over i of softmax(W_k x)_i f_i(x), then a tower a task.
    """

    one_gate: ClassVar[bool] = False

    def __init__(self, config: MMoEConfig, schema: Schema) -> None:
        super().__init__(config, schema, config.expert_units)
        size, gates = self.inputs.size, 1 if self.one_gate else len(self.tasks)
        self.experts = Experts(1, config.experts, size, config.expert_units, dropout=config.dropout)
        self.gates = Gates(gates, size, config.experts)

    def representations(self, x: Tensor) -> Tensor:
        experts, shares = self.experts(x[None])[0], self.gates(x[None])
        mixed = torch.einsum("kbn,bnu->kbu", shares.to(experts.dtype), experts)
        return mixed.expand(len(self.tasks), -1, -1)


@register("omoe", MMoEConfig)
class OMoE(MMoE):
    """All tasks see one mixture of the experts (Ma et al. 2018, one-gate)."""

    one_gate = True


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
