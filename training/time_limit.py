"""Whether a training fits into the time that it has."""

import math
from dataclasses import dataclass

# Steps of a process that are slower than the others, and those that are measured at least.
_FIRST_STEPS, _MEASURED_STEPS = 2, 3
# Of the time: how much is measured at least, and how much more than there is may be planned.
_MEASURED, _TOLERANCE = 0.01, 0.02


@dataclass(frozen=True)
class TimeLimit:
    """What a training may take.

    Attributes:
        whole: seconds, with what it took before it was interrupted.
        share: seconds of this process: its share of what a whole run may take.
    """

    whole: float = math.inf
    share: float = math.inf


class Stopwatch:
    """Measures the steps of a process, and says how many more of them there is time for.

    Args:
        limit: what the training may take.
        spent: seconds that it took in earlier processes.
        step: steps that it took there.
    """

    def __init__(self, limit: TimeLimit, spent: float, step: int) -> None:
        self._time = max(0.0, min(limit.whole - spent, limit.share))
        self._first = step + _FIRST_STEPS
        self._began = self._looked = 0.0

    def steps_in_time(self, step: int, total: int, seconds: float) -> int | None:
        """How many more steps there is time for; None: for all, or it has not been measured.

        It is measured again after every hundredth of the time, for other work may begin or end
        beside the training.

        Args:
            step: steps taken.
            total: steps to take.
            seconds: since the process began to train.
        """
        if step <= self._first:
            self._began = self._looked = seconds
            return None
        measured = step - self._first
        if measured < _MEASURED_STEPS or seconds - self._looked < _MEASURED * self._time:
            return None
        self._looked = seconds
        a_step = (seconds - self._began) / measured
        left = self._time - seconds
        if (total - step) * a_step - left <= _TOLERANCE * self._time:
            return None
        return max(0, int(left / a_step)) if a_step else None
