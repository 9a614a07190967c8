"""Learning rates as a pure function of the step, so that a resumed training needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.config import TrainConfig

# torch's OneCycleLR starts at a 25th of the peak and ends at 1e-4 of that.
_START_DIVISOR = 25.0
_END_DIVISOR = 1e4


@dataclass(frozen=True)
class Schedule:
    """Learning rates of a training: `main_steps` by schedule, then a constant one for averaging.

    Attributes:
        train: the settings.
        main_steps: steps of the first phase.
        steps_per_epoch: an epoch's worth of examples, in steps.
    """

    train: TrainConfig
    main_steps: int
    steps_per_epoch: int

    def learning_rate(self, step: int) -> float:
        """The rate at `step`, counted from 0.

        "exponential": learning_rate * decay ** (epochs passed, whole). "one_cycle": a cosine up
        during the share `warmup` of the steps and a cosine down after it (Smith & Topin 2017).
        Averaging goes on at the rate reached, or of the peak for one_cycle (which reaches none),
        divided by `averaging_divisor`.
        """
        averaging = step >= self.main_steps
        if self.train.schedule == "exponential":
            epoch = min(step, self.main_steps - 1) // self.steps_per_epoch
            rate = self.train.learning_rate * self.train.decay**epoch
        else:
            rate = self.train.learning_rate if averaging else self._one_cycle(step)
        return rate / self.train.averaging_divisor if averaging else rate

    def _one_cycle(self, step: int) -> float:
        peak = self.train.learning_rate
        start = peak / _START_DIVISOR
        turn = self.train.warmup * self.main_steps - 1
        if step <= turn:
            return _cosine(start, peak, step / turn)
        rest = self.main_steps - 1 - turn
        return _cosine(peak, start / _END_DIVISOR, (step - turn) / rest if rest > 0 else 1.0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
