"""The trials of a member's study as trainings, each the task of a teacher of the trial's name."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from common.errors import UserError
from metrics import StreamingScores
from runs import Job as Process
from runs import Predictions, Result, Task, describe_failures
from stages.errors import JobsFailed
from stages.execute import Tasks
from stages.jobs import predictions_name
from stages.summaries import TrainingSummary, read_summary
from stages.told import say_notes
from stages.tuning.members import TunedMember
from training.log import METRICS_NAME, logged
from tune.config import BYTES
from tune.samplers import Scored
from tune.storage import Heartbeats, StudyStorage
from tune.study import Asked, MemberStudy

# A shared storage is asked no more often for what others may have left to do.
_ASK_SECONDS = 1.0
# A training that was killed is gone on with so often.
_ATTEMPTS = 2
# So many trainings that end over their input, and none that does not: it is not their settings.
_ALL_REFUSED = 3


@dataclass
class _Read:
    """How much was read of what a training scores on its way, and whether it is to be stopped."""

    size: int = -1
    step: int = 0
    lags: bool = False


class Trials:
    """A study's trials as processes, each asked for when there is room for one.

    Args:
        member: whose.
        storage: where its study is.
        heartbeats: of this process.
        worker: what this process's part is called among those that share the storage.
        deadline: on the clock of `time.monotonic`, after which no trial is begun; may be infinite.

    Attributes:
        study: its study.
    """

    def __init__(
        self,
        member: TunedMember,
        storage: StudyStorage,
        heartbeats: Heartbeats,
        worker: str,
        deadline: float,
    ) -> None:
        self._member, self._deadline = member, deadline
        config = member.workspace.config.tune
        self._objectives: Sequence[str] = config.objectives
        self.study = MemberStudy(
            storage, member.setting(worker), config, heartbeats, member.refusal
        )
        self._tasks = Tasks(member.workspace)
        self._again = deque(self.study.begun_before())
        self._running: dict[str, tuple[Asked, Task]] = {}
        self._attempts: dict[int, int] = {}
        self._read: dict[int, _Read] = {}
        self._refused = self._sound = 0
        self._asked = -_ASK_SECONDS
        self._last: Process | None = None

    def run(self) -> None:
        """Trains what is not trained, until there are as many trials as there are to be.

        Raises:
            UserError: all of the first ones end over the same input.
            JobsFailed: one after the other fails.
            TuneError: the storage does not answer.
        """
        self._tasks.of_source(self)

    def take(self) -> Process | None:
        """As in `JobSource`."""
        if self._again:
            asked: Asked | None = self._again.popleft()
        elif self._is_late() or time.monotonic() - self._asked < _ASK_SECONDS:
            return None
        else:
            asked = self.study.ask()
        if asked is None:
            self._asked = time.monotonic()
            return None
        job = self._member.job(asked)
        task = self._member.workspace.task(job)
        is_to_be_made = self._tasks.is_to_be_made(task, job.modules, job.takes)
        self._tasks.workspace.code_changes.check()
        if is_to_be_made:
            self._running[task.name] = asked, task
            self._last = self._tasks.process_of(job, task)
            return self._last
        self._conclude(asked, task)
        return None

    def next_like(self) -> Process | None:
        """As in `JobSource`: all are of one member."""
        return self._last

    def is_exhausted(self) -> bool:
        """As in `JobSource`."""
        if self._again or self._running:
            return False
        # What other processes still train is waited for: theirs may come to be done here.
        return self._is_late() or self.study.is_complete()

    def is_wanted(self, job: Process) -> bool:
        """As in `JobSource`: a trial that lags behind others is stopped."""
        return not self._lags(*self._running[job.name])

    def ended(self, result: Result) -> None:
        """As in `JobSource`."""
        say_notes(result)
        asked, task = self._running.pop(result.name)
        if result.unwanted or (result.returncode == 0 and task.is_done()):
            self._sound += 1
            self._conclude(asked, task)
        elif result.returncode == 2:
            self._refuse(asked, result)
        else:
            self._try_again(asked, result)

    def _conclude(self, asked: Asked, task: Task) -> None:
        """Tells what became of a trial that was trained to its end, or stopped.

        One that had to be stopped counts so also where it came to its end before that was seen.
        """
        if self._lags(asked, task) or not task.is_done():
            shutil.rmtree(task.folder, ignore_errors=True)
            self.study.prune(asked.number)
            return
        summary = read_summary(task, TrainingSummary)
        values = [self._value(name, asked, task, summary) for name in self._objectives]
        self.study.tell(asked.number, values)

    def _lags(self, asked: Asked, task: Task) -> bool:
        """Hands on what a training scored since it was last asked; whether it lags behind."""
        read = self._read.setdefault(asked.number, _Read())
        path = task.folder / METRICS_NAME
        with suppress(OSError):
            size = path.stat().st_size
            if read.lags or size == read.size:
                return read.lags
            read.size = size
            for line in logged(path):
                if "steps" in line and line["step"] > read.step and not read.lags:
                    value = line["search"].get(self._objectives[0], line["search"]["gap"])
                    scored = Scored(line["step"], line["steps"], value)
                    read.step, read.lags = scored.step, self.study.report(asked.number, scored)
        return read.lags

    def _value(self, name: str, asked: Asked, task: Task, summary: TrainingSummary) -> float:
        split = self._member.split
        if name == BYTES:
            return float(self._member.bytes_of(asked.values))
        if name == "gap":
            return summary.gap(split)
        found = Predictions.load(task.file(predictions_name(split)))
        scores = StreamingScores(self._labels.num_labels)
        scores.update((found.labels, found.log_odds), self._labels)
        return scores.compute()[name]

    @cached_property
    def _labels(self) -> Any:
        return self._member.seen(self._member.workspace).labels(self._member.split)

    def _refuse(self, asked: Asked, result: Result) -> None:
        """Books a training that its input ended, as one that diverges is."""
        self.study.refuse(asked.number, result.last_line)
        self._refused += 1
        if self._refused >= _ALL_REFUSED and not self._sound:
            raise UserError(f"{result.name}: {result.last_line}")

    def _try_again(self, asked: Asked, result: Result) -> None:
        """A training that was killed goes on from its checkpoint; in the end it has failed."""
        attempts = self._attempts[asked.number] = self._attempts.get(asked.number, 0) + 1
        if attempts < _ATTEMPTS:
            # What it scored past its checkpoint comes again.
            self._again.append(asked)
        elif not self.study.fail(asked.number, result.ending):
            raise JobsFailed(describe_failures([result]))

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline
