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
from records.folds import Fold
from runs import Predictions, Task
from stages.execute import Tasks
from stages.jobs import Job, Prediction, Training, Upstream, predictions_name
from stages.workspace import Workspace
from training.config import TrainConfig


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
    jobs: Mapping[str, Sequence[Job]],
) -> dict[str, Task]:
    """The finished tasks `soft/<name>`, by the sources' names.

    Args:
        workspace: the run.
        tasks: how they are come by.
        sources: of several with a name one counts.
        jobs: by model, what predicts the training split with it; of models that do not teach none
            is done.
    """
    distinct = {source.name: source for source in sources}
    used = sorted({model for source in distinct.values() for model in source.models})
    tasks.of_jobs([job for model in used for job in jobs[model]])
    predicted = {model: [workspace.task(job) for job in jobs[model]] for model in used}
    soft = {
        name: _mix_task(workspace, tasks, source, predicted) for name, source in distinct.items()
    }
    if workspace.config.distill.write_merged:
        for task in soft.values():
            _merged_task(workspace, tasks, task)
    return soft


def out_of_fold_jobs(workspace: Workspace, member: str) -> list[Training]:
    """Trainings of a member that each leave out one fold and predict it."""
    count = workspace.config.distill.folds
    return [
        workspace.training(f"folds/{member}-{index}", member, fold=Fold(index, count))
        for index in range(count)
    ]


def training_split_job(
    workspace: Workspace, member: str, trained: Task, train: TrainConfig
) -> Prediction:
    """The run of a trained model over the clips that it was trained on."""
    return Prediction(
        f"training-predictions/{trained.name.replace('/', '-')}",
        workspace.setting(member),
        Upstream.of(trained),
        train.inference_batch_size,
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
