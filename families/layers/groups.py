"""The part of a model that a tensor belongs to: head, recurrent layers, memory, or the rest."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

HEAD, RECURRENT, AGGREGATION = "head", "recurrent", "aggregation"
MEMORY = "memory"

Layer = TypeVar("Layer", bound=type[nn.Module])

_GROUPS: dict[type[nn.Module], str] = {nn.RNNBase: RECURRENT}


def in_group(name: str) -> Callable[[Layer], Layer]:
    """Says of the decorated layer that its tensors, and those of what is in it, are of a group."""

    def add(layer: Layer) -> Layer:
        _GROUPS[layer] = name
        return layer

    return add


def tensor_groups(model: nn.Module) -> dict[str, str]:
    """By the name of a tensor its group; that of the innermost layer that has one."""
    groups = dict.fromkeys(model.state_dict(), AGGREGATION)
    for prefix, module in model.named_modules():
        for layer, name in _GROUPS.items():
            if isinstance(module, layer):
                groups |= {f"{prefix}.{tensor}": name for tensor in module.state_dict()}
    return groups
