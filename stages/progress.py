"""Where a whole run stands: at which stage, how much was done before, and how long is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from common.messages import say
from common.units import format_seconds
from runs import JobProgress, ProgressDisplay

# Of the work of a batch, what has to be done before the rest can be estimated.
_LEAST_SHARE = 0.02


class RunProgress:
    """Says where a run stands, on standard error."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._place = ""
        self._found: dict[str, tuple[int, int]] = {}
        # Seconds of trainings.
        self._left = 0.0

    def begin(self, stage: str, number: int, of: int) -> None:
        """Says that a stage of several begins.

        Args:
            stage: its name.
            number: its place among them, from 1.
            of: how many there are.
        """
        self._place = f"stage {number} of {of}, "
        words = [f"stage {number} of {of}: {stage}"]
        if number > 1:
            words.append(f"{format_seconds(time.monotonic() - self._began)} elapsed")
        if round(self._left):
            words.append(f"about {format_seconds(self._left)} of training left")
        say(", ".join(words))

    def found(self, tasks: Sequence[str], missing: Sequence[str], *, more: bool = False) -> None:
        """Says how many tasks were done before, of each kind.

        Args:
            tasks: names of all that are needed, such as `folds/0/teachers/vlad`.
            missing: those of them that are made now.
            more: others of the same kind follow. If nothing is missing yet, it is said with them.
        """
        for name in tasks:
            kind = kind_of(name)
            done, of = self._found.get(kind, (0, 0))
            self._found[kind] = done + (name not in missing), of + 1
        if more and not missing:
            return
        for kind, (done, of) in self._found.items():
            if done:
                say(f"{kind}: {done} of {of} were done")
        self._found.clear()

    def batch(
        self, names: Sequence[str], display: ProgressDisplay, ahead: Mapping[str, float]
    ) -> Batch:
        """Shows jobs, one by one and together, and how long is left.

        Args:
            names: of all that are missing of their kind.
            display: where they are shown.
            ahead: by name, how long each training is that is left of the run, in any unit; those of
                the batch too. While trainings run it is seen how fast they go, and how long all
                that are ahead will take. Of other jobs that is seen only where they are all.
        """
        return Batch(names, display, self._place, self._began, ahead, self._leave)

    def _leave(self, seconds: float) -> None:
        self._left = seconds


class Batch:
    """Jobs that run now, shown together in a line of their own; see `RunProgress.batch`."""

    def __init__(
        self,
        names: Sequence[str],
        display: ProgressDisplay,
        place: str,
        began: float,
        ahead: Mapping[str, float],
        leave: Callable[[float], None],
    ) -> None:
        self._kind = kind_of(names[0])
        self._shares = dict.fromkeys(names, 0.0)
        self._worst = "done"
        self._display = display
        self._lengths = {name: ahead[name] for name in names if name in ahead}
        self._ahead, self._leave = sum(ahead.values()), leave
        if not (self._lengths or place):
            self._lengths, self._ahead = dict.fromkeys(names, 1.0), len(names)
        self._run_began, self._began = began, time.monotonic()
        self._shown = JobProgress(f"{place}{self._kind}", "running", 0, len(names))

    def update(self, progress: JobProgress) -> None:
        """Shows where a job stands now, and so all of them."""
        self._display.update(progress)
        if progress.state not in ("running", "done"):
            # One that failed says more than those that were interrupted.
            self._worst = "failed" if "failed" in (self._worst, progress.state) else progress.state
        if progress.state != "running":
            self._shares[progress.name] = 1.0
        elif progress.steps:
            # What is left to do after the last step is not nothing.
            self._shares[progress.name] = min(0.99, progress.step / progress.steps)
        together = self._together()
        if len(self._shares) > 1:
            self._display.update(together)

    def _together(self) -> JobProgress:
        figures = {"elapsed": format_seconds(time.monotonic() - self._run_began)}
        left = self._seconds_left()
        if left is not None:
            self._leave(left)
            if round(left):
                figures["about"] = f"{format_seconds(left)} left"
        ended = sum(share == 1.0 for share in self._shares.values())
        state = "running" if ended < len(self._shares) else self._worst
        return replace(self._shown, state=state, step=ended, figures=figures)

    def _seconds_left(self) -> float | None:
        """Of all that is ahead, as fast as this batch has been; None: that is not known."""
        done = sum(length * self._shares[name] for name, length in self._lengths.items())
        if done <= _LEAST_SHARE * sum(self._lengths.values()):
            return None
        return (time.monotonic() - self._began) / done * (self._ahead - done)


def kind_of(name: str) -> str:
    """The kind of a task, which its folder says: `folds/0/teachers/vlad` is one of `teachers`."""
    return name.split("/")[-2] if "/" in name else name
