"""The jobs of a single model: its training, predictions, measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Literal

from common.registry import Extension
from families import registry
from records import Schema, Split
from records.schema import decisive_keys
from records.splits import DataSource
from runs import ResourceConfig, Task
from stages.job import Job, Needs, Upstream
from training.config import TrainConfig

WEIGHTS_NAME = "weights.safetensors"
# The split of the clips without labels.
UNLABELED = "unlabeled"
# The module of `runs` that a result depends on.
PREDICTIONS = "runs.predictions"
# What changes no result: to save or to score more often.
_NOT_COVERED: dict[type, tuple[str, ...]] = {TrainConfig: ("checkpoint_seconds", "time_limit")}
# What changes a result only where a field is set that is named with it. That a training had no time
# for all its steps is no input either: `takes` tells it from others.
_COVERED_WITH = {
    "patience": "patience",
    "evaluate_every": "patience",
    "evaluate_clips": "patience",
    "stop": "stop",
}
# What a setting is where it changes nothing. Jobs have the keys that they had before there was it.
_NOT_COVERED_AT: dict[str, Any] = {"devices": 1, "micro_batch": None, "start": 0, "end": None}

# Of a training: its own weights at the end, or their average.
Phase = Literal["main", "average"]


def predictions_name(split: str) -> str:
    """The file in a member's folder that holds its predictions on `split`."""
    return f"predictions-{split}.safetensors"


@dataclass(frozen=True)
class HostModel:
    """The trained model on whose last hidden layer a job's model stands."""

    family: str
    config: Mapping[str, Any]
    trained: Upstream


@dataclass(frozen=True)
class Setting:
    """What every job of a model needs: the model, the data, and the machine.

    Attributes:
        family: the family's name.
        config: its hyperparameters as plain JSON.
        data: the shards.
        fingerprints: of the splits' contents, by name.
        device: "auto", "cpu" or "cuda".
        stored_labels: labels kept a clip in predictions.
        extensions: the files of the user's own that the job uses.
        sources: digests of those of them that a result depends on, by what they provide.
        unlabeled: shards whose labels are not read, of the split of that name.
        host: of a model that has one.
        resources: what its jobs take of a machine.
    """

    family: str
    config: Mapping[str, Any]
    data: DataSource
    fingerprints: Mapping[str, str]
    device: str
    stored_labels: int
    extensions: tuple[Extension, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    unlabeled: DataSource | None = None
    host: HostModel | None = None
    resources: ResourceConfig = field(default_factory=ResourceConfig)

    def open(self, name: str) -> Split:
        """The records of a split.

        Raises:
            DataError: there is no such split, or a shard is damaged.
        """
        return (self.unlabeled if name == UNLABELED and self.unlabeled else self.data).open(name)

    def inputs(self, splits: tuple[str, ...]) -> dict[str, Any]:
        """What the content key of a job on these splits covers."""
        return {
            "family": self.family,
            "config": self.config,
            "schema": _covered(self.data.schema),
            "fingerprints": {name: self.fingerprints[name] for name in splits},
            "device": self.device,
            "stored_labels": self.stored_labels,
            **({"sources": self.sources} if self.sources else {}),
            **({"host": _covered(self.host)} if self.host else {}),
        }


@dataclass(frozen=True)
class UnlabeledClips:
    """Clips that a student learns from by soft targets alone.

    Attributes:
        targets: the task that wrote these.
        fingerprint: of the clips.
        share: as in `UnlabeledConfig`, and so is `weight`.
    """

    targets: Upstream
    fingerprint: str
    share: float
    weight: float


@dataclass(frozen=True)
class SoftLabels:
    """What a student learns from beside the labels.

    Attributes:
        targets: the task that wrote the soft targets.
        hard_weight: lambda of Skalic & Austin 2018, equation 2.
        unlabeled: set where there are further clips.
    """

    targets: Upstream
    hard_weight: float
    unlabeled: UnlabeledClips | None = None


@dataclass(frozen=True)
class ModelJob(Job):
    """What a process of its own does with a model.

    Attributes:
        setting: model, data, machine.
    """

    work: ClassVar[tuple[str, ...]] = ("stages.worker", "stages.training_work")
    setting: Setting

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that it reads."""
        raise NotImplementedError

    @property
    def needs(self) -> Needs:
        own = self.setting
        return Needs(own.device, own.extensions, own.resources)

    def inputs(self) -> dict[str, Any]:
        return {**self.setting.inputs(self.splits), **_covered(self, "task", "setting", "in_time")}

    @property
    def modules(self) -> tuple[str, ...]:
        host = self.setting.host
        families = [self.setting.family, *([host.family] if host else [])]
        return (*self.work, PREDICTIONS, *map(module_of, families))


@dataclass(frozen=True)
class Training(ModelJob):
    """The training of a member, and its predictions.

    Attributes:
        train: how it is trained.
        seed: of initialization, order of the clips, frame draws and dropout.
        predicted: the splits that it predicts afterwards.
        phase: of the training, the weights that are kept, "main" or "average"; None: those with the
            better GAP on `search`.
        stop: planned epochs after which its first phase ends; None: its settings say when.
        in_time: whether it is given a share of a run's time when it starts.
        soft: set for a student.
    """

    train: TrainConfig
    seed: int
    predicted: tuple[str, ...] = ("search", "report")
    phase: Phase | None = None
    stop: float | None = None
    in_time: bool = False
    soft: SoftLabels | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", *self.predicted)

    def thread_count(self) -> int:
        return self.train.cores

    @property
    def is_limited(self) -> bool:
        """Whether it may be that there is no time for all its steps."""
        return self.in_time or self.train.time_limit is not None

    def takes(self, task: Task) -> bool:
        """All that is finished; a training that was shortened, as long as there is a limit."""
        return self.is_limited or not task.summary().get("shortened")


@dataclass(frozen=True)
class Prediction(ModelJob):
    """The run of a trained model over a split, or over some of its clips.

    Attributes:
        trained: the model's training.
        batch_size: clips a forward pass.
        threads: those that it computes with.
        split: its name.
        start: number of the first clip, a multiple of `batch_size`.
        end: number after that of the last clip; None: the rest.
    """

    trained: Upstream
    batch_size: int
    threads: int
    split: str = "train"
    start: int = 0
    end: int | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        return (self.split,)

    def thread_count(self) -> int:
        return self.threads


@dataclass(frozen=True)
class Measurement(ModelJob):
    """What a trained student costs and scores by every recipe of storing it.

    Attributes:
        trained: the student's training.
        batch_size: clips a forward pass.
        threads: those that it computes with.
        student: its name in a bundle.
        scored: the split on which every recipe is scored; None: they are only laid out.
        reported: whether it is laid out, and scored on `report`.
        threshold: as in `QuantizeConfig`, and so are the following.
    """

    work = ("stages.worker", "stages.training_work", "stages.packing.measurement_work")
    trained: Upstream
    batch_size: int
    threads: int
    student: str
    scored: str | None
    reported: bool
    threshold: int
    precisions: tuple[str, ...]
    group_precisions: tuple[str, ...]
    tensor_precisions: tuple[str, ...]
    memory_precisions: tuple[str, ...]
    entropy: bool

    @property
    def splits(self) -> tuple[str, ...]:
        scored = [self.scored] if self.scored else []
        return ("train", *scored, *(["report"] if self.reported else []))

    def thread_count(self) -> int:
        return self.threads


def module_of(family: str) -> str:
    """The dotted name of the module that holds a family."""
    return registry.get(family).module.__module__


def _covered(value: Any, *without: str) -> Any:
    """What of a job, or of a part of one, its content key covers."""
    if isinstance(value, Upstream):
        return value.digest
    if isinstance(value, Schema):
        return decisive_keys(value)
    if is_dataclass(value):
        without += _NOT_COVERED.get(type(value), ())
        unset = [n for n, other in _COVERED_WITH.items() if getattr(value, other, 0) is None]
        unset += [n for n, at in _NOT_COVERED_AT.items() if getattr(value, n, 0) == at]
        names = (part.name for part in fields(value) if part.name not in {*without, *unset})
        return {name: _covered(getattr(value, name)) for name in names}
    return value
