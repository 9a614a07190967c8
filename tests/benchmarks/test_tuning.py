"""The command line of `python -m benchmarks.tuning`."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.tuning import comparisons
from benchmarks.tuning.__main__ import main


def test_overrides_stand_behind_two_dashes(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def workers(*given: object) -> pd.DataFrame:
        called.append(given)
        return pd.DataFrame({"trials": [1]})

    monkeypatch.setattr(comparisons, "workers", workers)
    options = ["workers", "audioset", "--minutes", "3", "--outputs", "place"]
    assert main([*options, "--", "data.root=/path", "tune.members=[deep]"]) == 0
    limits = ["tune.trials=100000", "tune.minutes=3.0"]
    given = ["data.root=/path", "tune.members=[deep]"]
    assert called == [("audioset", Path("place"), [*limits, *given])]
