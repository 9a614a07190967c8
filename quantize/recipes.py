"""Recipes: at which precision a member's large tensors are stored, all alike or one group apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from families import FamilyModule
from families.layers.groups import MEMORY, tensor_groups
from families.size import is_large
from quantize.precision import UNIFORM8, get_precision


@dataclass(frozen=True)
class Recipe:
    """How a member is stored.

    Attributes:
        precision: Of its large tensors.
        group: Those that have a precision of their own: "head", "recurrent" or "aggregation".
        apart: Their precision.
    """

    precision: str
    group: str | None = None
    apart: str | None = None

    @property
    def name(self) -> str:
        """Such as `uniform8`, or `uniform8+head=channel4`."""
        return (
            self.precision if self.group is None else f"{self.precision}+{self.group}={self.apart}"
        )

    def overrides(self, groups: Mapping[str, str]) -> dict[str, str]:
        """The precisions of single tensors, from the tensors' groups."""
        if self.apart is None:
            return {}
        return {name: self.apart for name, group in groups.items() if group == self.group}


def check_precisions(names: Sequence[str]) -> None:
    """Makes sure that there are precisions of these names.

    Raises:
        BundleError: There is one that is not.
    """
    for name in names:
        get_precision(name)


def recipes_of(
    model: FamilyModule,
    precisions: Sequence[str],
    group_precisions: Sequence[str],
    threshold: int,
    memory_precisions: Sequence[str] = (),
) -> tuple[Recipe, ...]:
    """The recipes to measure a member at, the winners' `uniform8` always first.

    Args:
        model: The member's module; on the meta device will do.
        precisions: Tried on all its large tensors.
        group_precisions: Tried on one group of them at a time, the others being at `uniform8`.
        threshold: Elements up to which a tensor is not large.
        memory_precisions: Tried, in the place of all these, on a member that remembers.
    """
    groups = tensor_groups(model)
    state = model.state_dict().items()
    large = dict.fromkeys(groups[name] for name, t in state if is_large(t.shape, threshold))
    if MEMORY in large:
        precisions = memory_precisions
    whole = [Recipe(precision) for precision in dict.fromkeys([UNIFORM8, *precisions])]
    if len(large) < 2:
        return tuple(whole)
    return (*whole, *(Recipe(UNIFORM8, *apart) for apart in product(large, group_precisions)))
