"""The benchmark of whole trainings trains, in processes of its own."""

from __future__ import annotations

from benchmarks import training_whole


def test_whole_trainings_are_held_against_their_steps() -> None:
    table = training_whole.measure(
        ("length",), clips=40, steps=1, rounds=1, processes=1, batch_size=8
    )
    assert list(table.index) == ["length"]
    steps, whole, share = (float(table[name].iloc[0]) for name in ("steps", "whole", "share"))
    assert steps > 0 and whole > 0
    assert abs(share - whole / steps) < 1e-9
