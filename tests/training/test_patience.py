"""Early stopping: when a first phase ends, what it comes to, and that a kill changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from common.codec import from_plain
from common.errors import ConfigError
from records import Split
from tests.training.small import TRAIN, StopsAt, same, small_trainer
from tests.training.test_evaluation import evaluations
from training.config import TrainConfig
from training.evaluation import Evaluation
from training.log import METRICS_NAME
from training.objective import HardLabels
from training.stop import Interrupted
from training.trained import Trained

PER_EPOCH = 5
# Rates at which it soon learns by heart.
PATIENT = replace(
    TRAIN,
    epochs=20,
    learning_rate=0.1,
    decay=0.97,
    averaging_epochs=0.8,
    evaluate_every=0.4,
    patience=1.2,
    # Rarely, but for a kill: what is written to a disk takes longer than a step.
    checkpoint_seconds=1e9,
)


def train(
    split: Split,
    folder: Path,
    search: Split | None,
    config: TrainConfig = PATIENT,
    objective: HardLabels | None = None,
    stop: float | None = None,
) -> Trained:
    evaluation = Evaluation(search, 60, folder) if search else None
    options = {"evaluation": evaluation, "stop": stop}
    return small_trainer(split, folder, config, objective, **options).run()


def expected(lines: list[dict[str, Any]], patience: float) -> tuple[int, int | None]:
    """The best step of the first phase and where it ends, by a plain loop over its scores."""
    best_step, best_gap = 0, -1.0
    for line in lines:
        if line["phase"] == "main":
            if line["search"]["gap"] > best_gap:
                best_step, best_gap = line["step"], line["search"]["gap"]
            elif line["step"] - best_step >= patience * PER_EPOCH:
                return best_step, line["step"]
    return best_step, None


def last_rate(folder: Path) -> float:
    lines = (folder / METRICS_NAME).read_text().splitlines()
    return [line["learning_rate"] for line in map(json.loads, lines) if "loss" in line][-1]


@dataclass(frozen=True)
class Stopped:
    """A training whose first phase ended early, with its scores, and what these say."""

    trained: Trained
    lines: list[dict[str, Any]]
    best: int
    ended: int


@pytest.fixture(scope="module")
def stopped(split: Split, search: Split, tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    folder = tmp_path_factory.mktemp("stopped")
    trained = train(split, folder, search)
    lines = evaluations(folder)
    best, ended = expected(lines, 1.2)
    assert ended is not None
    return Stopped(trained, lines, best, ended)


def test_the_first_phase_ends_when_scores_grow_no_more(stopped: Stopped) -> None:
    assert 0 < stopped.best < stopped.ended - 5 < 90
    # Of four steps of averaging two are scored.
    last = [(line["step"], line["phase"]) for line in stopped.lines[-3:]]
    assert last == [
        (stopped.ended, "main"),
        (stopped.ended + 2, "average"),
        (stopped.ended + 4, "average"),
    ]
    assert stopped.trained.steps == stopped.ended + 4
    assert not stopped.trained.shortened
    assert stopped.trained.stop == stopped.trained.epochs == pytest.approx(stopped.best / 5)


@pytest.mark.parametrize("config", [PATIENT, replace(PATIENT, schedule="one_cycle")])
def test_it_comes_to_the_weights_that_scored_best(
    config: TrainConfig, split: Split, search: Split, tmp_path: Path
) -> None:
    """They are those of a training that nobody watched, and that was told when to stop."""
    patient = train(split, tmp_path / "patient", search, config)
    best, _ = expected(evaluations(tmp_path / "patient"), 1.2)
    told = train(split, tmp_path / "told", None, config, stop=patient.stop)
    assert told.steps == best + 4
    assert same(patient.main, told.main)
    # Averaging goes on at the rate of that step; its last step is logged.
    rates = [last_rate(tmp_path / name) for name in ("told", "patient")]
    peak = 0.1 if config.schedule == "one_cycle" else 0.1 * 0.97 ** ((best - 1) // PER_EPOCH)
    assert rates == pytest.approx([peak / 5] * 2)


@pytest.mark.parametrize("moment", [3, 0, 1, 6, 8, 9])
def test_killed_it_stops_at_the_same_step_with_the_same_weights(
    moment: int, stopped: Stopped, split: Split, search: Split, tmp_path: Path
) -> None:
    """At the best step and about it, where the first phase ends, and while averaging."""
    call = stopped.best + moment if moment != 3 else 3
    saved = replace(PATIENT, checkpoint_seconds=0)
    with pytest.raises(KeyError):
        train(split, tmp_path, search, saved, StopsAt(call, KeyError("as if killed")))
    with pytest.raises(Interrupted):
        train(split, tmp_path, search, objective=StopsAt(1))
    resumed = train(split, tmp_path, search)
    assert same(resumed.main, stopped.trained.main)
    assert same(resumed.average, stopped.trained.average)
    assert (resumed.steps, resumed.stop) == (stopped.trained.steps, stopped.trained.stop)
    assert evaluations(tmp_path) == stopped.lines


def test_a_first_phase_that_takes_all_its_steps_has_its_best_weights_too(
    split: Split, search: Split, tmp_path: Path
) -> None:
    config = replace(PATIENT, epochs=6, patience=50, averaging_epochs=0)
    patient = train(split, tmp_path / "patient", search, config)
    best, ended = expected(evaluations(tmp_path / "patient"), 50)
    assert ended is None and patient.steps == 30 and patient.average is None
    assert same(patient.main, train(split, tmp_path / "told", None, config, stop=best / 5).main)


def test_patience_needs_scores() -> None:
    for never in (0, None):
        with pytest.raises(ConfigError, match=r"train: .*patience needs evaluate_every"):
            from_plain(TrainConfig, {"patience": 1, "evaluate_every": never}, "train", ConfigError)
