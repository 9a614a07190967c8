"""A study's trials: asked, told, gone on with after a kill, and the same every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from common.errors import ConfigError
from tune.config import TuneConfig
from tune.errors import TuneError
from tune.samplers import Scored
from tune.space import Choices, Range, Space
from tune.storage import STUDIES_NAME, Heartbeats, StudyStorage
from tune.study import Asked, MemberStudy, StudySetting

SPACE: Space = {
    "config.hidden": Choices(([4], [8], [8, 8])),
    "train.rate": Range(1e-4, 1e-1, log=True),
    "config.x": Range(0.0, 1.0),
}
FIRST = {"config.hidden": [8], "train.rate": 0.01, "config.x": 5.0}


def value(values: Mapping[str, Any]) -> float:
    """What a trial scores: best where x is 0.7, and better with two layers."""
    return len(values["config.hidden"]) - (values["config.x"] - 0.7) ** 2 - values["train.rate"]


@contextmanager
def study(
    folder: Path,
    refusal: Callable[[Mapping[str, Any]], tuple[str, float] | None] = lambda values: None,
    **settings: Any,
) -> Iterator[MemberStudy]:
    config = TuneConfig(**{"trials": 12, **settings})
    storage = StudyStorage(folder, None, 30)
    setting = StudySetting("a-0123", SPACE, FIRST, 1, "here")
    try:
        with Heartbeats(storage) as heartbeats:
            yield MemberStudy(storage, setting, config, heartbeats, refusal)
    finally:
        storage.close()


def finish(own: MemberStudy, trials: int | None = None) -> list[Asked]:
    """Asks for trials and tells what they score, until there are so many, or enough."""
    found: list[Asked] = []
    while len(found) != trials and (asked := own.ask()):
        found.append(asked)
        values = [value(asked.values), 1.0 + len(asked.values["config.hidden"])]
        own.tell(asked.number, values[: len(own.optuna.directions)])
    return found


# TPE and GP draw at random at first: there have to be more trials than that.
TRIALS = {"tpe": 13, "random": 6, "gp": 12, "cmaes": 7, "nsga2": 6}


@pytest.mark.parametrize("sampler", TRIALS)
def test_a_study_that_was_cut_is_the_one_that_was_not(sampler: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"sampler": sampler, "trials": TRIALS[sampler]}
    with study(tmp_path / "whole", **settings) as own:
        whole = finish(own)
    parts: list[Asked] = []
    for cut in (1, 3, None):
        with study(tmp_path / "cut", **settings) as own:
            parts += finish(own, cut)
            # A trial that was begun when the process died is the next one's first.
            if cut == 3:
                begun = own.ask()
        if cut == 3:
            with study(tmp_path / "cut", **settings) as own:
                assert own.begun_before() == [begun]
                assert begun is not None
                own.tell(begun.number, [value(begun.values)])
                parts.append(begun)
    assert parts == whole and len(whole) == settings["trials"]
    assert [asked.number for asked in whole] == list(range(len(whole)))
    assert len({tuple(map(str, asked.values.values())) for asked in whole}) == len(whole)


def test_the_member_as_it_is_comes_first_as_far_as_the_space_has_it(tmp_path: Path) -> None:
    with study(tmp_path) as own:
        first = own.ask()
    assert first is not None and first.number == 0
    assert (first.values["config.hidden"], first.values["train.rate"]) == ([8], 0.01)
    assert 0 <= first.values["config.x"] <= 1


def test_a_sampler_learns_from_the_trials_before(tmp_path: Path) -> None:
    with study(tmp_path, trials=20) as own:
        scores = [value(asked.values) for asked in finish(own)]
    assert sum(scores[14:]) > sum(scores[:6])


def test_the_best_are_kept_and_pruned_ones_are_not(tmp_path: Path) -> None:
    with study(tmp_path, trials=6, keep=2) as own:
        scores = [0.3, 0.5, None, 0.5, 0.1, 0.4]
        for score in scores:
            asked = own.ask()
            assert asked is not None
            if score is None:
                own.report(asked.number, Scored(1, 4, 0.9))
                own.prune(asked.number)
            else:
                own.tell(asked.number, [score])
        assert own.is_complete() and own.ask() is None
        # Of equal ones the earlier.
        assert [trial.number for trial in own.best()] == [1, 3]


def test_what_is_not_allowed_is_not_trained_and_does_not_count(tmp_path: Path) -> None:
    def refusal(values: Mapping[str, Any]) -> tuple[str, float] | None:
        return ("two layers", 0.5) if len(values["config.hidden"]) > 1 else None

    with study(tmp_path, refusal, trials=12) as own:
        found = finish(own)
        trials = own.trials()
    assert len(found) == 12 < len(trials)
    assert all(len(asked.values["config.hidden"]) == 1 for asked in found)
    refused = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert {len(trial.params) for trial in refused} == {3}
    assert {trial.params["config.hidden"] for trial in refused} == {"[8, 8]"}
    assert all(trial.constraints for trial in refused)


def test_a_space_in_which_nothing_is_allowed_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune.study._MOST_UNTRAINED", 9)
    said = r"none of 9 trials .* since it is too large"
    with (
        study(tmp_path, lambda values: ("it is too large", 1.0), sampler="random") as own,
        pytest.raises(TuneError, match=said),
    ):
        own.ask()


def test_a_trial_that_lags_is_pruned_and_one_that_leads_is_not(tmp_path: Path) -> None:
    with study(tmp_path, trials=30) as own:
        stopped = {}
        for place in range(12):
            asked = own.ask()
            assert asked is not None
            score = 0.9 if place % 5 == 0 else 0.1
            steps = range(1, 10)
            stopped[place] = any(
                own.report(asked.number, Scored(step, 9, score - place / 1e4)) for step in steps
            )
            own.prune(asked.number) if stopped[place] else own.tell(asked.number, [score])
    assert not any(stopped[place] for place in range(0, 12, 5))
    assert sum(stopped.values()) > 3


def test_trainings_of_any_length_are_held_against_each_other_where_they_are_as_far(
    tmp_path: Path,
) -> None:
    # Of one course, which rises late: after an epoch a short training is further than a long one.
    with study(tmp_path, trials=30) as own:
        for trial in range(12):
            asked = own.ask()
            assert asked is not None
            epochs = 3 if trial % 2 else 16
            final = 0.5 if epochs == 3 else 0.6
            for epoch in range(1, epochs):
                score = final * (epoch / epochs) ** 2
                stopped = own.report(asked.number, Scored(10 * epoch, 10 * epochs, score))
                assert not (stopped and epochs == 16)
            own.tell(asked.number, [final])


def test_a_training_that_is_at_its_end_is_not_stopped(tmp_path: Path) -> None:
    with study(tmp_path, trials=30) as own:
        for score in np.linspace(0.9, 0.1, 12):
            asked = own.ask()
            assert asked is not None
            assert not own.report(asked.number, Scored(40, 40, float(score)))
            own.tell(asked.number, [float(score)])


def test_a_study_without_pruner_prunes_nothing(tmp_path: Path) -> None:
    with study(tmp_path, pruner="none") as own:
        for score in (0.9, 0.1, 0.0):
            asked = own.ask()
            assert asked is not None
            assert not any(own.report(asked.number, Scored(step, 5, score)) for step in range(1, 5))
            own.tell(asked.number, [score])


def test_failed_trials_are_asked_anew_and_refused_ones_count(tmp_path: Path) -> None:
    with study(tmp_path, trials=4) as own:
        asked = own.ask()
        assert asked is not None and own.fail(asked.number, "was killed")
        asked = own.ask()
        assert asked is not None
        own.refuse(asked.number, "the loss is nan")
        assert len(finish(own)) == 3
        assert not own.begun_before()
        states = [trial.state.name for trial in own.trials()]
    assert states == ["FAIL", "PRUNED", "COMPLETE", "COMPLETE", "COMPLETE"]


def test_nothing_is_said_worth_going_on_with_after_many_failures(tmp_path: Path) -> None:
    with study(tmp_path, trials=9) as own:
        worth = []
        for _ in range(5):
            asked = own.ask()
            assert asked is not None
            worth.append(own.fail(asked.number, "no memory"))
    assert worth == [True, True, True, True, False]


def test_several_objectives_give_the_front(tmp_path: Path) -> None:
    with study(tmp_path, objectives=("gap", "bytes"), keep=2, trials=12) as own:
        found = finish(own)
        kept = own.best()
        values = [trial.values for trial in own.trials()]
    assert len(found) == 12 and len(kept) == 2
    for trial in kept:
        better = [v for v in values if v[0] > trial.values[0] and v[1] <= trial.values[1]]
        assert not better
    assert kept[0].values[0] > kept[1].values[0] and kept[0].values[1] > kept[1].values[1]


def test_settings_that_do_not_go_together_are_refused() -> None:
    for settings in (
        {"objectives": ("gap", "gap")},
        {"objectives": ("bytes",)},
        {"objectives": ("gap", "bytes"), "sampler": "cmaes"},
        {"objectives": ("gap", "bytes"), "pruner": "hyperband"},
    ):
        with pytest.raises(ConfigError):
            TuneConfig(**settings)  # type: ignore[arg-type]


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.samplers.find_spec", lambda name: None)
    said = r"cmaes needs a package: pip install -e '.\[cmaes\]'"
    with pytest.raises(TuneError, match=said), study(tmp_path, sampler="cmaes"):
        pass
    monkeypatch.setattr("tune.storage.find_spec", lambda name: None)
    with pytest.raises(TuneError, match=r"pip install -e '.\[postgresql\]'"):
        StudyStorage(tmp_path, "postgresql://nobody@nowhere/none", 30)


def test_a_damaged_file_of_studies_is_one_line(tmp_path: Path) -> None:
    (tmp_path / STUDIES_NAME).write_bytes(b"no database at all" * 999)
    with pytest.raises(TuneError) as refused, study(tmp_path):
        pass
    assert str(tmp_path / STUDIES_NAME) in str(refused.value)
    assert "not a database" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:s3cr%40t-word@127.0.0.1:1/none",
        "mysql://someone:s3cr%40t-word@127.0.0.1:1/none",
        "postgresql://someone:s3cr%40t-word@127.0.0.1:port/none",
        "s3cr%40t-word",
    ],
)
def test_no_message_has_the_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(TuneError) as refused:
        StudyStorage(tmp_path, url, 30)
    said = str(refused.value)
    assert "s3cr" not in said and "t-word" not in said and "\n" not in said


def test_optuna_keeps_its_verbosity(tmp_path: Path) -> None:
    before = optuna.logging.get_verbosity()
    with study(tmp_path) as own:
        finish(own, 2)
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:se@cret@host:5/studies?password=x", "postgresql://me@host:5/studies"),
        ("postgresql:///studies?host=/tmp&password=x", "***"),
        ("postgresql://host/studies", "postgresql://host/studies"),
        ("secret", "***"),
    ],
)
def test_what_is_shown_of_a_storage_has_no_password(url: str, shown: str) -> None:
    assert TuneConfig(storage=url).without_password().storage == shown
