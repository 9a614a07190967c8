"""What a member is: a model of the ensemble, or several that differ in one thing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from common.codec import Positive
from common.errors import ConfigError
from common.problems import quoted
from runs import ResourceConfig


@dataclass(frozen=True)
class MemberConfig:
    """One model of the ensemble: a family, its hyperparameters, and how it is trained.

    Or several. `grid` has values by hyperparameter, and there is a model for each combination of
    them, called by the values: `wide` with `{hidden: [[512], [1024, 1024]]}` is `wide-512` and
    `wide-1024x1024`. `copies` are alike but for their seeds: `wide`, `wide-2`, `wide-3`.
    """

    family: str
    config: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    copies: Positive = 1
    grid: dict[str, list[Any]] = field(default_factory=dict)
    resources: ResourceConfig = field(default_factory=ResourceConfig)

    def spread(self, name: str) -> Iterator[tuple[str, MemberConfig]]:
        """The models that a member of this name stands for, each with a name of its own."""
        for values in product(*self.grid.values()):
            config = {**self.config, **dict(zip(self.grid, values, strict=True))}
            one = "-".join((name, *map(_value_name, values)))
            for copy in range(1, self.copies + 1):
                own = replace(self, config=config, copies=1, grid={})
                yield (one if copy == 1 else f"{one}-{copy}"), own


def spread_members(members: Mapping[str, MemberConfig]) -> dict[str, MemberConfig]:
    """All members by name, copies and grids written out.

    Raises:
        ConfigError: a grid has a hyperparameter without values, or two members one name.
    """
    found: dict[str, MemberConfig] = {}
    origin: dict[str, str] = {}
    for name, member in members.items():
        empty = [key for key, values in member.grid.items() if not values]
        if empty:
            raise ConfigError(f"members.{name}.grid.{empty[0]}: no values; give some or none")
        for one, own in member.spread(name):
            if one in found:
                raise ConfigError(
                    f"members.{name}: there are two members {quoted(one)}, one of them of members."
                    f"{origin[one]}; rename either"
                )
            found[one], origin[one] = own, name
    return found


def _value_name(value: Any) -> str:
    """What of a model's name says a hyperparameter's value: `0.4`, `gelu`, `1024x1024`."""
    parts = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list | tuple):
        return "x".join(map(_value_name, parts))
    return re.sub(r"[^A-Za-z0-9._+-]", "_", str(value))
