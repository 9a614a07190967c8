"""What a process of its own is told: a training, a prediction or a measurement, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from common.codec import from_plain, to_plain
from common.extensions import load_extensions
from common.files import read_json, write_json
from common.registry import Extension
from quantize.config import QuantizeConfig
from records.folds import Fold
from records.source import DataSource
from runs import RunError, Task
from training.config import TrainConfig

JOB_NAME = "job.json"
WEIGHTS_NAME = "weights.safetensors"


def predictions_name(split: str) -> str:
    """The file in a member's folder that holds its predictions on `split`."""
    return f"predictions-{split}.safetensors"


@dataclass(frozen=True)
class Setting:
    """What every job needs: a model, the data, and the machine.

    Attributes:
        family: the family's name; `config` are its hyperparameters as plain JSON.
        data: the shards; `fingerprints` are of the splits' contents, by name.
        device: "auto", "cpu" or "cuda".
        stored_labels: labels kept a clip in predictions.
        extensions: the files of the user's own that the run was given.
        sources: digests of those of them that a result depends on, by what they provide.
    """

    family: str
    config: Mapping[str, Any]
    data: DataSource
    fingerprints: Mapping[str, str]
    device: str
    stored_labels: int
    extensions: tuple[Extension, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def inputs(self, *splits: str) -> dict[str, Any]:
        """What the content key of a job on these splits covers: no path, and no names of labels."""
        schema = to_plain(self.data.schema)
        for key in ("label_names", "vertical_names"):
            del schema[key]
        return {
            "family": self.family,
            "config": self.config,
            "schema": schema,
            "fingerprints": {name: self.fingerprints[name] for name in splits},
            "device": self.device,
            "stored_labels": self.stored_labels,
            **({"sources": self.sources} if self.sources else {}),
        }


@dataclass(frozen=True)
class Upstream:
    """A finished task that a job reads: its folder, and the digest of what is in it.

    Keys cover the digest, and not where the folder lies.
    """

    folder: Path
    digest: str

    @classmethod
    def of(cls, task: Task) -> Upstream:
        return cls(task.folder.resolve(), task.digest())


@dataclass(frozen=True)
class SoftLabels:
    """What a student learns from: soft targets, and the labels with a weight of `hard_weight`."""

    targets: Upstream
    hard_weight: float


@dataclass(frozen=True)
class Training:
    """The training of a member, and its predictions.

    Attributes:
        task: the task's name within the run, such as "teachers/netvlad-64".
        setting: model, data, machine.
        train: how it is trained.
        seed: of initialization, order of the clips, frame draws and dropout.
        fold: set when a fold of the training split is left out, and predicted.
        soft: set for a student.
    """

    kind: ClassVar[str] = "training"
    task: str
    setting: Setting
    train: TrainConfig
    seed: int
    fold: Fold | None = None
    soft: SoftLabels | None = None

    def inputs(self) -> dict[str, Any]:
        """What the content key covers: all that changes the result."""
        train = to_plain(self.train)
        # How often it is saved does not.
        del train["checkpoint_seconds"]
        soft = self.soft
        return {
            **self.setting.inputs("train", "search", "report"),
            "train": train,
            "seed": self.seed,
            "fold": self.fold,
            "soft": soft and {"targets": soft.targets.digest, "hard_weight": soft.hard_weight},
        }


@dataclass(frozen=True)
class Prediction:
    """The run of a trained model over the training split, `batch_size` clips a forward pass."""

    kind: ClassVar[str] = "prediction"
    task: str
    setting: Setting
    trained: Upstream
    batch_size: int

    def inputs(self) -> dict[str, Any]:
        """What the content key covers."""
        own = {"trained": self.trained.digest, "batch_size": self.batch_size}
        return self.setting.inputs("train") | own


@dataclass(frozen=True)
class Measurement:
    """What a trained student costs and scores by every recipe of storing it.

    `student` is its name in a bundle; what to try is said by `quantize`.
    """

    kind: ClassVar[str] = "measurement"
    task: str
    setting: Setting
    trained: Upstream
    batch_size: int
    student: str
    quantize: QuantizeConfig

    def inputs(self) -> dict[str, Any]:
        """What the content key covers."""
        return {
            **self.setting.inputs("search", "report"),
            "trained": self.trained.digest,
            "batch_size": self.batch_size,
            "student": self.student,
            **vars(self.quantize),
        }


Job = Training | Prediction | Measurement
_KINDS: dict[str, type[Job]] = {job.kind: job for job in (Training, Prediction, Measurement)}


def prepare_job(job: Job, task: Task) -> None:
    """Makes the task's folder ready for a process that is given nothing else."""
    with task.lock():
        task.prepare()
        write_json(task.folder / JOB_NAME, {"kind": job.kind, **to_plain(job)})


def read_job(folder: Path) -> Job:
    """The job of a task's folder, its extensions loaded.

    Raises:
        UserError: a file of the user's own is gone, or not the one that the run began with.
    """
    place = folder / JOB_NAME
    values = dict(read_json(place))
    job = from_plain(_KINDS[values.pop("kind")], values, str(place), RunError)
    wanted = job.setting.extensions
    for extension, found in zip(wanted, load_extensions(e.path for e in wanted), strict=True):
        if found != extension:
            raise RunError(f"extensions: {extension.path} was edited; give the command again")
    return job
