"""Trainings with too little time: fewer steps, the same rates, the same bytes after a kill.

The clock is one that every step moves on by so many seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from families import FamilyModule
from records import Batch, Split
from tests.training.small import TRAIN, StopsAt, same, small_trainer
from training.config import TrainConfig
from training.course import COURSE_NAME, Course, Phases
from training.log import METRICS_NAME
from training.schedule import Schedule
from training.stop import Interrupted
from training.time_limit import TimeLimit
from training.trained import Trained

# 5 steps an epoch: 40 steps, and 10 in which the weights are averaged.
LONG = replace(
    TRAIN,
    epochs=8,
    averaging_epochs=2,
    schedule="one_cycle",
    warmup=0.2,
    # Rarely, but for a kill: what is written to a disk takes longer than a step.
    checkpoint_seconds=1e9,
)
SAVED = replace(LONG, checkpoint_seconds=0)
STEPS = 50


@dataclass
class Clock:
    """Seconds, which are told to pass.

    Attributes:
        of_step: how many a step takes, by how many have been taken with this clock.
    """

    of_step: Callable[[int], float] = lambda step: 1.0
    now: float = 1000.0
    steps: int = field(default=0)

    def __call__(self) -> float:
        return self.now


class Ticking(StopsAt):
    """An objective with which time passes, and that may stop a training."""

    def __init__(self, clock: Clock, call: int = 0, error: BaseException | None = None) -> None:
        super().__init__(call, error)
        self._clock = clock

    def __call__(self, model: FamilyModule, batch: Batch) -> tuple[Tensor, Tensor]:
        self._clock.now += self._clock.of_step(self._clock.steps)
        self._clock.steps += 1
        return super().__call__(model, batch)


def train(
    split: Split,
    folder: Path,
    limit: TimeLimit | None,
    clock: Clock | None = None,
    call: int = 0,
    error: BaseException | None = None,
    config: TrainConfig = LONG,
) -> Trained:
    clock = clock or Clock()
    objective = Ticking(clock, call, error)
    return small_trainer(split, folder, config, objective, limit=limit, clock=clock).run()


def last_rate(folder: Path) -> float:
    return json.loads((folder / METRICS_NAME).read_text().splitlines()[-1])["learning_rate"]


@pytest.fixture(scope="module")
def whole(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(split, tmp_path_factory.mktemp("whole"), None)


@pytest.fixture(scope="module")
def short(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """There is time for half of the steps."""
    return train(split, tmp_path_factory.mktemp("short"), TimeLimit(whole=25))


def test_with_time_enough_it_is_the_training_without_a_limit(
    whole: Trained, split: Split, tmp_path: Path
) -> None:
    for number, limit in enumerate((TimeLimit(whole=STEPS), TimeLimit(share=1e9))):
        folder = tmp_path / str(number)
        limited = train(split, folder, limit)
        assert same(limited.main, whole.main) and same(limited.average, whole.average)
        assert not limited.shortened and limited.steps == limited.planned_steps == STEPS
        assert not (folder / COURSE_NAME).exists()


def test_with_half_of_the_time_it_takes_half_of_the_steps(whole: Trained, short: Trained) -> None:
    assert short.shortened and not whole.shortened
    assert (short.steps, short.planned_steps, short.seconds) == (25, STEPS, 25)
    # 20 of 40 before the averaging, which has what is left.
    assert short.epochs == pytest.approx(20 / 5, abs=0.3)
    assert short.average is not None and not same(short.main, whole.main)


@pytest.mark.parametrize("config", [LONG, replace(LONG, schedule="exponential")])
@pytest.mark.parametrize("seconds", [10, 30])
def test_its_learning_rate_ends_where_it_should(
    seconds: float, config: TrainConfig, split: Split, tmp_path: Path
) -> None:
    config = replace(config, averaging_epochs=0)
    for name, limit in (("whole", None), ("short", TimeLimit(whole=seconds))):
        trained = train(split, tmp_path / name, limit, config=config)
    assert trained.steps == pytest.approx(seconds, abs=1)
    assert last_rate(tmp_path / "short") == pytest.approx(last_rate(tmp_path / "whole"))


def killed_twice(split: Split, folder: Path, call: int) -> Trained:
    """A training with time for half of its steps, killed at a step, and at the next by SIGTERM."""
    limit = TimeLimit(whole=25)
    with pytest.raises(KeyError):
        train(split, folder, limit, call=call, error=KeyError("as if killed"), config=SAVED)
    with pytest.raises(Interrupted):
        train(split, folder, limit, call=1)
    return train(split, folder, limit)


@pytest.mark.parametrize("call", [6, 9, 21, 24])
def test_killed_it_keeps_to_what_was_planned(
    call: int, short: Trained, split: Split, tmp_path: Path
) -> None:
    """Just after it was planned, and in either phase."""
    resumed = killed_twice(split, tmp_path, call)
    assert resumed.steps == 25 and resumed.shortened
    assert same(resumed.main, short.main) and same(resumed.average, short.average)


def test_killed_before_it_was_measured_it_ends_in_time(split: Split, tmp_path: Path) -> None:
    assert killed_twice(split, tmp_path, 3).steps == 25


def test_what_was_planned_stands_also_without_a_checkpoint(
    short: Trained, split: Split, tmp_path: Path
) -> None:
    with pytest.raises(KeyError):
        train(split, tmp_path, TimeLimit(whole=25), call=12, error=KeyError("k"))
    # The second time it would be faster, and there is more time.
    again = train(split, tmp_path, TimeLimit(whole=100), Clock(lambda step: 0.1))
    assert same(again.main, short.main) and same(again.average, short.average)


def test_without_its_limit_it_begins_anew(whole: Trained, split: Split, tmp_path: Path) -> None:
    for name, call in (("cut", 15), ("finished", 0)):
        folder = tmp_path / name
        if call:
            with pytest.raises(Interrupted):
                train(split, folder, TimeLimit(whole=25), call=call)
        else:
            train(split, folder, TimeLimit(whole=25))
        trained = train(split, folder, None)
        assert same(trained.main, whole.main) and same(trained.average, whole.average)
        assert not trained.shortened and not (folder / COURSE_NAME).exists()


def test_it_is_shortened_again_where_it_gets_slower(split: Split, tmp_path: Path) -> None:
    clock = Clock(lambda step: 1.0 if step < 20 else 3.0)
    trained = train(split, tmp_path, TimeLimit(share=40), clock)
    # 20 seconds for 20 steps, and then 20 for 6 or 7; what is measured is the mean.
    assert trained.steps in range(25, 31) and trained.seconds <= 46
    legs = json.loads((tmp_path / COURSE_NAME).read_text())["legs"]
    assert len(legs) > 2


def test_a_limit_counts_from_the_beginning_and_a_share_from_now(
    split: Split, tmp_path: Path
) -> None:
    steps = {}
    for name, limit in (("whole", TimeLimit(whole=30)), ("share", TimeLimit(share=25))):
        with pytest.raises(Interrupted):
            train(split, tmp_path / name, None, call=20)
        steps[name] = train(split, tmp_path / name, limit).steps
    assert steps == {"whole": 30, "share": 45}


def test_there_is_always_a_step(split: Split, tmp_path: Path) -> None:
    trained = train(split, tmp_path, TimeLimit(whole=1e-6))
    assert trained.shortened and trained.steps in range(1, 10)
    assert trained.main


@given(
    st.integers(1, 60),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 1.0))),
)
def test_a_course_goes_through_the_whole_schedule(
    main: int, averaging: int, cuts: list[tuple[int, float]]
) -> None:
    course, step = Course.of(Phases(main, averaging, 5)), 0
    for steps, share in cuts:
        step += steps
        if step < course.total:
            course = course.shortened(step, int(share * (course.total - step)))
    assert course.total <= main + averaging
    positions = [course.position(step) for step in range(course.main)]
    assert positions == sorted(positions)
    assert positions[-1] == pytest.approx(main - 1)
    if not course.is_shortened:
        assert positions == list(range(main))
    # A schedule has a rate everywhere, and the last one is the last planned.
    schedule = Schedule(LONG, main, 5)
    assert all(schedule.learning_rate(position) > 0 for position in positions)
