"""Mixed recipes: each tensor at a precision of its own, coarser where that costs least a byte."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from quantize.precision import UNIFORM8
from quantize.recipes import Recipe

RUNGS = 6


@dataclass(frozen=True)
class Form:
    """A tensor at a precision: its bytes, and what the model loses by it."""

    tensor: str
    precision: str
    bytes: int
    loss: float


def mixed_recipes(forms: Iterable[Form]) -> list[Recipe]:
    """`RUNGS` recipes, `mixed1` the largest, evenly spaced in the logarithm of their bytes.

    Losses are taken to add up. From every tensor in its largest form, the step to a smaller one
    that loses least a byte saved comes first, until all are at their smallest; a rung is the first
    state with no more than its bytes, behind that of the rung before as long as there is one. The
    steps lie on each tensor's lower convex hull, so that no other choice of as many bytes would
    lose less (Shoham & Gersho 1988).

    Args:
        forms: Of every tensor those to choose from.
    """
    by_tensor: dict[str, list[Form]] = {}
    for form in forms:
        by_tensor.setdefault(form.tensor, []).append(form)
    states = list(_states([_hull(own) for own in by_tensor.values()]))
    sizes = [sum(form.bytes for form in state.values()) for state in states]
    recipes, place = [], -1
    for rung in range(1, RUNGS + 1):
        target = sizes[0] * (sizes[-1] / sizes[0]) ** (rung / (RUNGS + 1))
        first = next(number for number, size in enumerate(sizes) if size <= target)
        place = max(first, min(place + 1, len(states) - 1))
        overrides = {name: form.precision for name, form in states[place].items()}
        recipes.append(Recipe(f"mixed{rung}", UNIFORM8, overrides))
    return recipes


def _hull(forms: Sequence[Form]) -> list[Form]:
    """From the largest form to the smallest, those at which the loss a byte saved rises."""
    best = {form.bytes: form for form in sorted(forms, key=lambda form: -form.loss)}
    hull: list[Form] = []
    for form in sorted(best.values(), key=lambda form: -form.bytes):
        while hull and form.loss <= hull[-1].loss:
            hull.pop()
        while len(hull) > 1 and _price(hull[-2], hull[-1]) >= _price(hull[-1], form):
            hull.pop()
        hull.append(form)
    return hull


def _states(hulls: Sequence[Sequence[Form]]) -> Iterator[dict[str, Form]]:
    """The choices from the largest to the smallest, each a step of one tensor from the last."""
    state = {hull[0].tensor: hull[0] for hull in hulls}
    yield dict(state)
    steps = [step for hull in hulls for step in pairwise(hull)]
    for _, smaller in sorted(steps, key=lambda step: _price(*step)):
        state[smaller.tensor] = smaller
        yield dict(state)


def _price(larger: Form, smaller: Form) -> float:
    """What a step loses for each byte that it saves."""
    return (smaller.loss - larger.loss) / (larger.bytes - smaller.bytes)
