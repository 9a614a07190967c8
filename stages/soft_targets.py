"""The soft targets that students learn from: which models teach, and what they say of each clip.

Every file of soft targets is a task `soft/<name>`: `soft/netvlad` from the best combination of that
family's members, `soft/all` from all members with the searched weights, and `soft/netvlad-2` from
the flat mean of the family's level-1 students.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distill.merged import write_merged
from distill.soft_targets import SOFT_TARGETS_NAME, SoftTargets, mix_teachers
from records.splits import Fold
from runs import Predictions, Task
from stages.execute import Tasks
from stages.jobs import Prediction, Training, Upstream, predictions_name
from stages.workspace import Workspace


@dataclass(frozen=True)
class TrainedModel:
    """A finished training that may teach.

    Attributes:
        member: whose model it is.
        task: its training.
        batch_size: clips a forward pass.
    """

    member: str
    task: Task
    batch_size: int


@dataclass(frozen=True)
class SoftTargetSource:
    """A weighted mean of models whose predictions become soft targets."""

    name: str
    models: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def flat(cls, name: str, models: Sequence[str]) -> SoftTargetSource:
        """Their flat mean."""
        return cls(name, tuple(models), (1 / len(models),) * len(models))


def soft_targets(
    workspace: Workspace,
    tasks: Tasks,
    sources: Iterable[SoftTargetSource],
    models: Mapping[str, TrainedModel],
    *,
    folds: int = 1,
) -> dict[str, Task]:
    """The finished tasks `soft/<name>`, by the sources' names.

    Args:
        workspace: the run.
        tasks: how they are come by.
        sources: one of a name counts once.
        models: the finished trainings, by the names that the sources use.
        folds: above 1, a clip's soft targets are of models that were trained without it.
    """
    distinct = {source.name: source for source in sources}
    used = sorted({model for source in distinct.values() for model in source.models})
    jobs: dict[str, list[Training] | list[Prediction]] = {
        name: _fold_jobs(workspace, name, folds)
        if folds > 1
        else [_training_split_job(workspace, models[name])]
        for name in used
    }
    tasks.of_jobs([job for own in jobs.values() for job in own])
    predicted = {name: [workspace.task(job) for job in own] for name, own in jobs.items()}
    soft = {
        name: _mix_task(workspace, tasks, source, predicted) for name, source in distinct.items()
    }
    if workspace.config.distill.write_merged:
        for task in soft.values():
            _merged_task(workspace, tasks, task)
    return soft


def _fold_jobs(workspace: Workspace, member: str, folds: int) -> list[Training]:
    """Trainings of a member that each leave out one fold and score it."""
    return [
        workspace.training(f"folds/{member}-{index}", member, fold=Fold(index, folds))
        for index in range(folds)
    ]


def _training_split_job(workspace: Workspace, model: TrainedModel) -> Prediction:
    """The run of a trained model over the clips that it was trained on."""
    return Prediction(
        f"training-predictions/{model.task.name.replace('/', '-')}",
        workspace.setting(model.member),
        Upstream.of(model.task),
        model.batch_size,
    )


def _mix_task(
    workspace: Workspace,
    tasks: Tasks,
    source: SoftTargetSource,
    predicted: Mapping[str, Sequence[Task]],
) -> Task:
    kept, mix = workspace.config.distill.stored_labels, workspace.config.ensemble.mix
    used = {model: predicted[model] for model in source.models}

    def work(task: Task) -> tuple[list[str], Any]:
        predictions = [_over_training_split(parts) for parts in used.values()]
        targets = mix_teachers(predictions, source.weights, kept, mix)
        targets.save(task.folder / SOFT_TARGETS_NAME)
        return [SOFT_TARGETS_NAME], {"clips": len(targets.ids), "models": list(used)}

    inputs = {
        "teacher": source,
        "stored_labels": kept,
        "mix": mix,
        "upstream": {t.name: t.digest() for parts in used.values() for t in parts},
    }
    return tasks.of_work(f"soft/{source.name}", inputs, work)


def _merged_task(workspace: Workspace, tasks: Tasks, soft: Task) -> None:
    """The training split written again with the soft targets in it."""

    def work(task: Task) -> tuple[list[str], Any]:
        path = soft.folder / SOFT_TARGETS_NAME
        targets = SoftTargets.load(path, workspace.schema.num_labels)
        shards = write_merged(task.folder, workspace.split("train"), targets)
        return [shard.name for shard in shards], {"shards": len(shards)}

    inputs = {"soft": soft.digest(), "data": workspace.fingerprints["train"]}
    tasks.of_work(f"merged/{soft.name.partition('/')[2]}", inputs, work)


def _over_training_split(tasks: Sequence[Task]) -> Predictions:
    """One model's predictions over all training clips, put together from its folds, if it has."""
    if len(tasks) == 1:
        return Predictions.load(tasks[0].folder / predictions_name("train"))
    joined = Predictions.concatenate(
        [Predictions.load(task.folder / predictions_name("fold")) for task in tasks]
    )
    return joined.select(np.argsort(joined.ids, kind="stable"))
