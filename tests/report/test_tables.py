from __future__ import annotations

import pytest

from ensemble.choice import Choice, Scores
from ensemble.combination import Combination
from report import show


def test_a_choice_says_how_its_combinations_were_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = Scores(gap=0.8, exact=True, flat_gap=0.7, flat_exact=False)
    families = {
        "rnn": Combination(("gru", "lstm"), 0.75, exact=True, scored=10, exhaustive=True),
        "netvlad": Combination(("a", "b"), 0.7, exact=False, scored=1885, exhaustive=False),
    }
    show(Choice(families, {"gru": 0.25, "a": 0.75}, "random", 100, scores, scores))
    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert first == "teacher rnn: gru, lstm (search GAP 0.75000, best of 10)"
    assert second == (
        "teacher netvlad: a, b (search GAP 0.70000 (not proven exact), "
        "best of 1,885, grown from the best smaller ones)"
    )
    assert last == "GAP on report: searched 0.80000, flat 0.70000 (not proven exact)"
