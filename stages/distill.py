"""Stage `distill`: students from soft targets, in two levels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from distill.config import StudentConfig
from ensemble.choice import Choice
from families import registry
from families.layers.memory import RememberingModule
from runs import RunError, Task
from runs.marker import DONE_NAME
from stages.config import LABELS
from stages.ensemble import choose_teachers
from stages.execute import Tasks, named, trained_in_turn
from stages.jobs import UNLABELED, Job, SoftLabels, UnlabeledClips, Upstream
from stages.soft_targets import SoftTargetSource, prediction_job, soft_targets
from stages.stage import Done, stage
from stages.summaries import Trained, better_phase, copy_name
from stages.teachers import copied_teacher, load_teachers
from stages.workspace import Workspace

_FOLDER = "students"


def _distilled(workspace: Workspace) -> dict[str, StudentConfig]:
    """The students that learn from soft targets."""
    students = workspace.config.students
    return {name: own for name, own in students.items() if own.teacher != LABELS}


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
        RunError: a teacher is missing, or a level-2 student has no level-1 students to learn from.
        JobsFailed: a training failed; the others have finished.
    """
    _students(Tasks(workspace), load_teachers(workspace))


def load_students(workspace: Workspace, teachers: Trained) -> Trained:
    """The students' finished tasks by name, from those of the teachers.

    Raises:
        RunError: one is missing; the message names the first task that is, and the stage to run.
    """
    tasks = Tasks(workspace, "distill")
    for own in workspace.folds if workspace.packs_folds else (*workspace.folds, workspace):
        for name in _distilled(workspace):
            task = own.task_name(_FOLDER, name)
            # Its soft targets would be missing too, and say less.
            if not (workspace.run.root / task / DONE_NAME).exists():
                raise tasks.missing(task)
    return _students(tasks, teachers)


def _students(tasks: Tasks, teachers: Trained) -> Trained:
    """Those without a fold first; what they show decides about the others."""
    workspace = tasks.workspace
    folds = [
        _students_of_line(tasks.without(fold), Trained(own))
        for fold, own in zip(workspace.folds, teachers.folds, strict=True)
    ]
    if workspace.packs_folds:
        return Trained({}, folds)
    found = _students_of_line(tasks, teachers, folds)
    copies = {
        name: [found[copy_name(name, copy)] for copy in _copies(workspace, student.member)]
        for name, student in workspace.config.students.items()
    }
    return Trained({name: found[name] for name in copies}, folds, copies)


def _copies(workspace: Workspace, member: str) -> range:
    """The numbers of a student's copies. What remembers has none: it would remember the same."""
    family = registry.get(workspace.config.members[member].family)
    wanted = not workspace.leaves_out and not issubclass(family.module, RememberingModule)
    return range(2, workspace.config.copies + 1) if wanted else range(0)


def _students_of_line(
    tasks: Tasks, taught_by: Trained, folds: Sequence[Mapping[str, Task]] = ()
) -> dict[str, Task]:
    """The trainings by the students' names, and by those of their copies."""
    workspace, config, teachers = tasks.workspace, tasks.workspace.config, taught_by.tasks
    students, distilled = config.students, _distilled(workspace)
    choice = choose_teachers(workspace, taught_by)
    done = {n: teachers[own.member] for n, own in students.items() if n not in distilled}
    first, second = (
        {name: own for name, own in distilled.items() if own.level == level} for level in (1, 2)
    )

    def by_teacher(name: str, split: str) -> Job:
        train, on = workspace.config.train_config(name), named(config.host_of(name), teachers)
        return prediction_job(workspace, name, teachers[name], train, split, on)

    def by_student(name: str, split: str) -> Job:
        train = workspace.config.student_train_config(name)
        on = named(config.host_of_student(name), done)
        return prediction_job(workspace, students[name].member, done[name], train, split, on)

    sources = {name: _teachers_of(workspace, own, choice) for name, own in first.items()}
    done |= _level(tasks, sources, by_teacher, done, folds)
    sources = {name: _students_of(workspace, name, first) for name in second}
    done |= _level(tasks, sources, by_student, done, folds)
    return done | _copies_of_teachers(tasks, taught_by)


def _copies_of_teachers(tasks: Tasks, teachers: Trained) -> dict[str, Task]:
    """Those of the students that are members as they were trained on the labels."""
    workspace = tasks.workspace
    return tasks.of_jobs(
        {
            copy_name(name, copy): copied_teacher(workspace, teachers, own.member, copy)
            for name, own in workspace.config.students.items()
            if own.teacher == LABELS
            for copy in _copies(workspace, own.member)
        }
    )


def _level(
    tasks: Tasks,
    sources: Mapping[str, SoftTargetSource],
    job_of: Callable[[str, str], Job],
    before: Mapping[str, Task],
    folds: Sequence[Mapping[str, Task]],
) -> dict[str, Task]:
    """The students of one level, by name as their sources are.

    `before` are those until then, `folds` those that left a fold out.
    """
    workspace, config = tasks.workspace, tasks.workspace.config
    soft = soft_targets(tasks, sources.values(), "train", job_of)
    further = {}
    if workspace.unlabeled:
        further = soft_targets(tasks, sources.values(), UNLABELED, job_of)

    def labels_of(source: SoftTargetSource) -> SoftLabels:
        unlabeled, settings = None, config.distill.unlabeled
        if further:
            unlabeled = UnlabeledClips(
                Upstream.of(further[source.name]),
                workspace.fingerprints[UNLABELED],
                settings.share,
                settings.weight,
            )
        return SoftLabels(Upstream.of(soft[source.name]), config.distill.hard_weight, unlabeled)

    def job(name: str, host: tuple[str, Task] | None, copy: int = 1) -> Job:
        phase, member = better_phase([fold[name] for fold in folds]), config.students[name].member
        return replace(
            workspace.training(_FOLDER, copy_name(name, copy), member, host, phase),
            train=workspace.config.student_train_config(name),
            soft=labels_of(sources[name]),
        )

    copies = {
        copy_name(name, copy): job(name, None, copy)
        for name in sources
        for copy in _copies(workspace, config.students[name].member)
    }
    trained = trained_in_turn(tasks, sources, config.host_of_student, job, before)
    return trained | tasks.of_jobs(copies)


def _teachers_of(workspace: Workspace, student: StudentConfig, choice: Choice) -> SoftTargetSource:
    """Who teaches a student of level 1: teachers, as they were chosen."""
    family = _teaching_family(workspace, student)
    if family == "all":
        used = {name: weight for name, weight in choice.weights.items() if weight > 0}
        return SoftTargetSource(family, tuple(used), tuple(used.values()))
    return SoftTargetSource.flat(family, choice.families[family].members)


def _students_of(
    workspace: Workspace, name: str, first: Mapping[str, StudentConfig]
) -> SoftTargetSource:
    """Who teaches a student of level 2: those of level 1."""
    config = workspace.config
    family = _teaching_family(workspace, config.students[name])
    models = [
        other
        for other, own in first.items()
        if family in ("all", config.members[own.member].family)
    ]
    if not models:
        raise RunError(
            f"distill.students.{name}: level 2 learns from level-1 students of {family}, and "
            "there are none"
        )
    return SoftTargetSource.flat(f"{family}-2", models)


def _teaching_family(workspace: Workspace, student: StudentConfig) -> str:
    if student.teacher == "family":
        return workspace.config.members[student.member].family
    return student.teacher
