"""Exponential moving average of a model's weights (Skalic & Austin 2018, section 4.1)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """A shadow of a model's parameters and buffers that follows them.

    Batch-norm statistics are averaged too: those of the last steps fit the last weights only.
    torch's `AveragedModel` would average integers as well and cut off what follows the point, so
    that an index that never changes falls.

    Args:
        model: the model to follow; the shadow starts at its weights.
        decay: the share of itself that the shadow keeps at a step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._tensors = weights_of(model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Moves the shadow one step towards the model's weights; integers are copied."""
        state = model.state_dict()
        names = [k for k, v in self._tensors.items() if v.is_floating_point()]
        shadow = [self._tensors[k] for k in names]
        torch._foreach_lerp_(shadow, [state[k] for k in names], 1.0 - self._decay)
        for key, tensor in self._tensors.items():
            if not tensor.is_floating_point():
                tensor.copy_(state[key])

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged state, by the model's names."""
        return self._tensors

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes up a shadow from a checkpoint."""
        for key, tensor in self._tensors.items():
            tensor.copy_(state[key])


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's state."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@contextmanager
def carrying(model: nn.Module, average: WeightAverage | None) -> Iterator[None]:
    """The model with averaged weights, if there are any; it has its own again afterwards."""
    if average is None:
        yield
        return
    own = weights_of(model)
    model.load_state_dict(average.state_dict())
    try:
        yield
    finally:
        model.load_state_dict(own)
