"""How many steps a training takes, and how far each of them goes on its schedule.

A training that has all the time it wants takes the steps that its settings plan. One that has not
is given fewer, by a leg of its course that begins where this was seen: the learning rate then goes
through the same values in fewer steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.codec import from_plain, to_plain
from common.errors import ConfigError
from runs import RunError
from runs.checksums import read_checked_json, write_checked_json
from training.config import TrainConfig

COURSE_NAME = "course.json"


@dataclass(frozen=True)
class Phases:
    """How many steps a training is to take.

    Attributes:
        main: steps of the first phase.
        averaging: steps of the second, in which a moving average of the weights is kept.
        per_epoch: steps an epoch.
    """

    main: int
    averaging: int
    per_epoch: int

    @property
    def total(self) -> int:
        return self.main + self.averaging

    @classmethod
    def plan(cls, clips: int, train: TrainConfig, beside: int = 0) -> Phases:
        """Counts the steps; a batch that would be short is left out.

        Args:
            clips: of the training split.
            train: the settings.
            beside: how many clips of a batch are not of it.

        Raises:
            ConfigError: an epoch has no full batch.
        """
        per_epoch = clips // (train.batch_size - beside)
        if per_epoch == 0:
            raise ConfigError(
                f"train.batch_size: {train.batch_size} is more than the {clips} training clips"
            )
        main = max(1, round(train.epochs * per_epoch))
        averaging = round(train.averaging_epochs * per_epoch)
        if train.max_steps is not None:
            main, averaging = min(main, train.max_steps), 0
        return cls(main, averaging, per_epoch)


@dataclass(frozen=True)
class Leg:
    """What holds from a step on.

    Attributes:
        step: that step.
        position: how many of the planned steps of the first phase had passed there.
        main: the step at which the first phase ends.
        averaging: steps of the second phase.
    """

    step: int
    position: float
    main: int
    averaging: int


@dataclass(frozen=True)
class Course:
    """The steps of a training.

    Attributes:
        goal: how many of the planned steps of the first phase are taken; all, unless it is known
            that fewer are better.
        legs: the first begins at step 0, where everything goes as planned.
        ended: the step at which the first phase was ended since the scores grew no more.
    """

    goal: int
    legs: tuple[Leg, ...]
    ended: int | None = None

    @classmethod
    def of(cls, planned: Phases, stop: float | None = None) -> Course:
        """As it is planned.

        Args:
            planned: the steps.
            stop: planned epochs after which the first phase ends; None: after all.
        """
        goal = planned.main
        if stop is not None:
            goal = max(1, min(goal, round(stop * planned.per_epoch)))
        return cls(goal, (Leg(0, 0.0, goal, planned.averaging),))

    @property
    def main(self) -> int:
        """The step at which the first phase ends."""
        return self.legs[-1].main if self.ended is None else self.ended

    @property
    def total(self) -> int:
        """The step at which the training ends."""
        return self.main + self.legs[-1].averaging

    @property
    def is_shortened(self) -> bool:
        """Whether there was no time for all that was planned."""
        return len(self.legs) > 1

    def position(self, step: int) -> float:
        """How many of the planned steps have passed at a step of the first phase.

        Its last step is at the last planned one, so that the learning rate ends where it should.
        """
        leg = next(leg for leg in reversed(self.legs) if leg.step <= step)
        steps = leg.main - 1 - leg.step
        if steps == 0:
            return self.goal - 1.0
        return leg.position + (step - leg.step) * ((self.goal - 1 - leg.position) / steps)

    def shortened(self, step: int, steps: int) -> Course:
        """A course of so many steps more, at least one, shared by the phases as they were."""
        steps = max(1, steps)
        if step >= self.main:
            leg = Leg(step, self.goal, self.main, step - self.main + steps)
        else:
            main, averaging = self.main - step, self.legs[-1].averaging
            own = max(1, round(steps * main / (main + averaging)))
            leg = Leg(step, self.position(step), step + own, steps - own)
        return replace(self, legs=(*self.legs, leg))


def save_legs(folder: Path, legs: Sequence[Leg]) -> None:
    """Writes down how a training was shortened, so that it comes out the same after a kill."""
    write_checked_json(folder / COURSE_NAME, {"legs": to_plain(list(legs))})


def load_legs(folder: Path) -> tuple[Leg, ...]:
    """What was written down; nothing where nothing was, or it is damaged."""
    path = folder / COURSE_NAME
    if not path.exists():
        return ()
    try:
        return tuple(
            from_plain(Leg, leg, str(path), RunError) for leg in read_checked_json(path)["legs"]
        )
    except RunError:
        return ()
