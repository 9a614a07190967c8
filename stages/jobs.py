"""What a training process is told: one member, its data, its settings, as plain JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.codec import from_plain, to_plain
from common.files import write_json
from common.registry import Extension
from records import DataError, DataSource, Fold, Schema
from runs import Task
from training.config import TrainConfig

JOB_NAME = "job.json"
WEIGHTS_NAME = "weights.safetensors"


def predictions_name(split: str) -> str:
    """The file in a member's folder that holds its predictions on `split`."""
    return f"predictions-{split}.safetensors"


@dataclass(frozen=True)
class MemberJob:
    """Everything that decides what one training produces.

    Attributes:
        task: the task's name within the run, e.g. "teachers/netvlad-64".
        member: the member's name.
        family: its family's name.
        config: the family's hyperparameters as plain JSON.
        train: how it is trained.
        seed: of initialization, order of the clips, frame draws and dropout.
        device: "auto", "cpu" or "cuda".
        data: the shards.
        fingerprints: of the splits' contents, by name.
        stored_labels: labels kept a clip in the predictions.
        fold: set when this training leaves out a fold of the training split and predicts it.
        upstream: digests of the tasks whose output this one reads.
        extra: what the objective needs to know beyond this (soft targets of a student).
        source: the file of a family of the user's own; None for those of the package.
    """

    task: str
    member: str
    family: str
    config: Mapping[str, Any]
    train: TrainConfig
    seed: int
    device: str
    data: DataSource
    fingerprints: Mapping[str, str]
    stored_labels: int
    fold: Fold | None = None
    upstream: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    source: Extension | None = None

    def inputs(self) -> dict[str, Any]:
        """What the task's content key covers: all that changes its result, and no path."""
        value = self.to_dict()
        del value["data"], value["train"]["checkpoint_seconds"], value["source"]
        value["extra"].pop("folder", None)
        value["schema"] = _computed_part(self.data.schema)
        if self.source is not None:
            value["source"] = self.source.digest
        return value

    def to_dict(self) -> dict[str, Any]:
        value = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in ("train", "data", "fold", "source")
        }
        value = {k: dict(v) if isinstance(v, Mapping) else v for k, v in value.items()}
        value["train"] = dataclasses.asdict(self.train)
        value["data"] = to_plain(self.data)
        value["fold"] = None if self.fold is None else dataclasses.asdict(self.fold)
        value["source"] = (
            None
            if self.source is None
            else {"path": str(self.source.path), "digest": self.source.digest}
        )
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> MemberJob:
        parts = dict(value)
        parts["train"] = TrainConfig(**parts["train"])
        parts["data"] = from_plain(DataSource, parts["data"], f"{JOB_NAME}: data", DataError)
        parts["fold"] = None if parts["fold"] is None else Fold(**parts["fold"])
        # Absent from the jobs of runs that are older than own families.
        source = parts.get("source")
        parts["source"] = (
            None if source is None else Extension(Path(source["path"]), source["digest"])
        )
        return cls(**parts)

    def prepare(self, task: Task) -> None:
        """Makes the task's folder ready for a process that is given nothing else."""
        with task.lock():
            task.prepare()
            write_json(task.folder / JOB_NAME, self.to_dict())


def _computed_part(schema: Schema) -> dict[str, Any]:
    """The schema without its names: renaming a label retrains nothing."""
    value = to_plain(schema)
    for key in ("label_names", "vertical_names"):
        value.pop(key, None)
    return value
