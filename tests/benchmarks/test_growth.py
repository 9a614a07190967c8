"""The pieces whose growth is measured all run, and have their figures."""

from __future__ import annotations

from benchmarks.growth import measure, table


def test_every_piece_has_its_figures() -> None:
    found = table(measure((1, 2), clips_a_shard=40))
    assert list(found) == ["1: s", "2: s", "1: MB", "2: MB"]
    assert len(found) == 7
    assert (found > 0).all(axis=None)
