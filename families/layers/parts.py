"""A batch that is computed in parts: at once by several processes, or one part after another.

What a layer does with all clips of a batch, it has to do here as if they were all there: dropout
takes its clips' part of the whole batch's mask, and batch norm and the labels' losses are summed
over the processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Part:
    """The clips of a batch that are computed here and now.

    Attributes:
        start: the first of them.
        clips: of the whole batch.
        ranks: processes that compute as many clips of it each, at the same time.
    """

    start: int
    clips: int
    ranks: int = 1


# None: the whole batch.
_current: Part | None = None


@contextmanager
def computing(part: Part) -> Iterator[None]:
    """Meanwhile the layers are given this part of a batch, in every thread of this process."""
    global _current
    before, _current = _current, part
    try:
        yield
    finally:
        _current = before


def current_part() -> Part | None:
    """The part that is computed; None where it is the whole batch."""
    return _current


def ranks() -> int:
    """Processes that compute on the batch at the same time."""
    return 1 if _current is None else _current.ranks


def summed(x: Tensor) -> Tensor:
    """The sum of x over these processes; x itself where there is one.

    It has a gradient: that of the sum of all processes' losses.
    """
    return x if ranks() == 1 else _Summed.apply(x)


class _Summed(torch.autograd.Function):
    """Every process adds to every sum, so that gradients are summed as values are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _sum(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _sum(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
