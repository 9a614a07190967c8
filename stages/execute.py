"""How a stage gets its finished tasks: a missing one is made, or reported as an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from common.errors import UserError
from common.messages import warn
from families import remembers
from families.registry import meta_module
from families.size import parameter_count
from runs import (
    MACHINE_FAILED,
    JobProgress,
    JobSource,
    ProgressDisplay,
    RunError,
    Task,
    describe_failures,
    run_jobs,
    run_source,
    working,
)
from runs import Job as Process
from runs.code import record_code
from runs.marker import DONE_NAME
from runs.run_time import TimeSharing
from runs.store import TASK_NAME
from stages.config import Config, copy_name
from stages.errors import JobsFailed
from stages.job import Job
from stages.job_files import prepare_job
from stages.jobs import PREDICTIONS, Training
from stages.placement import process_of
from stages.told import say_notes
from stages.workspace import Workspace

Name = TypeVar("Name", bound=Hashable)
# Is given the prepared task; returns the files it wrote, and a summary.
Work = Callable[[Task], tuple[list[str], Any]]
Takes = Callable[[Task], bool]


def _takes_all(task: Task) -> bool:
    return True


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
        missing = [
            name
            for name, job in jobs.items()
            if self.is_to_be_made(tasks[name], job.modules, job.takes)
        ]
        self.workspace.code_changes.check()
        if self._maker is None:
            made = [tasks[name].name for name in missing]
            self.workspace.progress.found([task.name for task in tasks.values()], made, more=more)
        in_order = self._in_order({name: jobs[name] for name in missing})
        processes = [self.process_of(jobs[name], tasks[name]) for name in in_order]
        if processes:
            self._run(processes)
        for task in tasks.values():
            self._done(task.name)
        return tasks

    def _in_order(self, jobs: Mapping[Name, Job]) -> list[Name]:
        """How they are begun: where time is short, small trainings leave some to large ones."""
        if self.workspace.time is None:
            return list(jobs)
        return sorted(jobs, key=lambda name: cost_of(jobs[name]))

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
        is_to_be_made = self.is_to_be_made(task, modules)
        self.workspace.code_changes.check()
        if is_to_be_made:
            make(task, work, modules)
        self._done(name)
        return task

    def of_source(self, source: JobSource) -> None:
        """Runs processes that are thought of while others run, as `of_jobs` runs its own.

        Args:
            source: of the processes, which `process_of` made.
        """
        with ProgressDisplay() as display:
            run_source(
                source,
                self.workspace.config.jobs or None,
                machines=self.workspace.machines,
                silent_seconds=self._silent_seconds,
                on_progress=self._tracked(display.update),
            )

    def is_done(self, task: Task, modules: Sequence[str], takes: Takes = _takes_all) -> bool:
        """Whether a task is done, and may stay so if other code made it than that of `modules`.

        `takes` says whether what it holds is what it ought to.
        """
        if self.workspace.code_changes.calls_for_redoing(task, modules):
            return False
        return task.is_done() and takes(task)

    def missing(self, name: str, damaged: str | None = None, shortened: bool = False) -> RunError:
        """What is said of a task that is not done, is damaged, or had a limit that is gone."""
        what = "is not done with this configuration"
        if shortened:
            what = "had no time for all its steps; give time_limit again, or have it anew"
        if damaged:
            what = f"is damaged ({damaged}, which may also be missing)"
        return RunError(f"{self.workspace.run.root}: {name} {what}; run stage={self._maker} first")

    def process_of(self, job: Job, task: Task) -> Process:
        """The process that does a job, whose folder is prepared for it."""
        prepare_job(job, task)
        return process_of(job, task, self.workspace.machines)

    @property
    def _silent_seconds(self) -> float:
        return self.workspace.config.silent_minutes * 60 or math.inf

    def is_to_be_made(self, task: Task, modules: Sequence[str], takes: Takes = _takes_all) -> bool:
        """Whether a task is missing, damaged, or of other code that is to be made again.

        Raises:
            RunError: it is, and there is a `maker`.
        """
        if self.is_done(task, modules, takes):
            return False
        damaged = task.damaged()
        if self._maker:
            raise self.missing(task.name, damaged, task.is_done() and not takes(task))
        if damaged:
            warn(f"{task.name}: {damaged} is missing or damaged; has to be made again")
        if self.workspace.code_changes.calls_for_redoing(task, modules):
            with task.lock():
                # What the other code left is nobody's then, and is cleared.
                (task.folder / TASK_NAME).unlink(missing_ok=True)
        return True

    def _tracked(self, update: Callable[[JobProgress], None]) -> Callable[[JobProgress], None]:
        """What is told where a job stands, and takes note of those that are done."""

        def moved(progress: JobProgress) -> None:
            update(progress)
            if progress.state == "done":
                self._done(progress.name)

        return moved

    def _done(self, name: str) -> None:
        """Has a task that is done logged, and handed on to where the run lies."""
        self.workspace.tracker.done(name)
        self.workspace.run.publish()

    def _run(self, processes: Sequence[Process]) -> None:
        most = [max(taken) for taken in zip(*((p.cpus, p.gpus) for p in processes), strict=True)]
        parallel = self.workspace.config.jobs or None
        at_once = parallel or self.workspace.machines.capacity().times(*most)
        ahead, names = trainings_ahead(self.workspace), [process.name for process in processes]
        sharing = TimeSharing(self.workspace.time, [*ahead, *names], at_once)
        with ProgressDisplay() as display:
            batch = self.workspace.progress.batch(names, display, ahead)
            results = run_jobs(
                processes,
                parallel,
                machines=self.workspace.machines,
                silent_seconds=self._silent_seconds,
                on_progress=self._tracked(batch.update),
                on_start=sharing.begin,
            )
        for result in results:
            say_notes(result)
        statuses = {result.returncode for result in results} - {0}
        if statuses == {2}:
            raise UserError(describe_failures(results, last_lines=True))
        if statuses:
            # The machine's failures are said in a line too.
            last_lines = statuses <= {2, MACHINE_FAILED}
            raise JobsFailed(describe_failures(results, last_lines=last_lines))


def make(task: Task, work: Work, modules: Sequence[str]) -> None:
    """Does a task in this process.

    Args:
        task: that is to be made.
        work: what makes it.
        modules: those whose code does.
    """
    with task.lock():
        task.prepare()
        record_code(task, modules)
        with working(task.name):
            task.finish(*work(task))


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


def trainings_ahead(workspace: Workspace) -> dict[str, float]:
    """The trainings that a command is to make and that are not done, by their tasks' names.

    Each with how long it is, in epochs of all clips to learn from.
    """
    config, whole = workspace.config, workspace.whole or workspace
    members = {name for name, own in config.members.items() if not remembers(own.family)}
    of_folder = {
        "teachers": members if config.stage in ("all", "teachers") else (),
        "students": [name for name, own in config.distilled.items() if own.member in members]
        if config.stage in ("all", "distill")
        else (),
    }
    found = {
        own.task_name(folder, name): share * _epochs(config, folder, name)
        for own, share in (
            *((fold, 1 - 1 / len(whole.folds)) for fold in whole.folds),
            *(() if whole.packs_folds else ((whole, 1.0),)),
        )
        for folder, trained in of_folder.items()
        for name in trained
    }
    if of_folder["students"] and not whole.packs_folds:
        for student, own in config.students.items():
            folder, name = config.trained_as(student)
            for copy in config.copies_of(own.member):
                task = whole.task_name(folder, copy_name(name, copy))
                found[task] = _epochs(config, folder, name)
    root = workspace.run.root
    return {name: own for name, own in found.items() if not (root / name / DONE_NAME).exists()}


def _epochs(config: Config, folder: str, name: str) -> float:
    of = config.train_config if folder == "teachers" else config.student_train_config
    train = of(name)
    return train.epochs + train.averaging_epochs


def cost_of(job: Job) -> float:
    """What a job is like to take, to be held against others'; 0 where nothing is trained."""
    if not isinstance(job, Training) or remembers(job.setting.family):
        return 0.0
    setting = job.setting
    model = meta_module(setting.family, dict(setting.config), setting.data.schema)
    return parameter_count(model) * job.train.epochs
