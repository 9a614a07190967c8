"""Experts that all tasks share beside a task's own: one layer of them (CGC), several (PLE)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.codec import Depth, Positive
from families.layers.experts import Experts, Gates
from families.layers.towers import MultiTask, MultiTaskConfig
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class CGCConfig(MultiTaskConfig):
    """Hyperparameters of customized gate control.

    Attributes:
        experts_shared: experts that all tasks see.
        experts_private: experts a task that it alone sees.
        expert_units: of every expert, which is one hidden layer.
    """

    experts_shared: Positive = 4
    experts_private: Positive = 1
    expert_units: Positive = 256


@dataclass(frozen=True)
class PLEConfig(CGCConfig):
    """Hyperparameters of progressive layered extraction.

    Attributes:
        layers: of experts and gates.
    """

    layers: Depth = 2


class ExtractionLayer(nn.Module):
    """One layer of experts and gates (Tang et al. 2020).

    A task's gate, softmax(W_k x_k), is over the shared experts and its own; it selects by the
    task's own input. The gate of the shared part is over all experts; the last layer has none.
    """

    def __init__(self, tasks: int, size: int, config: CGCConfig, *, last: bool) -> None:
        super().__init__()
        shared, private, units = config.experts_shared, config.experts_private, config.expert_units
        self.shared = Experts(1, shared, size, units, dropout=config.dropout)
        self.private = Experts(tasks, private, size, units, dropout=config.dropout)
        self.gates = Gates(tasks, size, shared + private)
        self.shared_gate = None if last else Gates(1, size, shared + tasks * private)

    def forward(self, own: Tensor, common: Tensor) -> tuple[Tensor, Tensor]:
        """The tasks' parts and the shared one.

        Args:
            own: (K, B, D), or (1, B, D) where all tasks see the same.
            common: (1, B, D).

        Returns:
            The tasks' (K, B, U), and the shared (1, B, U), behind the last layer as it came.
        """
        shared, private = self.shared(common)[0], self.private(own)
        count = shared.shape[1]
        shares = self.gates(own).to(shared.dtype)
        mixed = torch.einsum("kbn,bnu->kbu", shares[..., :count], shared)
        mixed = mixed + torch.einsum("kbn,kbnu->kbu", shares[..., count:], private)
        if self.shared_gate is None:
            return mixed, common
        of_all = self.shared_gate(common)[0].to(shared.dtype)
        of_private = of_all[:, count:].unflatten(1, (len(private), -1))
        common = torch.einsum("bn,bnu->bu", of_all[:, :count], shared)
        common = common + torch.einsum("bkn,kbnu->bu", of_private, private)
        return mixed, common[None]


@register("cgc", CGCConfig)
class CGC(MultiTask):
    """Customized gate control: shared and private experts, then a tower a task (Tang et al. 2020).

    It has one layer of experts.
    """

    def __init__(self, config: CGCConfig, schema: Schema, *, layers: int = 1) -> None:
        super().__init__(config, schema, config.expert_units)
        sizes = [self.inputs.size, *[config.expert_units] * (layers - 1)]
        self.layers = nn.ModuleList(
            ExtractionLayer(len(self.tasks), size, config, last=depth == layers)
            for depth, size in enumerate(sizes, start=1)
        )

    def representations(self, x: Tensor) -> Tensor:
        own = common = x[None]
        for layer in self.layers:
            own, common = layer(own, common)
        return own


@register("ple", PLEConfig)
class PLE(CGC):
    """Progressive layered extraction: every layer selects by what the last one extracted.

    Its lower layers also gate a shared part, over all experts (Tang et al. 2020).
    """

    def __init__(self, config: PLEConfig, schema: Schema) -> None:
        super().__init__(config, schema, layers=config.layers)
