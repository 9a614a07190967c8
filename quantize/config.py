"""How students may be stored, what they may take, and what else is put into the bundle."""

from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from common.errors import ConfigError
from common.tensors import THRESHOLD

# A clip that takes an hour is beyond any use.
Milliseconds = Annotated[float, Gt(0), Le(3_600_000)]


@dataclass(frozen=True)
class QuantizeConfig:
    """What stage `pack` may choose among.

    A student is measured with all its large tensors at one precision, for each of `precisions`;
    at `uniform8` with one group of its tensors (head, recurrent, aggregation) at one of
    `group_precisions`; and by mixed recipes, in which each tensor has a precision of its own among
    `tensor_precisions` and `uniform8`. Of one that remembers clips those of `memory_precisions`
    take the place of all these.

    Attributes:
        threshold: Tensors of more elements are large; the others stay float32.
        precisions: Names of precisions; `uniform8` is always one.
        group_precisions: Names of precisions.
        tensor_precisions: Names of precisions; without any there are no mixed recipes.
        memory_precisions: Names of precisions.
        entropy: Whether the bundle's codes are compressed.
    """

    threshold: Annotated[int, Ge(0)] = THRESHOLD
    precisions: tuple[str, ...] = ("channel4", "channel5", "channel6", "float16", "float32")
    group_precisions: tuple[str, ...] = ("channel4",)
    tensor_precisions: tuple[str, ...] = ("channel4", "kmeans3", "kmeans2")
    memory_precisions: tuple[str, ...] = ("quantile1", "quantile2", "quantile4")
    entropy: bool = False

    def names(self) -> list[str]:
        """Of all precisions that may be measured."""
        lists = (self.precisions, self.group_precisions, self.tensor_precisions)
        return list(dict.fromkeys(chain(*lists, self.memory_precisions)))


@dataclass(frozen=True)
class LimitConfig:
    """What a bundle may take beside its bytes.

    Attributes:
        milliseconds: Of a clip, in all its members together, on one thread of the machine that
            packs, or on its GPU. Of several the bundle keeps to the first, and a curve is traced
            within each. None: they are neither limited nor measured.
        batch: Clips that are computed at once.
    """

    milliseconds: Milliseconds | tuple[Milliseconds, ...] | None = None
    batch: Literal[1, 64] = 1

    def __post_init__(self) -> None:
        each = self.each
        if self.milliseconds is not None and (not each or len(set(each)) < len(each)):
            raise ConfigError(
                f"limit.milliseconds: {list(each)}; give one limit such as 2.5, or several that "
                "differ, [2.5,10]"
            )

    @property
    def each(self) -> tuple[float, ...]:
        """All limits, the bundle's first; empty where there is none."""
        given = self.milliseconds
        if given is None:
            return ()
        return given if isinstance(given, tuple) else (given,)


@dataclass(frozen=True)
class WantedPrecision:
    """The share of the clips with a tag that ought to have the label."""

    precision: Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True)
class PackConfig:
    """What goes into a bundle beside its members.

    Attributes:
        thresholds: By what a threshold is chosen for each label: its best F1, a precision, or
            `none` are chosen.
    """

    thresholds: Literal["f1", "none"] | WantedPrecision = "f1"

    @property
    def wanted_precision(self) -> float | None:
        """That of each label; None for its best F1."""
        wanted = self.thresholds
        return wanted.precision if isinstance(wanted, WantedPrecision) else None
