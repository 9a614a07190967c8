"""Stage `distill`: students from soft targets, in two levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distill.config import StudentConfig
from ensemble.choice import Choice
from runs import RunError, Task
from runs.store import DONE_NAME
from stages.ensemble import choose_teachers
from stages.execute import Loaded, Made, Tasks
from stages.jobs import Job, SoftLabels, Upstream
from stages.soft_targets import (
    SoftTargetSource,
    out_of_fold_jobs,
    soft_targets,
    training_split_job,
)
from stages.stage import Done, stage
from stages.teachers import load_teachers
from stages.workspace import Workspace

_FOLDER = "students"
# A student of this teacher is the member as trained on the labels.
_LABELS = "labels"


def _distilled(workspace: Workspace) -> dict[str, StudentConfig]:
    """The students that learn from soft targets."""
    students = workspace.config.students
    return {name: own for name, own in students.items() if own.teacher != _LABELS}


def _done(workspace: Workspace) -> Done:
    names = _distilled(workspace) if workspace.config.members else None
    return Done.below(workspace.run.root / _FOLDER, names)


@stage(
    "distill",
    help="write soft targets, train the students on them",
    needs=("teachers",),
    done=_done,
)
def distill(workspace: Workspace) -> None:
    """Trains the students that are missing; what is chosen for them is chosen if it is not yet.

    Raises:
        RunError: a teacher is missing.
        JobsFailed: a training failed; the others have finished.
    """
    teachers = load_teachers(workspace)
    train_students(workspace, teachers, choose_teachers(workspace, teachers))


def train_students(
    workspace: Workspace, teachers: Mapping[str, Task], choice: Choice
) -> dict[str, Task]:
    """Trains what is missing; returns the students' finished tasks by name.

    Args:
        workspace: the run.
        teachers: their finished trainings by member.
        choice: what stage `ensemble` chose.

    Raises:
        JobsFailed: a training failed; the others have finished.
        RunError: a level-2 student has no level-1 students to learn from.
    """
    return _students(workspace, teachers, choice, Made(workspace))


def load_students(
    workspace: Workspace, teachers: Mapping[str, Task], choice: Choice
) -> dict[str, Task]:
    """The students' finished tasks by name.

    Raises:
        RunError: one is missing; the message names the first task that is, and the stage to run.
    """
    tasks = Loaded(workspace, "distill")
    for name in _distilled(workspace):
        # Its soft targets would be missing too, and say less.
        if not (workspace.run.root / _FOLDER / name / DONE_NAME).exists():
            raise tasks.missing(f"{_FOLDER}/{name}")
    return _students(workspace, teachers, choice, tasks)


def _students(
    workspace: Workspace, teachers: Mapping[str, Task], choice: Choice, tasks: Tasks
) -> dict[str, Task]:
    config = workspace.config
    families = {name: member.family for name, member in config.members.items()}
    distilled = _distilled(workspace)
    done = {n: teachers[own.member] for n, own in config.students.items() if n not in distilled}
    first, second = (
        {name: own for name, own in distilled.items() if own.level == level} for level in (1, 2)
    )
    sources = {n: _chosen_source(families[own.member], own, choice) for n, own in first.items()}
    jobs: dict[str, Sequence[Job]] = {
        name: out_of_fold_jobs(workspace, name)
        if config.distill.folds > 1
        else [training_split_job(workspace, name, task, workspace.train_config(name))]
        for name, task in teachers.items()
    }
    done |= _level(workspace, tasks, sources, jobs)
    its_family = {n: families[own.member] for n, own in first.items()}
    sources = {
        n: _student_source(n, families[own.member], own, its_family) for n, own in second.items()
    }
    jobs = {
        n: [training_split_job(workspace, s.member, done[n], workspace.student_train_config(n))]
        for n, s in first.items()
    }
    done |= _level(workspace, tasks, sources, jobs)
    return {name: done[name] for name in config.students}


def _level(
    workspace: Workspace,
    tasks: Tasks,
    sources: Mapping[str, SoftTargetSource],
    jobs: Mapping[str, Sequence[Job]],
) -> dict[str, Task]:
    """The students of one level, by name as their sources are."""
    soft = soft_targets(workspace, tasks, sources.values(), jobs)
    config = workspace.config
    trainings = [
        workspace.training(
            f"{_FOLDER}/{name}",
            config.students[name].member,
            train=workspace.student_train_config(name),
            soft=SoftLabels(Upstream.of(soft[source.name]), config.distill.hard_weight),
        )
        for name, source in sources.items()
    ]
    return dict(zip(sources, tasks.of_jobs(trainings), strict=True))


def _chosen_source(own_family: str, student: StudentConfig, choice: Choice) -> SoftTargetSource:
    """Who teaches a student of level 1: teachers, as they were chosen."""
    if student.teacher == "all":
        used = {name: weight for name, weight in choice.weights.items() if weight > 0}
        return SoftTargetSource("all", tuple(used), tuple(used.values()))
    family = own_family if student.teacher == "family" else student.teacher
    return SoftTargetSource.flat(family, choice.families[family].members)


def _student_source(
    name: str, own_family: str, student: StudentConfig, first: Mapping[str, str]
) -> SoftTargetSource:
    """Who teaches a student of level 2: those of level 1, whose families are given."""
    family = own_family if student.teacher == "family" else student.teacher
    models = [other for other, its_family in first.items() if family in ("all", its_family)]
    if not models:
        raise RunError(
            f"distill.students.{name}: level 2 learns from level-1 students of {family}, and "
            "there are none"
        )
    return SoftTargetSource.flat(f"{family}-2", models)
