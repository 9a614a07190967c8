"""What a study takes by trial where nothing is trained."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import fmean

import pandas as pd

from benchmarks.tuning.server import running
from families import list_families
from tune.config import TuneConfig
from tune.samplers import Scored
from tune.space import family_space
from tune.storage import Heartbeats, StudyStorage
from tune.study import MemberStudy, StudySetting

EVALUATIONS = 8


def measure(trials: int, family: str = "perceptron") -> pd.DataFrame:
    """Milliseconds by trial on SQLite and on PostgreSQL, on the clock and of this process's core.

    Of all trials and of the last hundred, each with eight scores on its way.
    """
    assert family in list_families()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        rows["SQLite"] = _milliseconds(Path(folder), None, trials, family)
    with tempfile.TemporaryDirectory() as folder, running() as server:
        rows["PostgreSQL"] = _milliseconds(Path(folder), server.url, trials, family)
    return pd.DataFrame(rows).T


def _milliseconds(folder: Path, url: str | None, trials: int, family: str) -> dict[str, float]:
    storage = StudyStorage(folder, url, heartbeat_seconds=30)
    space = family_space(family)
    setting = StudySetting("overhead", space, {}, 0, "benchmark")
    config = TuneConfig(trials=trials, storage=url)
    took, computed = [], []
    with Heartbeats(storage) as heartbeats:
        study = MemberStudy(storage, setting, config, heartbeats, lambda values: None)
        while True:
            began, before = time.perf_counter(), time.process_time()
            asked = study.ask()
            if asked is None:
                break
            _train(study, asked.number, float(asked.values["train.learning_rate"]))
            took.append(1000 * (time.perf_counter() - began))
            computed.append(1000 * (time.process_time() - before))
    storage.close()
    return {
        "mean": fmean(took),
        "last hundred": fmean(took[-100:]),
        "mean, of the core": fmean(computed),
        "last hundred, of the core": fmean(computed[-100:]),
    }


def _train(study: MemberStudy, number: int, rate: float) -> None:
    """Scores that a training could have on its way, and what it ends with."""
    for step in range(1, EVALUATIONS + 1):
        if study.report(number, Scored(step, EVALUATIONS, step / EVALUATIONS - rate)):
            study.prune(number)
            return
    study.tell(number, [1 - rate])
