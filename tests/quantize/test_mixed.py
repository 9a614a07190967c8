"""Mixed recipes against every choice that there is."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from families import build
from quantize.mixed import RUNGS, Form, mixed_recipes
from quantize.recipes import tried_one_by_one
from tests.conftest import SMALL_MEANS

FORMS = st.lists(
    st.lists(
        st.tuples(st.integers(1, 1000), st.floats(0, 10)), min_size=1, max_size=4, unique=True
    ),
    min_size=1,
    max_size=4,
)


def forms_of(drawn: list[list[tuple[int, float]]]) -> list[Form]:
    return [
        Form(f"t{tensor}", f"p{number}", size, loss)
        for tensor, own in enumerate(drawn)
        for number, (size, loss) in enumerate(own)
    ]


@given(FORMS)
def test_no_other_choice_of_as_many_bytes_loses_less(drawn: list[list[tuple[int, float]]]) -> None:
    forms = forms_of(drawn)
    by_name = {(form.tensor, form.precision): form for form in forms}
    choices = list(product(*(range(len(own)) for own in drawn)))
    totals = [
        tuple(sum(drawn[t][n][part] for t, n in enumerate(choice)) for part in (0, 1))
        for choice in choices
    ]
    recipes = mixed_recipes(forms)
    assert [recipe.name for recipe in recipes] == [f"mixed{n}" for n in range(1, RUNGS + 1)]
    before = float("inf")
    for recipe in recipes:
        assert recipe.overrides.keys() == {form.tensor for form in forms}
        chosen = [by_name[key] for key in recipe.overrides.items()]
        size, loss = sum(form.bytes for form in chosen), sum(form.loss for form in chosen)
        assert size < before or size == min(size for size, _ in totals)
        before = size
        least = min(other for other_size, other in totals if other_size <= size)
        assert loss == pytest.approx(least, rel=1e-9, abs=1e-9)


def test_rungs_are_evenly_spaced() -> None:
    # Of many tensors alike, so that every size can be met.
    forms = forms_of([[(8, 1.0), (1, 5.0)]] * 500)
    for rung, recipe in enumerate(mixed_recipes(forms), start=1):
        size = sum(8 if precision == "p0" else 1 for precision in recipe.overrides.values())
        assert size == pytest.approx(4000 * 8 ** (-rung / (RUNGS + 1)), rel=0.02)


def test_what_is_tried_one_by_one() -> None:
    model = build("perceptron", {"hidden": [6, 6]}, SMALL_MEANS)
    large = ["hidden.0.layers.0.weight", "classifier.head.classifier.linear.weight"]
    tried = tried_one_by_one(model, ["kmeans2", "uniform8"], 36)
    assert sorted(tried) == sorted(product(large, ["uniform8", "kmeans2"]))
    assert tried_one_by_one(model, [], 30) == []
    assert tried_one_by_one(model, ["kmeans2"], 100) == []
    memory = build("neighbors", {"clips": 20}, SMALL_MEANS)
    assert tried_one_by_one(memory, ["kmeans2"], 5) == []
