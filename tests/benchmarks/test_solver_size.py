"""The solver at size, on a few clips: what is generated is what a run stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.solver_size import RECIPES, STORED, generate, measure
from runs import Predictions


def test_what_is_generated_is_sound(tmp_path: Path) -> None:
    generate(tmp_path, 30, 2, 401)
    paths = sorted(tmp_path.glob("*.safetensors"))
    assert len(paths) == 2 * len(RECIPES)
    # Loading refuses labels that stand twice, log-odds that rise, and wrong bounds.
    found = [Predictions.load(path) for path in paths]
    assert {own.stored for own in found} == {STORED} and {len(own) for own in found} == {30}
    assert len({own.digest for own in found}) == len(found)
    assert all(np.array_equal(own.ids, found[0].ids) for own in found)


def test_it_is_solved_under_the_budget() -> None:
    figures = measure(60, 3, 401)
    assert figures["clips"] == 60 and 0 < figures["gap"] < 1
    assert 0 < figures["size"] <= 2**30 and figures["peak"] > figures["imported"]
