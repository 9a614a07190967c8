"""How students may be stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge


@dataclass(frozen=True)
class QuantizeConfig:
    """How students may be stored; stage `pack` chooses among it.

    Tensors of more elements than `threshold` are quantized. A student is measured at every one of
    `precisions`, and at `uniform8` with one group of its tensors (head, recurrent, aggregation) at
    one of `group_precisions`. `entropy` compresses the codes of the bundle.
    """

    threshold: Annotated[int, Ge(0)] = 17_000
    precisions: tuple[str, ...] = ("channel4", "channel5", "channel6", "float16", "float32")
    group_precisions: tuple[str, ...] = ("channel4",)
    entropy: bool = False
