"""In which precision a bundle's members compute; how their weights are stored is another matter."""

import torch
from torch import nn

from families import FamilyModule
from families.layers.experts import GroupedLinear
from families.layers.gating import ContextGating

# Modules whose weight is the factor of a matrix product, and nothing else.
_FACTORS = (nn.Linear, ContextGating, GroupedLinear)


def in_bfloat16(module: FamilyModule) -> None:
    """Makes a module ready to compute under autocast, as fast as it can.

    Autocast would round all weights anew for every batch, which takes longer than the products of a
    small one. What is no factor of a product (norms, centers, memories) stays float32.
    """
    for part in module.modules():
        if isinstance(part, _FACTORS):
            part.weight = nn.Parameter(part.weight.to(torch.bfloat16), requires_grad=False)
        elif isinstance(part, nn.RNNBase):
            # At each of its steps. Of weights that want a gradient autocast keeps what it rounded,
            # for as long as a batch takes.
            part.requires_grad_(True)
