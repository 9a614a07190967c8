"""The benchmark of whole trainings trains, in processes of its own."""

from __future__ import annotations

from benchmarks import training_whole


def test_whole_trainings_are_held_against_their_steps() -> None:
    table = training_whole.measure(
        ("length",), clips=40, steps=1, rounds=1, processes=1, batch_size=8
    )
    (row,) = table.itertuples()
    assert row.Index == "length"
    assert row.steps > 0 and row.whole > 0
    assert abs(row.share - row.whole / row.steps) < 1e-9
