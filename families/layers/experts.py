"""Groups of layers of one size, computed as one: experts, sub-networks and towers side by side."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from families.layers.dropout import Dropout


class GroupedLinear(nn.Module):
    """A linear map a group."""

    def __init__(self, groups: int, size: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, size, units))
        # Flat, so that weight decay takes it for what it is.
        self.bias = nn.Parameter(torch.zeros(groups * units))
        nn.init.normal_(self.weight, std=math.sqrt(2 / size))

    def forward(self, x: Tensor) -> Tensor:
        """(G, B, D), or (1, B, D) that all groups share, to (G, B, U)."""
        groups, _, units = self.weight.shape
        bias = self.bias.view(groups, 1, units)
        return torch.baddbmm(bias, x.expand(groups, -1, -1), self.weight)


class GroupedHidden(nn.Sequential):
    """A hidden layer a group: linear, ReLU, dropout; (G or 1, B, D) to (G, B, U)."""

    def __init__(self, groups: int, size: int, units: int, *, dropout: float) -> None:
        super().__init__(GroupedLinear(groups, size, units), nn.ReLU(), Dropout(dropout))


def grouped_layers(groups: int, sizes: Sequence[int], *, dropout: float) -> nn.Sequential:
    """The hidden layers from each size to the next."""
    return nn.Sequential(
        *(GroupedHidden(groups, *pair, dropout=dropout) for pair in pairwise(sizes))
    )


class Experts(nn.Module):
    """n experts a group, each a hidden layer of U units on its group's input."""

    def __init__(self, groups: int, experts: int, size: int, units: int, *, dropout: float) -> None:
        super().__init__()
        self.num_experts = experts
        # Experts of one input are columns of one matrix.
        self.hidden = GroupedHidden(groups, size, experts * units, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(G, B, D) or (1, B, D) to (G, B, n, U)."""
        return self.hidden(x).unflatten(2, (self.num_experts, -1))


class Gates(nn.Module):
    """softmax(W x), a gate a group: how much of every expert it takes."""

    def __init__(self, groups: int, size: int, experts: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, size, experts))
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))

    def forward(self, x: Tensor) -> Tensor:
        """(G, B, D), or (1, B, D) that all gates share, to shares (G, B, n)."""
        return torch.softmax(torch.matmul(x, self.weight), dim=-1)
