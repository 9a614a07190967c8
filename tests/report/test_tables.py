from __future__ import annotations

import io
import re

import pytest

from common.units import format_bytes
from ensemble.choice import Choice, Scores
from ensemble.combination import Combination
from report.show import show
from report.tables import print_table


def test_a_choice_says_how_its_combinations_were_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = Scores(
        gap=0.8,
        exact=True,
        error=0.0123,
        flat_gap=0.7,
        flat_exact=False,
        flat_error=0.0125,
        gain_error=0.00042,
    )
    families = {
        "rnn": Combination(("gru", "lstm"), 0.75, 0.01, exact=True, scored=10, exhaustive=True),
        "netvlad": Combination(("a", "b"), 0.7, 0.02, exact=False, scored=1885, exhaustive=False),
    }
    show(Choice(families, {"gru": 0.25, "a": 0.75}, "random", 100, scores, scores))
    first, second, *rows = capsys.readouterr().out.splitlines()
    assert first == "teacher rnn: gru, lstm (search GAP 0.75000 +- 0.01000, best of 10)"
    assert second == (
        "teacher netvlad: a, b (search GAP 0.70000 +- 0.02000 (not proven exact), "
        "best of 1,885, grown from the best smaller ones)"
    )
    assert rows[-2:] == [
        "GAP on report: searched 0.80000 +- 0.01230",
        "  against flat, 0.70000 +- 0.01250 (not proven exact): +0.1000 +- 0.0004",
    ]


def test_a_score_stands_beside_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    show({"gap": 0.71234567, "videos": 739, "gap_error": 0.0101, "own": 0.5})
    assert capsys.readouterr().out.splitlines() == [
        "gap         0.7123457 +- 0.01010",
        "videos      739",
        "own         0.5000000",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("width", "parts"), [(50, 2), (80, 1), (30, 4)])
def test_a_table_says_all_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, parts: int
) -> None:
    rows = [
        {"member": name, "family": "netvlad", "bytes": 1_712_345, "teacher": 0.62345}
        | {"averaged": 0.62488, "student": 0.646, "8 bits": 0.64592, "weight": 0.111}
        for name in ("vlad-8", "bag-gated")
    ]
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    print_table(rows, {"bytes": format_bytes})
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    found = dict.fromkeys(("vlad-8", "bag-gated"), "")
    for line in lines:
        name, _, rest = line.partition(" ")
        found[name] = f"{found.get(name, '')} {rest}"
    assert len([line for line in lines if line.startswith("member")]) == parts
    for name in ("vlad-8", "bag-gated"):
        said = " ".join(found[name].split())
        assert said == "netvlad 1.7 MB 0.62345 0.62488 0.64600 0.64592 0.11100"
