"""The soft targets that students learn from: which models teach, and what they say of each clip.

Every file of soft targets is a task `soft/<name>`: `soft/netvlad` from the best combination of that
family's members, `soft/all` from all members with the searched weights, and `soft/netvlad-2` from
the flat mean of the family's level-1 students. `soft-unlabeled/<name>` are those of the clips
without labels, by the same models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distill.merged import write_merged
from distill.soft_targets import SOFT_TARGETS_NAME, SoftTargets, mix_teachers
from runs import Predictions, Task
from stages.execute import Tasks
from stages.job import Upstream
from stages.jobs import Prediction, predictions_name
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


def models_of(sources: Iterable[SoftTargetSource]) -> list[str]:
    """The models that teach in any of them, by name."""
    return sorted({model for source in sources for model in source.models})


def soft_targets(
    tasks: Tasks,
    sources: Iterable[SoftTargetSource],
    split: str,
    predicted: Mapping[str, Task],
) -> dict[str, Task]:
    """The finished tasks `soft/<name>` (`train`) or `soft-unlabeled/<name>`, by the sources' names.

    Args:
        tasks: gives finished tasks, or makes them.
        sources: one of a name counts once.
        split: whose clips they are of.
        predicted: the finished predictions of that split, by `models_of` the sources.
    """
    distinct = {source.name: source for source in sources}
    return {name: _mix(tasks, source, split, predicted) for name, source in distinct.items()}


def prediction_job(
    workspace: Workspace,
    member: str,
    trained: Task,
    train: TrainConfig,
    split: str,
    host: tuple[str, Task] | None,
) -> Prediction:
    """The run of a member's trained model, on its host, over the clips of a split."""
    folder = "training-predictions" if split == "train" else f"{split}-predictions"
    name = workspace.task_name(folder, "-".join(trained.name.split("/")[-2:]))
    setting, batch_size = workspace.setting(member, host=host), train.inference_batch_size
    return Prediction(name, setting, Upstream.of(trained), batch_size, train.threads, split)


def _mix(
    tasks: Tasks,
    source: SoftTargetSource,
    split: str,
    predicted: Mapping[str, Task],
) -> Task:
    workspace = tasks.workspace
    config, mix = workspace.config.distill, workspace.config.ensemble.mix
    used = {model: predicted[model] for model in source.models}

    def work(task: Task) -> tuple[list[str], Any]:
        files = (own.file(predictions_name(split)) for own in used.values())
        predictions = [Predictions.load(path) for path in files]
        targets = mix_teachers(predictions, source.weights, config.stored_labels, mix)
        targets.save(task.folder / SOFT_TARGETS_NAME)
        return [SOFT_TARGETS_NAME], {"clips": len(targets.ids), "models": list(used)}

    inputs = {
        "teacher": source,
        "stored_labels": config.stored_labels,
        "mix": mix,
        "upstream": {task.name: task.digest() for task in used.values()},
    }
    folder = "soft" if split == "train" else f"soft-{split}"
    soft = tasks.of_work(workspace.task_name(folder, source.name), inputs, work)
    if config.write_merged and split == "train" and not workspace.leaves_out:
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
    tasks.of_work(workspace.task_name("merged", name), inputs, work)
