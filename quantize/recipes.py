"""Recipes: at which precision a member's large tensors are stored, all alike or some apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from families import FamilyModule
from families.layers.groups import MEMORY, tensor_groups
from families.size import is_large
from quantize.precision import UNIFORM8, get_precision


@dataclass(frozen=True)
class Recipe:
    """How a member is stored.

    Attributes:
        name: Such as `uniform8`, `uniform8+head=channel4`, or `mixed1`.
        precision: Of its large tensors.
        overrides: By name, the precisions of those that have one of their own.
    """

    name: str
    precision: str
    overrides: Mapping[str, str] = field(default_factory=dict)

    def of(self, tensor: str) -> str:
        """The precision of a large tensor."""
        return self.overrides.get(tensor, self.precision)


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
    of = tensor_groups(model)
    groups: dict[str, list[str]] = {}
    for name in large_tensors(model, threshold):
        groups.setdefault(of[name], []).append(name)
    if MEMORY in groups:
        precisions = memory_precisions
    recipes = [Recipe(name, name) for name in dict.fromkeys([UNIFORM8, *precisions])]
    for group, names in groups.items() if len(groups) > 1 else ():
        for apart in group_precisions:
            overrides = dict.fromkeys(names, apart)
            recipes.append(Recipe(f"{UNIFORM8}+{group}={apart}", UNIFORM8, overrides))
    return tuple(recipes)


def tried_one_by_one(
    model: FamilyModule, precisions: Sequence[str], threshold: int
) -> list[tuple[str, str]]:
    """Single tensors, each with the precisions among which mixed recipes choose.

    Args:
        model: As in `recipes_of`, and so is the threshold.
        precisions: Tried beside `uniform8`. Without any, with one large tensor, or of a member that
            remembers there is nothing to mix.
    """
    large = large_tensors(model, threshold)
    if not precisions or len(large) < 2 or MEMORY in tensor_groups(model).values():
        return []
    return list(product(large, dict.fromkeys([UNIFORM8, *precisions])))


def large_tensors(model: FamilyModule, threshold: int) -> list[str]:
    """The names of those that are stored as codes."""
    state = model.state_dict().items()
    return [name for name, t in state if t.is_floating_point() and is_large(t.shape, threshold)]
