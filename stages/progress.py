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
        self._later: Mapping[str, float] | None = None
        self._found: dict[str, tuple[int, int]] = {}
        self._ends: float | None = None

    def begin(self, stage: str, number: int, of: int, later: Mapping[str, float]) -> None:
        """Says that a stage of several begins.

        Args:
            stage: its name.
            number: its place among them, from 1.
            of: how many there are.
            later: by kind of job (`teachers`), how much of the run comes after the jobs of that
                kind, in jobs such as these. Of other kinds nothing is known.
        """
        self._place, self._later = f"stage {number} of {of}, ", later
        now = time.monotonic()
        words = [f"stage {number} of {of}: {stage}"]
        if number > 1:
            words.append(f"{format_seconds(now - self._began)} elapsed")
        if self._ends is not None and self._ends > now:
            words.append(f"about {format_seconds(self._ends - now)} of training left")
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

    def batch(self, names: Sequence[str], display: ProgressDisplay) -> Batch:
        """Shows jobs of these names, which are all that is missing, one by one and together."""
        return Batch(names, display, self._place, self._began, self._estimate)

    def _estimate(self, kind: str, left: float, job: float) -> float | None:
        """Seconds of the run's trainings that are left.

        Args:
            kind: of the batch's jobs.
            left: seconds of the batch.
            job: seconds that it takes for each of its jobs.
        """
        if self._later is None:
            return left
        if kind not in self._later:
            return None
        left += self._later[kind] * job
        self._ends = time.monotonic() + left
        return left


class Batch:
    """Jobs that run now, shown together in a line of their own; see `RunProgress.batch`."""

    def __init__(
        self,
        names: Sequence[str],
        display: ProgressDisplay,
        place: str,
        began: float,
        estimate: Callable[[str, float, float], float | None],
    ) -> None:
        self._kind = kind_of(names[0])
        self._shares = dict.fromkeys(names, 0.0)
        self._worst = "done"
        self._display = display
        self._estimate = estimate
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
        if len(self._shares) > 1:
            self._display.update(self._together())

    def _together(self) -> JobProgress:
        now = time.monotonic()
        figures = {"elapsed": format_seconds(now - self._run_began)}
        count, share = len(self._shares), sum(self._shares.values()) / len(self._shares)
        if share > _LEAST_SHARE:
            whole = (now - self._began) / share
            left = self._estimate(self._kind, whole * (1 - share), whole / count)
            if left is not None and round(left):
                figures["about"] = f"{format_seconds(left)} left"
        ended = sum(share == 1.0 for share in self._shares.values())
        state = "running" if ended < count else self._worst
        return replace(self._shown, state=state, step=ended, figures=figures)


def kind_of(name: str) -> str:
    """The kind of a task, which its folder says: `folds/0/teachers/vlad` is one of `teachers`."""
    return name.split("/")[-2] if "/" in name else name
