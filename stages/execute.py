"""How a stage gets its finished tasks: a missing one is made, or reported as an error."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from common.errors import UserError
from common.messages import say_more, warn
from common.threads import cores
from runs import (
    MACHINE_FAILED,
    ProgressDisplay,
    RunError,
    Task,
    describe_failures,
    run_jobs,
    working,
)
from runs import Job as Process
from runs.code import record_code
from runs.store import TASK_NAME
from stages.jobs import PREDICTIONS, Job, prepare_job
from stages.workspace import Workspace

Name = TypeVar("Name", bound=Hashable)
# Is given the prepared task; returns the files it wrote, and a summary.
Work = Callable[[Task], tuple[list[str], Any]]


class JobsFailed(Exception):
    """Some processes of a stage failed; the others finished."""


class Tasks:
    """Gives a stage the finished tasks that it asks for.

    Args:
        workspace: the run.
        maker: the stage to be run first when a task is missing. None: a missing task is made.
    """

    def __init__(self, workspace: Workspace, maker: str | None = None) -> None:
        self.workspace = workspace
        self._maker = maker

    def of_jobs(self, jobs: Mapping[Name, Job], *, more: bool = False) -> dict[Name, Task]:
        """The tasks of jobs, by the same names; each job is done by a process of its own.

        Args:
            jobs: what is to be done.
            more: whether others of their kind follow, and how many were done is said with them.

        Raises:
            JobsFailed: some failed; the others have finished.
            UserError: so they did, all over the same input.
            RunError: one is missing, and there is a `maker`; or other code made one, and that is
                to be an error.
        """
        tasks = {name: self.workspace.task(job) for name, job in jobs.items()}
        missing = [name for name in tasks if self._is_to_be_made(tasks[name], jobs[name].modules)]
        self.workspace.code_changes.check()
        if self._maker is None:
            made = [tasks[name].name for name in missing]
            self.workspace.progress.found([task.name for task in tasks.values()], made, more=more)
        processes = []
        for name, task in tasks.items():
            if name in missing:
                prepare_job(jobs[name], task)
                folder = task.folder.resolve()
                command = (sys.executable, "-m", "stages.worker", str(folder))
                threads = jobs[name].thread_count()
                processes.append(Process(task.name, folder, command, threads))
        if processes:
            self._run(processes)
        return tasks

    def without(self, fold: Workspace) -> Tasks:
        """Of what is done without a fold, given or made as these are."""
        return Tasks(fold, self._maker)

    def of_work(
        self, name: str, inputs: Mapping[str, Any], work: Work, modules: Sequence[str] = ()
    ) -> Task:
        """The task `name`, which this process does by itself.

        Args:
            name: of the task.
            inputs: what its content key covers.
            work: what makes it.
            modules: those that `work` uses of the room `stages`, and other families' than its own.

        Raises:
            RunError: it is missing, and is not to be made; or other code made it, and that is to be
                an error.
        """
        task = self.workspace.run.task(name, inputs)
        modules = (work.__module__, PREDICTIONS, *modules)
        is_to_be_made = self._is_to_be_made(task, modules)
        self.workspace.code_changes.check()
        if is_to_be_made:
            with task.lock():
                task.prepare()
                record_code(task, modules)
                with working(name):
                    task.finish(*work(task))
        return task

    def is_done(self, task: Task, modules: Sequence[str]) -> bool:
        """Whether a task is done, and may stay so if other code made it than that of `modules`."""
        return not self.workspace.code_changes.calls_for_redoing(task, modules) and task.is_done()

    def missing(self, name: str, damaged: str | None = None) -> RunError:
        """What is said of a task that is not done, or of which a file is damaged."""
        what = "is not done with this configuration"
        if damaged:
            what = f"is damaged ({damaged}, which may also be missing)"
        return RunError(f"{self.workspace.run.root}: {name} {what}; run stage={self._maker} first")

    def _is_to_be_made(self, task: Task, modules: Sequence[str]) -> bool:
        if self.is_done(task, modules):
            return False
        damaged = task.damaged()
        if self._maker:
            raise self.missing(task.name, damaged)
        if damaged:
            warn(f"{task.name}: {damaged} is missing or damaged; has to be made again")
        if self.workspace.code_changes.calls_for_redoing(task, modules):
            with task.lock():
                # What the other code left is nobody's then, and is cleared.
                (task.folder / TASK_NAME).unlink(missing_ok=True)
        return True

    def _run(self, processes: Sequence[Process]) -> None:
        config = self.workspace.config
        at_once = max(1, cores() // max(process.threads for process in processes))
        parallel = config.jobs or (1 if torch.cuda.is_available() else at_once)
        silent = config.silent_minutes * 60 or math.inf
        with ProgressDisplay() as display:
            batch = self.workspace.progress.batch([own.name for own in processes], display)
            results = run_jobs(processes, parallel, silent_seconds=silent, on_progress=batch.update)
        for result in results:
            for note in result.notes:
                warn(f"{result.name}: {note}")
            for line in () if result.returncode else result.tail.splitlines():
                say_more(f"{result.name}: {line}")
        statuses = {result.returncode for result in results} - {0}
        if statuses == {2}:
            raise UserError(describe_failures(results, last_lines=True))
        if statuses:
            # The machine's failures are said in a line too.
            last_lines = statuses <= {2, MACHINE_FAILED}
            raise JobsFailed(describe_failures(results, last_lines=last_lines))


def trained_in_turn(
    tasks: Tasks,
    names: Iterable[Name],
    host_of: Callable[[Name], Name | None],
    job: Callable[[Name, tuple[Name, Task] | None], Job],
    before: Mapping[Name, Task] | None = None,
) -> dict[Name, Task]:
    """The tasks of trainings by name: first those without a host, then those that stand on them.

    Args:
        tasks: gives finished tasks, or makes them.
        names: of the trainings.
        host_of: the name of that which another stands on.
        job: the training of this name, on a host of that name.
        before: trainings that are done; they may be hosts.
    """
    done = dict(before or {})
    hosts = {name: host_of(name) for name in names}
    turns = [
        [name for name, host in hosts.items() if (host is not None) == hosted]
        for hosted in (False, True)
    ]
    for turn, more in zip(turns, (bool(turns[1]), False), strict=True):
        jobs = {name: job(name, named(hosts[name], done)) for name in turn}
        done |= tasks.of_jobs(jobs, more=more)
    return {name: done[name] for name in hosts}


def named(name: Name | None, tasks: Mapping[Name, Task]) -> tuple[Name, Task] | None:
    """A host's name and its task."""
    return None if name is None else (name, tasks[name])
