"""Which recipes are offered, against every pair of them."""

from __future__ import annotations

import numpy as np

from quantize.precision import UNIFORM8
from quantize.selection.offer import worth_offering


def test_no_recipe_is_offered_that_another_beats() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        names = [UNIFORM8, *(f"mixed{number}" for number in range(7))]
        # Few values: many are equal.
        scores = dict(zip(names, generator.integers(0, 6, 8) / 6, strict=True))
        stored = dict(zip(names, generator.integers(1, 6, 8).tolist(), strict=True))
        offered = worth_offering(scores, stored)
        assert UNIFORM8 in offered and offered == [name for name in names if name in offered]
        for name in names:
            rivals = [
                rival
                for rival in offered
                if rival != name and scores[rival] >= scores[name] and stored[rival] <= stored[name]
            ]
            assert bool(rivals) == (name not in offered) or name == UNIFORM8
