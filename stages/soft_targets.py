"""The soft targets that students learn from: which models teach, and what they say of each clip.

Every file of soft targets is a task `soft/<name>`: `soft/netvlad` from the best combination of that
family's members, `soft/all` from all members with the searched weights, and `soft/netvlad-2` from
the flat mean of the family's level-1 students. `soft-unlabeled/<name>` are those of the clips
without labels, by the same models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distill.merged import write_merged
from distill.soft_targets import SOFT_TARGETS_NAME, SoftTargets, mix_teachers
from records.splits import Fold
from runs import Predictions, Task
from stages.execute import Tasks
from stages.jobs import Job, Prediction, Upstream, predictions_name
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
    tasks: Tasks,
    sources: Iterable[SoftTargetSource],
    split: str,
    jobs_of: Callable[[str, str], Sequence[Job]],
) -> dict[str, Task]:
    """The finished tasks `soft/<name>` (`train`) or `soft-unlabeled/<name>`, by the sources' names.

    Args:
        tasks: gives finished tasks, or makes them.
        sources: one of a name counts once.
        split: whose clips they are of.
        jobs_of: the jobs that together predict that split with a model, by the name that the
            sources use.
    """
    distinct = {source.name: source for source in sources}
    jobs = {
        model: jobs_of(model, split)
        for model in sorted({model for source in distinct.values() for model in source.models})
    }
    done = tasks.of_jobs({job.task: job for own in jobs.values() for job in own})
    predicted = {model: [done[job.task] for job in own] for model, own in jobs.items()}
    return {name: _mix(tasks, source, split, predicted) for name, source in distinct.items()}


def fold_jobs(tasks: Tasks, member: str) -> list[Job]:
    """Trainings of a member that each leave out one fold and predict it.

    Those of a host are done first, since a clip must be foreign to the host as well.
    """
    workspace, folds = tasks.workspace, tasks.workspace.config.distill.folds
    of = workspace.config.host_of(member)
    hosts: list[tuple[str, Task] | None] = [None] * folds
    if of is not None:
        done = tasks.of_jobs({job.task: job for job in fold_jobs(tasks, of)})
        hosts = [(of, task) for task in done.values()]
    return [
        replace(
            workspace.training(f"folds/{member}-{index}", member, host), fold=Fold(index, folds)
        )
        for index, host in enumerate(hosts)
    ]


def prediction_job(
    workspace: Workspace,
    member: str,
    trained: Task,
    train: TrainConfig,
    split: str,
    host: tuple[str, Task] | None,
) -> Job:
    """The run of a member's trained model, on its host, over the clips of a split."""
    folder = "training-predictions" if split == "train" else f"{split}-predictions"
    name = f"{folder}/{trained.name.replace('/', '-')}"
    setting, batch_size = workspace.setting(member, host=host), train.inference_batch_size
    return Prediction(name, setting, Upstream.of(trained), batch_size, train.threads, split)


def _mix(
    tasks: Tasks,
    source: SoftTargetSource,
    split: str,
    predicted: Mapping[str, Sequence[Task]],
) -> Task:
    config, mix = tasks.workspace.config.distill, tasks.workspace.config.ensemble.mix
    used = {model: predicted[model] for model in source.models}

    def work(task: Task) -> tuple[list[str], Any]:
        predictions = [_over_split(split, parts) for parts in used.values()]
        targets = mix_teachers(predictions, source.weights, config.stored_labels, mix)
        targets.save(task.folder / SOFT_TARGETS_NAME)
        return [SOFT_TARGETS_NAME], {"clips": len(targets.ids), "models": list(used)}

    inputs = {
        "teacher": source,
        "stored_labels": config.stored_labels,
        "mix": mix,
        "upstream": {task.name: task.digest() for parts in used.values() for task in parts},
    }
    folder = "soft" if split == "train" else f"soft-{split}"
    soft = tasks.of_work(f"{folder}/{source.name}", inputs, work)
    if config.write_merged and split == "train":
        _merge(tasks, source.name, soft)
    return soft


def _merge(tasks: Tasks, name: str, soft: Task) -> None:
    """Writes the training split again, with the soft targets in it."""
    workspace = tasks.workspace

    def work(task: Task) -> tuple[list[str], Any]:
        path = soft.file(SOFT_TARGETS_NAME)
        targets = SoftTargets.load(path, workspace.schema.num_labels)
        shards = write_merged(task.folder, workspace.data.open("train"), targets)
        return [shard.name for shard in shards], {"shards": len(shards)}

    inputs = {"soft": soft.digest(), "data": workspace.fingerprints["train"]}
    tasks.of_work(f"merged/{name}", inputs, work)


def _over_split(split: str, tasks: Sequence[Task]) -> Predictions:
    """One model's predictions over all clips, put together from its folds, if it has."""
    if len(tasks) == 1:
        return Predictions.load(tasks[0].file(predictions_name(split)))
    joined = Predictions.concatenate(
        [Predictions.load(task.file(predictions_name("fold"))) for task in tasks]
    )
    return joined.select(np.argsort(joined.ids, kind="stable"))
