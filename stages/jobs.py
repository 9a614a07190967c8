"""What a process of its own is told: a training, a prediction or a measurement, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from common.codec import from_plain, to_plain
from common.extensions import load_extensions
from common.registry import Extension
from families import registry
from records import Schema, Split
from records.schema import decisive_keys
from records.splits import DataSource
from runs import ResourceConfig, RunError, Task
from runs.checksums import read_checked_json, write_checked_json
from runs.code import record_code
from runs.marker import Marker
from training.config import TrainConfig

JOB_NAME = "job.json"
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
_NOT_COVERED_AT: dict[str, Any] = {"devices": 1, "micro_batch": None}

# Of a training: its own weights at the end, or their average.
Phase = Literal["main", "average"]


def predictions_name(split: str) -> str:
    """The file in a member's folder that holds its predictions on `split`."""
    return f"predictions-{split}.safetensors"


@dataclass(frozen=True)
class Upstream:
    """A finished task whose files a job reads.

    Attributes:
        folder: the task's.
        digest: of its files; the content key has this, and not where they lie.
    """

    folder: Path
    digest: str

    @classmethod
    def of(cls, task: Task) -> Upstream:
        return cls(task.folder.resolve(), task.digest())

    def file(self, name: str) -> Path:
        """The path of one of its files, shown to be as it was when the job was given.

        Raises:
            UserError: it is not.
        """
        marker = Marker.read(self.folder)
        if marker is None or marker.digest != self.digest:
            raise RunError(f"{self.folder}: changed while this job waited; give the command again")
        return marker.file(self.folder, name)


@dataclass(frozen=True)
class HostModel:
    """The trained model on whose last hidden layer a job's model stands."""

    family: str
    config: Mapping[str, Any]
    trained: Upstream


@dataclass(frozen=True)
class Setting:
    """What every job needs: a model, the data, and the machine.

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
class Job:
    """What a process of its own does.

    Attributes:
        work: the modules of `stages` that do it.
        task: the task's name within the run, such as "teachers/netvlad-64".
        setting: model, data, machine.
    """

    work: ClassVar[tuple[str, ...]] = ("stages.worker", "stages.training_work")
    task: str
    setting: Setting

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that it reads."""
        raise NotImplementedError

    def thread_count(self) -> int:
        """How many threads it computes with in all its processes."""
        raise NotImplementedError

    def takes(self, task: Task) -> bool:
        """Whether what a finished task of these inputs holds is what the job is to make."""
        return True

    def inputs(self) -> dict[str, Any]:
        """What the content key covers: all that changes the result, and no path."""
        return {**self.setting.inputs(self.splits), **_covered(self, "task", "setting", "in_time")}

    @property
    def modules(self) -> tuple[str, ...]:
        """Those whose code, with what they import, makes the result."""
        host = self.setting.host
        families = [self.setting.family, *([host.family] if host else [])]
        return (*self.work, PREDICTIONS, *map(module_of, families))


@dataclass(frozen=True)
class Training(Job):
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
class Prediction(Job):
    """The run of a trained model over a split, `batch_size` clips a forward pass."""

    trained: Upstream
    batch_size: int
    threads: int
    split: str = "train"

    @property
    def splits(self) -> tuple[str, ...]:
        return (self.split,)

    def thread_count(self) -> int:
        return self.threads


@dataclass(frozen=True)
class Measurement(Job):
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


_KINDS = {kind.__name__.lower(): kind for kind in (Training, Prediction, Measurement)}


def module_of(family: str) -> str:
    """The dotted name of the module that holds a family."""
    return registry.get(family).module.__module__


def prepare_job(job: Job, task: Task) -> None:
    """Makes the task's folder ready for a process that is given nothing else."""
    with task.lock():
        task.prepare()
        record_code(task, job.modules)
        kind = type(job).__name__.lower()
        write_checked_json(task.folder / JOB_NAME, {"kind": kind, **to_plain(job)})


def read_job(folder: Path) -> Job:
    """The job of a task's folder, its extensions loaded.

    Raises:
        UserError: the file is damaged, or a file of the user's own is gone or not the one that the
            run began with.
    """
    place = folder / JOB_NAME
    values = read_checked_json(place)
    job: Job = from_plain(_KINDS[values.pop("kind")], values, str(place), RunError)
    wanted = job.setting.extensions
    for extension, found in zip(wanted, load_extensions(e.path for e in wanted), strict=True):
        if found != extension:
            raise RunError(f"extensions: {extension.path} was edited; give the command again")
    return job


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
