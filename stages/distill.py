"""Stage `distill`: students from soft targets, in two levels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from distill.config import StudentConfig
from ensemble.choice import Choice
from runs import RunError, Task
from runs.marker import DONE_NAME
from stages.config import LABELS, copy_name
from stages.ensemble import choose_teachers
from stages.execute import Tasks, named, trained_in_turn
from stages.job import Job, Upstream
from stages.jobs import UNLABELED, Prediction, SoftLabels, UnlabeledClips
from stages.parts.predicted import predictions_of
from stages.soft_targets import SoftTargetSource, models_of, prediction_job, soft_targets
from stages.stage import Done, stage
from stages.summaries import Trained
from stages.teachers import copied_teacher, load_teachers
from stages.workspace import Workspace
from training.device import choose_device

_FOLDER = "students"


def _done(workspace: Workspace) -> Done:
    # Where the models of the folds are packed, none is trained beside them.
    lines = workspace.folds if workspace.packs_folds else (workspace,)
    names = workspace.config.distilled if workspace.config.members else None
    found = [Done.below(workspace.run.root / own.task_name(_FOLDER), names) for own in lines]
    return Done(sum(own.tasks for own in found), sum(own.of for own in found))


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
    choose_device(workspace.config.device)
    _students(Tasks(workspace), load_teachers(workspace))


def load_students(workspace: Workspace, teachers: Trained) -> Trained:
    """The students' finished tasks by name, from those of the teachers.

    Raises:
        RunError: one is missing; the message names the first task that is, and the stage to run.
    """
    tasks = Tasks(workspace, "distill")
    for own in workspace.folds if workspace.packs_folds else (*workspace.folds, workspace):
        for name in workspace.config.distilled:
            task = own.task_name(_FOLDER, name)
            # Its soft targets would be missing too, and say less.
            if not (workspace.run.root / task / DONE_NAME).exists():
                raise tasks.missing(task)
    return _students(tasks, teachers)


def _students(tasks: Tasks, teachers: Trained) -> Trained:
    """Those without a fold first, all folds together; what they show decides about the others."""
    workspace = tasks.workspace
    lines = [
        _Line(tasks.without(fold), Trained(own))
        for fold, own in zip(workspace.folds, teachers.folds, strict=True)
    ]
    _train(lines)
    folds = [line.done for line in lines]
    if workspace.packs_folds:
        return Trained({}, folds)
    line = _Line(tasks, teachers, folds)
    _train([line])
    found = line.done | tasks.of_jobs(line.copies())
    copies = {
        name: [found[copy_name(name, copy)] for copy in workspace.config.copies_of(student.member)]
        for name, student in workspace.config.students.items()
    }
    return Trained({name: found[name] for name in copies}, folds, copies)


class _Line:
    """The students of one set of teachers: of all clips, or without one fold.

    Args:
        tasks: gives finished tasks, or makes them.
        teachers: the trainings that teach.
        folds: the students that left a fold out, where these do not.

    Attributes:
        tasks: as given.
        workspace: the run, or what of it is done without a fold.
        done: the trainings so far, by student.
    """

    def __init__(
        self, tasks: Tasks, teachers: Trained, folds: Sequence[Mapping[str, Task]] = ()
    ) -> None:
        self.workspace = tasks.workspace
        self.tasks = tasks
        self._teachers = teachers
        self._folds = folds
        self._choice = choose_teachers(self.workspace, teachers)
        self._distilled = self.workspace.config.distilled
        self._soft: dict[str, SoftLabels] = {}
        students = self.workspace.config.students
        self.done: dict[str, Task] = {
            name: teachers.tasks[own.member]
            for name, own in students.items()
            if name not in self._distilled
        }

    def sources(self, level: int) -> dict[str, SoftTargetSource]:
        """Who teaches the students of a level, by student."""
        of_level = {name: own for name, own in self._distilled.items() if own.level == level}
        if level == 1:
            return {
                n: _teachers_of(self.workspace, own, self._choice) for n, own in of_level.items()
            }
        first = {name: own for name, own in self._distilled.items() if own.level == 1}
        return {name: _students_of(self.workspace, name, first) for name in of_level}

    def prediction(self, level: int, model: str, split: str) -> Prediction:
        """The run of a model that teaches a level over the clips of a split."""
        config = self.workspace.config
        if level == 1:
            member, done, train = model, self._teachers.tasks, config.train_config(model)
            host = config.host_of(model)
        else:
            member, done = config.students[model].member, self.done
            train, host = config.student_train_config(model), config.host_of_student(model)
        on = named(host, done)
        return prediction_job(self.workspace, member, done[model], train, split, on)

    def teach(
        self,
        sources: Mapping[str, SoftTargetSource],
        predicted: Mapping[str, Mapping[str, Task]],
    ) -> None:
        """Writes the soft targets of students, from predictions by split and model."""
        config = self.workspace.config.distill
        soft = {
            split: soft_targets(self.tasks, sources.values(), split, own)
            for split, own in predicted.items()
        }
        for name, source in sources.items():
            unlabeled = None
            if UNLABELED in soft:
                unlabeled = UnlabeledClips(
                    Upstream.of(soft[UNLABELED][source.name]),
                    self.workspace.fingerprints[UNLABELED],
                    config.unlabeled.share,
                    config.unlabeled.weight,
                )
            targets = Upstream.of(soft["train"][source.name])
            self._soft[name] = SoftLabels(targets, config.hard_weight, unlabeled)

    def training(self, name: str, host: tuple[str, Task] | None, copy: int = 1) -> Job:
        """That of a student whose soft targets are written."""
        member = self.workspace.config.students[name].member
        own = [fold[name] for fold in self._folds]
        return replace(
            self.workspace.training(_FOLDER, copy_name(name, copy), member, host, own),
            train=self.workspace.config.student_train_config(name),
            soft=self._soft[name],
        )

    def copies(self) -> dict[str, Job]:
        """The trainings that differ from the students' by their seeds alone."""
        return {
            copy_name(name, copy): copied_teacher(self.workspace, self._teachers, own.member, copy)
            if own.teacher == LABELS
            else self.training(name, None, copy)
            for name, own in self.workspace.config.students.items()
            for copy in self.workspace.config.copies_of(own.member)
        }


def _train(lines: Sequence[_Line]) -> None:
    """Trains the students that are missing, one level after the other."""
    for level in (1, 2):
        _train_level(lines, level)


def _train_level(lines: Sequence[_Line], level: int) -> None:
    """Trains the students of a level, those of all lines together."""
    sources = [line.sources(level) for line in lines]
    if not any(sources):
        return
    tasks, workspace = lines[0].tasks, lines[0].workspace
    splits = ["train", UNLABELED] if workspace.unlabeled else ["train"]
    predicted = predictions_of(
        tasks,
        {
            (number, split, model): line.prediction(level, model, split)
            for number, (line, own) in enumerate(zip(lines, sources, strict=True))
            for split in splits
            for model in models_of(own.values())
        },
    )
    for number, (line, own) in enumerate(zip(lines, sources, strict=True)):
        by_split = {
            split: {model: predicted[number, split, model] for model in models_of(own.values())}
            for split in splits
        }
        line.teach(own, by_split)

    def host_of(student: tuple[int, str]) -> tuple[int, str] | None:
        host = workspace.config.host_of_student(student[1])
        return None if host is None else (student[0], host)

    def job(student: tuple[int, str], host: tuple[tuple[int, str], Task] | None) -> Job:
        number, name = student
        return lines[number].training(name, (host[0][1], host[1]) if host else None)

    names = [(number, name) for number, own in enumerate(sources) for name in own]
    before = {(n, name): task for n, line in enumerate(lines) for name, task in line.done.items()}
    for (number, name), task in trained_in_turn(tasks, names, host_of, job, before).items():
        lines[number].done[name] = task


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
