"""How students may be stored."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from families.size import THRESHOLD


@dataclass(frozen=True)
class QuantizeConfig:
    """What stage `pack` may choose among.

    A student is measured with all its large tensors at one precision, for each of `precisions`;
    and at `uniform8` with one group of its tensors (head, recurrent, aggregation) at one of
    `group_precisions`. Of one that remembers clips those of `memory_precisions` take the place of
    both.

    Attributes:
        threshold: Tensors of more elements are large; the others stay float32.
        precisions: Names of precisions; `uniform8` is always one.
        group_precisions: Names of precisions.
        memory_precisions: Names of precisions.
        entropy: Whether the bundle's codes are compressed.
    """

    threshold: Annotated[int, Ge(0)] = THRESHOLD
    precisions: tuple[str, ...] = ("channel4", "channel5", "channel6", "float16", "float32")
    group_precisions: tuple[str, ...] = ("channel4",)
    memory_precisions: tuple[str, ...] = ("quantile1", "quantile2", "quantile4")
    entropy: bool = False
