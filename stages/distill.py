"""Stage `distill`: soft targets from the teachers, students from the soft targets, in two levels.

Every soft-target file is a task `soft/<teacher>`: `soft/netvlad` from the best combination of that
family's members, `soft/all` from all members with the searched weights, and `soft/netvlad-2` from
the flat mean of the family's level-1 students.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.config import StudentConfig
from distill.merged import write_merged
from distill.soft_targets import SOFT_TARGETS_NAME, SoftTargets, mix_teachers
from ensemble import Choice
from records import Fold
from runs import Predictions, RunError, Task
from stages.jobs import MemberJob, predictions_name
from stages.workspace import Workspace

# A student of this teacher is the member as trained on the labels.
LABELS = "labels"


@dataclass(frozen=True)
class Teacher:
    """A weighted mean of models whose predictions become soft targets."""

    name: str
    models: tuple[str, ...]
    weights: tuple[float, ...]


def train_students(
    workspace: Workspace, trained: Mapping[str, Task], choice: Choice
) -> dict[str, Task]:
    """Trains what is missing; returns the students' tasks by name.

    Args:
        workspace: the run.
        trained: the teachers' finished tasks by member.
        choice: what stage `ensemble` chose.

    Raises:
        JobsFailed: a training failed; the others have finished.
        RunError: a level-2 student has no level-1 students to learn from.
    """
    wanted = workspace.config.students
    as_they_are = {n: trained[s.member] for n, s in wanted.items() if s.teacher == LABELS}
    by_level = {
        level: {n: s for n, s in wanted.items() if s.level == level and n not in as_they_are}
        for level in (1, 2)
    }
    teachers = {name: _first_teacher(workspace, s, choice) for name, s in by_level[1].items()}
    done = _train_level(workspace, by_level[1], teachers, trained, out_of_fold=True)
    if by_level[2]:
        teachers = {
            name: _second_teacher(workspace, name, s, by_level[1])
            for name, s in by_level[2].items()
        }
        done |= _train_level(workspace, by_level[2], teachers, done, out_of_fold=False)
    done |= as_they_are
    return {name: done[name] for name in wanted}


def _train_level(
    workspace: Workspace,
    students: Mapping[str, StudentConfig],
    teachers: Mapping[str, Teacher],
    models: Mapping[str, Task],
    *,
    out_of_fold: bool,
) -> dict[str, Task]:
    distinct = {teacher.name: teacher for teacher in teachers.values()}
    soft = _soft_targets(workspace, list(distinct.values()), models, out_of_fold=out_of_fold)
    jobs = [
        _student_job(workspace, name, student, soft[teachers[name].name])
        for name, student in students.items()
    ]
    return dict(zip(students, workspace.execute(jobs, "stages.student_worker"), strict=True))


def _student_job(workspace: Workspace, name: str, student: StudentConfig, soft: Task) -> MemberJob:
    return workspace.job(
        f"students/{name}",
        student.member,
        train=workspace.train_config(
            student.member, (f"distill.students.{name}.train", student.train)
        ),
        upstream={soft.name: soft.digest()},
        extra={
            "folder": str(soft.folder.resolve()),
            "hard_weight": workspace.config.distill.hard_weight,
        },
    )


def _first_teacher(workspace: Workspace, student: StudentConfig, choice: Choice) -> Teacher:
    if student.teacher == "all":
        used = {name: weight for name, weight in choice.weights.items() if weight > 0}
        return Teacher("all", tuple(used), tuple(used.values()))
    family = student.teacher
    if family == "family":
        family = workspace.config.members[student.member].family
    names = choice.families[family].members
    return Teacher(family, names, (1 / len(names),) * len(names))


def _second_teacher(
    workspace: Workspace, name: str, student: StudentConfig, first: Mapping[str, StudentConfig]
) -> Teacher:
    members = workspace.config.members
    family = student.teacher
    if family == "family":
        family = members[student.member].family
    models = tuple(n for n, s in first.items() if family in ("all", members[s.member].family))
    if not models:
        raise RunError(
            f"distill.students.{name}: level 2 learns from level-1 students of {family}, and "
            "there are none"
        )
    return Teacher(f"{family}-2", models, (1 / len(models),) * len(models))


def _soft_targets(
    workspace: Workspace,
    teachers: Sequence[Teacher],
    models: Mapping[str, Task],
    *,
    out_of_fold: bool,
) -> dict[str, Task]:
    """The finished tasks `soft/<teacher>` by the teacher's name."""
    used = sorted({model for teacher in teachers for model in teacher.models})
    folds = workspace.config.distill.folds
    if out_of_fold and folds > 1:
        sources = {model: _fold_jobs(workspace, model, folds) for model in used}
        module = "stages.teacher_worker"
    else:
        sources = {model: [_training_split_job(workspace, models[model])] for model in used}
        module = "stages.predict_worker"
    workspace.execute([job for jobs in sources.values() for job in jobs], module)
    tasks = {model: [workspace.task(job) for job in jobs] for model, jobs in sources.items()}
    soft = {teacher.name: _mix_task(workspace, teacher, tasks) for teacher in teachers}
    if workspace.config.distill.write_merged:
        for task in soft.values():
            _merged_task(workspace, task)
    return soft


def _fold_jobs(workspace: Workspace, model: str, folds: int) -> list[MemberJob]:
    """Trainings of a member that each leave out one fold and score it."""
    return [
        workspace.job(f"folds/{model}-{number}", model, fold=Fold(number, folds))
        for number in range(folds)
    ]


def _training_split_job(workspace: Workspace, model: Task) -> MemberJob:
    """The inference of a trained model over the clips that it was trained on."""
    kind, _, name = model.name.partition("/")
    wanted = workspace.config.students
    member = wanted[name].member if kind == "students" else name
    return workspace.job(
        f"training-predictions/{kind}-{name}",
        member,
        upstream={model.name: model.digest()},
        extra={"folder": str(model.folder.resolve())},
    )


def _mix_task(
    workspace: Workspace, teacher: Teacher, sources: Mapping[str, Sequence[Task]]
) -> Task:
    kept, mix = workspace.config.distill.stored_labels, workspace.config.ensemble.mix
    used = {model: sources[model] for model in teacher.models}

    def work(task: Task) -> tuple[list[str], dict[str, object]]:
        predictions = [_over_training_split(tasks) for tasks in used.values()]
        targets = mix_teachers(predictions, teacher.weights, kept, mix)
        targets.save(task.folder / SOFT_TARGETS_NAME)
        return [SOFT_TARGETS_NAME], {"clips": len(targets.ids), "models": list(used)}

    inputs = {
        "teacher": teacher,
        "stored_labels": kept,
        "mix": mix,
        "upstream": {t.name: t.digest() for tasks in used.values() for t in tasks},
    }
    return workspace.once(f"soft/{teacher.name}", inputs, work)


def _merged_task(workspace: Workspace, soft: Task) -> None:
    """The training split written again with the soft targets in it."""

    def work(task: Task) -> tuple[list[str], dict[str, object]]:
        path = soft.folder / SOFT_TARGETS_NAME
        targets = SoftTargets.load(path, workspace.schema.num_labels)
        shards = write_merged(task.folder, workspace.split("train"), targets)
        return [shard.name for shard in shards], {"shards": len(shards)}

    inputs = {"soft": soft.digest(), "data": workspace.fingerprints["train"]}
    workspace.once(f"merged/{soft.name.partition('/')[2]}", inputs, work)


def _over_training_split(tasks: Sequence[Task]) -> Predictions:
    """One model's predictions over all training clips, put together from its folds, if it has."""
    if len(tasks) == 1:
        return Predictions.load(tasks[0].folder / predictions_name("train"))
    parts = [Predictions.load(task.folder / predictions_name("fold")) for task in tasks]
    joined = Predictions(
        ids=np.concatenate([p.ids for p in parts]),
        labels=np.concatenate([p.labels for p in parts]),
        log_odds=np.concatenate([p.log_odds for p in parts]),
        left_out=np.concatenate([p.left_out for p in parts]),
        tail=np.concatenate([p.tail for p in parts]),
        num_labels=parts[0].num_labels,
    )
    return joined.select(np.argsort(joined.ids, kind="stable"))
