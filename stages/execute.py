"""How the tasks of a stage are come by: what is missing is made, or it is refused."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


class Tasks(ABC):
    """A way to come by finished tasks; the stages say which tasks, and no more.

    Args:
        workspace: the run.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @abstractmethod
    def of_jobs(self, jobs: Sequence[Job]) -> list[Task]:
        """The tasks of jobs, all done, in their order."""

    @abstractmethod
    def of_work(self, name: str, inputs: Mapping[str, Any], work: Work) -> Task:
        """The task `name` that this process does by itself, done; its key covers `inputs`."""


class Made(Tasks):
    """Tasks that are made where they are missing, those of jobs in processes of their own.

    Raises:
        JobsFailed: some processes failed; the others have finished.
    """

    def of_jobs(self, jobs: Sequence[Job]) -> list[Task]:
        tasks = [self.workspace.task(job) for job in jobs]
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
        parallel, threads = parallelism(self.workspace.config.jobs)
        with ProgressDisplay() as display:
            results = run_jobs(processes, parallel, threads=threads, on_progress=display.update)
        failed = [result for result in results if result.message is not None]
        if failed:
            raise JobsFailed(failed)

    def of_work(self, name: str, inputs: Mapping[str, Any], work: Work) -> Task:
        task = self.workspace.run.task(name, inputs)
        if not task.is_done():
            with task.lock():
                task.prepare()
                task.finish(*work(task))
        return task


class Loaded(Tasks):
    """Tasks that are there; nothing is made.

    Args:
        workspace: the run.
        stage: what makes them.

    Raises:
        RunError: one is not done; the message names the first, and the stage to run.
    """

    def __init__(self, workspace: Workspace, stage: str) -> None:
        super().__init__(workspace)
        self.stage = stage

    def of_jobs(self, jobs: Sequence[Job]) -> list[Task]:
        return [self._checked(self.workspace.task(job)) for job in jobs]

    def of_work(self, name: str, inputs: Mapping[str, Any], work: Work) -> Task:
        return self._checked(self.workspace.run.task(name, inputs))

    def _checked(self, task: Task) -> Task:
        if not task.is_done():
            raise self.missing(task.name)
        return task

    def missing(self, name: str) -> RunError:
        """What is said of a task that is not done."""
        return RunError(
            f"{self.workspace.run.root}: {name} is not done with this configuration; run "
            f"stage={self.stage} first"
        )


def parallelism(jobs: int) -> tuple[int, int]:
    """Processes at once and threads in each; `jobs` 0 means one a core, or one on a GPU."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    parallel = jobs or (1 if torch.cuda.is_available() else cores)
    return parallel, max(1, cores // parallel)
