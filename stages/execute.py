"""How the tasks of a stage are come by: what is missing is made, or it is refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from runs import Job as Process
from runs import ProgressDisplay, Result, RunError, Task, run_jobs
from stages.jobs import Job, prepare_job
from stages.workspace import Workspace

# Is given the prepared task; returns the files it wrote, and a summary.
Work = Callable[[Task], tuple[list[str], Any]]


class JobsFailed(Exception):
    """Some processes of a stage failed; the others finished.

    Attributes:
        results: how each one that failed ended.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = tuple(results)
        super().__init__("\n".join(str(result.message) for result in results))


class Tasks(Protocol):
    """A way to come by finished tasks; the stages say which tasks, and no more."""

    def of_jobs(self, jobs: Sequence[Job]) -> list[Task]:
        """The tasks of jobs, all done, in their order."""
        ...

    def of_work(self, name: str, inputs: Mapping[str, Any], work: Work) -> Task:
        """A task that this process does by itself, done.

        Args:
            name: the task's name.
            inputs: what its content key covers.
            work: what is to be done for it.
        """
        ...


class Made(Tasks):
    """Tasks that are made where they are missing.

    Args:
        workspace: the run.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def of_jobs(self, jobs: Sequence[Job]) -> list[Task]:
        """As in `Tasks`; each job that is not done runs in a process of its own.

        Raises:
            JobsFailed: some failed; the others have finished.
        """
        tasks = [self._workspace.task(job) for job in jobs]
        processes = []
        for job, task in zip(jobs, tasks, strict=True):
            if not task.is_done():
                prepare_job(job, task)
                folder = task.folder.resolve()
                command = (sys.executable, "-m", "stages.worker", str(folder))
                processes.append(Process(task.name, folder, command))
        if processes:
            self._run(processes)
        return tasks

    def _run(self, processes: Sequence[Process]) -> None:
        parallel, threads = parallelism(self._workspace.config.jobs)
        with ProgressDisplay() as display:
            results = run_jobs(processes, parallel, threads=threads, on_progress=display.update)
        failed = [result for result in results if result.message is not None]
        if failed:
            raise JobsFailed(failed)

    def of_work(self, name: str, inputs: Mapping[str, Any], work: Work) -> Task:
        """As in `Tasks`."""
        task = self._workspace.run.task(name, inputs)
        if not task.is_done():
            with task.lock():
                task.prepare()
                task.finish(*work(task))
        return task


class Loaded(Tasks):
    """Tasks that are there; one that is missing is an error, and nothing is made.

    Args:
        workspace: the run.
        stage: what makes them.
    """

    def __init__(self, workspace: Workspace, stage: str) -> None:
        self._workspace = workspace
        self._stage = stage

    def of_jobs(self, jobs: Sequence[Job]) -> list[Task]:
        """As in `Tasks`.

        Raises:
            RunError: one is not done; the message names the first, and the stage to run.
        """
        return [self._checked(self._workspace.task(job)) for job in jobs]

    def of_work(self, name: str, inputs: Mapping[str, Any], work: Work) -> Task:
        """As in `Tasks`.

        Raises:
            RunError: it is not done.
        """
        return self._checked(self._workspace.run.task(name, inputs))

    def _checked(self, task: Task) -> Task:
        if not task.is_done():
            raise self.missing(task.name)
        return task

    def missing(self, name: str) -> RunError:
        """What is said of a task that is not done."""
        return RunError(
            f"{self._workspace.run.root}: {name} is not done with this configuration; run "
            f"stage={self._stage} first"
        )


def parallelism(jobs: int) -> tuple[int, int]:
    """Processes at once and threads in each; `jobs` 0 means one a core, or one on a GPU."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    parallel = jobs or (1 if torch.cuda.is_available() else cores)
    return parallel, max(1, cores // parallel)
