"""Sub-network routing: which sub-network feeds which is learned with the weights."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor, nn

from common.codec import Depth, Positive
from families.layers.experts import GroupedHidden
from families.layers.towers import MultiTask, MultiTaskConfig
from families.registry import register
from records.schema import Schema

TEMPERATURE = 2 / 3  # beta of the hard concrete distribution
LOWEST, HIGHEST = -0.1, 1.1  # gamma and zeta, between which it is stretched
OPEN_AT_FIRST = 1.0  # log alpha: a connection is closed in 7 % of the first draws


@dataclass(frozen=True)
class SNRConfig(MultiTaskConfig):
    """Hyperparameters of both kinds of sub-network routing.

    Attributes:
        levels: of sub-networks below the towers, which are the topmost level; the first sees the
            inputs.
        subnetworks: a level.
        units: of every sub-network, which is one hidden layer.
        sparsity: weight of the expected number of open connections in the loss.
    """

    levels: Depth = 1
    subnetworks: Positive = 4
    units: Positive = 256
    sparsity: Annotated[float, Ge(0)] = 1e-4


class HardConcrete(nn.Module):
    """Codes z in [0, 1] of connections, with mass at 0 and at 1 (Louizos et al. 2018).

    Training draws u uniformly a connection and forward pass (equations 10 and 11):
    z = clip(sigmoid((log u - log(1 - u) + log alpha) / beta) * (zeta - gamma) + gamma, 0, 1).
    Evaluation takes clip(sigmoid(log alpha) * (zeta - gamma) + gamma, 0, 1) (equation 13).
    """

    def __init__(self, upper: int, lower: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.full((upper, lower), OPEN_AT_FIRST))

    def forward(self) -> Tensor:
        """z (`upper`, `lower`)."""
        share = torch.sigmoid(self.log_alpha)
        if self.training:
            noise = torch.logit(torch.rand_like(self.log_alpha), eps=1e-6)
            share = torch.sigmoid((noise + self.log_alpha) / TEMPERATURE)
        return (share * (HIGHEST - LOWEST) + LOWEST).clamp(0, 1)

    def expected_open(self) -> Tensor:
        """The expected number of connections with z > 0 in training, a scalar (equation 12)."""
        return torch.sigmoid(self.log_alpha - TEMPERATURE * math.log(-LOWEST / HIGHEST)).sum()


class Averages(nn.Module):
    """v_k = sum over i of z_ki u_i: SNR-Aver's connections from n sub-networks to K."""

    def __init__(self, upper: int, lower: int) -> None:
        super().__init__()
        self.codes = HardConcrete(upper, lower)

    def forward(self, u: Tensor) -> Tensor:
        """(n, B, U) to (K, B, U)."""
        return torch.einsum("kn,nbu->kbu", self.codes().to(u.dtype), u)


class Transformations(nn.Module):
    """v_k = sum over i of z_ki W_ki u_i: SNR-Trans' connections from n sub-networks to K."""

    def __init__(self, upper: int, lower: int, units: int) -> None:
        super().__init__()
        self.codes = HardConcrete(upper, lower)
        self.weight = nn.Parameter(torch.empty(upper, lower, units, units))
        nn.init.normal_(self.weight, std=1 / math.sqrt(lower * units))

    def forward(self, u: Tensor) -> Tensor:
        """(n, B, U) to (K, B, U)."""
        # The codes scale the matrices: scaled copies of u would be larger, one a batch and k.
        coded = (self.codes()[..., None, None] * self.weight).flatten(1, 2)
        return torch.matmul(u.transpose(0, 1).flatten(1), coded)


@register("snr_trans", SNRConfig)
class SNRTrans(MultiTask):
    """Levels of sub-networks, then a tower a task, with coded connections from each to the next.

    Every connection has a matrix (Ma et al. 2019, SNR-Trans).
    """

    transforms: ClassVar[bool] = True

    def __init__(self, config: SNRConfig, schema: Schema) -> None:
        super().__init__(config, schema, config.units)
        count, units = config.subnetworks, config.units
        sizes = [self.inputs.size, *[units] * (config.levels - 1)]
        self.levels = nn.ModuleList(
            GroupedHidden(count, size, units, dropout=config.dropout) for size in sizes
        )
        upper = [*[count] * (config.levels - 1), len(self.tasks)]
        self.connections = nn.ModuleList(
            Transformations(k, count, units) if self.transforms else Averages(k, count)
            for k in upper
        )

    def representations(self, x: Tensor) -> Tensor:
        v = x[None]
        for level, connections in zip(self.levels, self.connections, strict=True):
            v = connections(level(v))
        return v

    def total_loss(self, label_losses: Tensor) -> Tensor:
        """Those of the labels, plus the price of open connections."""
        codes = [module for module in self.modules() if isinstance(module, HardConcrete)]
        expected = torch.stack([code.expected_open() for code in codes]).sum()
        return super().total_loss(label_losses) + self.config.sparsity * expected


@register("snr_aver", SNRConfig)
class SNRAver(SNRTrans):
    """Coded connections with the identity in place of the matrix (Ma et al. 2019, SNR-Aver)."""

    transforms = False
