"""What a model's linear layers are given: second moments of their inputs on real clips."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from families import FamilyModule
from records import Split, iterate_batches
from training.device import device_of

# The moments of wider layers would take more memory than they are worth: 128 MiB each up to here.
MOST_INPUTS = 4096
# A clip of means is one input of a layer, of frames it is as many; with fewer inputs than these,
# errors on other clips grow.
CLIPS = {"video": 4096, "frame": 512}


def drawn(split: Split, count: int) -> Split:
    """Up to so many of its clips, always the same."""
    generator = np.random.default_rng(0)
    rows = generator.choice(len(split), min(count, len(split)), replace=False)
    return split.select(np.sort(rows))


@torch.inference_mode()
def input_moments(
    model: FamilyModule, split: Split, batch_size: int, wanted: Collection[str]
) -> dict[str, Tensor]:
    """The sum of x x^T over the inputs x of each linear layer, on clips drawn from a split.

    Args:
        model: On its device; it is left in evaluation mode.
        split: Clips to draw from.
        batch_size: Clips a forward pass where they have no frames; otherwise they come one by one,
            without padding.
        wanted: Names of weights of the model.

    Returns:
        By the name of the weight, float64 (inputs, inputs) on the CPU. None of those that
        `functional.linear` is never given as they are, that have more than `MOST_INPUTS` inputs, or
        whose moments are not finite.
    """
    model.eval()
    names: dict[Tensor, str] = {
        parameter: name
        for name, parameter in model.named_parameters()
        if name in wanted and parameter.dim() == 2 and parameter.shape[1] <= MOST_INPUTS
    }
    watched, device = _LinearInputs(names), device_of(model)
    level = split.schema.level
    size = batch_size if level == "video" else 1
    for batch in iterate_batches(drawn(split, CLIPS[level]), size) if names else ():
        batch = batch.to(device)
        with watched:
            model(batch.features, batch.mask)
    return {name: found.cpu() for name, found in watched.moments.items() if found.isfinite().all()}


class _LinearInputs(TorchFunctionMode):
    """Sees every call of `functional.linear`, be it a layer's or a family's own."""

    def __init__(self, names: Mapping[Tensor, str]) -> None:
        super().__init__()
        self._names = names
        self.moments: dict[str, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is functional.linear and args[1] in self._names:
            self._add(self._names[args[1]], args[0])
        return func(*args, **(kwargs or {}))

    def _add(self, name: str, inputs: Tensor) -> None:
        rows = inputs.flatten(0, -2).double()
        if name not in self.moments:
            self.moments[name] = rows.new_zeros(rows.shape[1], rows.shape[1])
        self.moments[name].addmm_(rows.t(), rows)
