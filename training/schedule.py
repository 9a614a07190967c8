"""Learning rates as a pure function of the step, so that a resumed training needs no state."""

import math
from dataclasses import dataclass

from training.config import TrainConfig

# torch's OneCycleLR starts at a 25th of the peak and ends at 1e-4 of that.
_START_DIVISOR = 25.0
_END_DIVISOR = 1e4


@dataclass(frozen=True)
class Schedule:
    """Learning rates of a training: those of the first phase, then a constant one for averaging.

    Attributes:
        train: the settings.
        main_steps: planned steps of the first phase.
        steps_per_epoch: an epoch's worth of examples, in steps.
    """

    train: TrainConfig
    main_steps: int
    steps_per_epoch: int

    def learning_rate(self, position: float) -> float:
        """The rate of the first phase where `position` of its planned steps have passed.

        "exponential": learning_rate * decay ** (epochs passed, whole). "one_cycle": a cosine up
        during the share `warmup` of the steps and a cosine down after it (Smith & Topin 2017).
        """
        if self.train.schedule == "one_cycle":
            return self._one_cycle(position)
        return self.train.learning_rate * self.train.decay ** (position // self.steps_per_epoch)

    def averaging_rate(self, position: float) -> float:
        """The rate of averaging, where the first phase took its last step at `position`.

        It is the rate reached, or for one_cycle (which reaches none) that of the peak, divided by
        `averaging_divisor`.
        """
        peak = self.train.schedule == "one_cycle"
        rate = self.train.learning_rate if peak else self.learning_rate(position)
        return rate / self.train.averaging_divisor

    def _one_cycle(self, position: float) -> float:
        peak = self.train.learning_rate
        start = peak / _START_DIVISOR
        turn = self.train.warmup * self.main_steps - 1
        if position <= turn:
            return _cosine(start, peak, position / turn if turn > 0 else 1.0)
        rest = self.main_steps - 1 - turn
        return _cosine(peak, start / _END_DIVISOR, (position - turn) / rest if rest > 0 else 1.0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
