"""What the command line accepts: the dataclasses behind every key in `conf/`.

Hydra composes them and refuses an unknown key or a wrong type. What it cannot check (an unknown
choice, a number out of range) is checked by `validate`, in one line that names the key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from common.errors import ConfigError
from training.config import TrainConfig, check_at_least, check_choice, check_train

STAGES = {
    "synthesize": "generate the demonstration data set",
    "plan": "write plan.json: parameters and bytes, before training",
    "teachers": "train every member on the labels, write its predictions",
    "ensemble": "choose each family's teacher, search the weights of all",
    "distill": "write soft targets, train the students on them",
    "pack": "quantize, choose under the budget, write bundle and receipt",
    "predict": "bundle and shards to a submission file",
    "evaluate": "score a bundle on labeled shards",
    "export": "a bundle to one ONNX file",
    "all": "all of these in order, then the table",
}


@dataclass
class SplitConfig:
    """Which records a split takes: shards by glob below `data.root`, then ids by hash.

    An id's hash is uniform in [0, 1); the split keeps those in [hash_from, hash_to). Without
    `shards` the data set has no such split.
    """

    shards: str | None = None
    hash_from: float = 0.0
    hash_to: float = 1.0


@dataclass
class DemoConfig:
    """Size of the generated demonstration data (`stage=synthesize`)."""

    train_clips: int = 3000
    search_clips: int = 1000
    report_clips: int = 1000
    test_clips: int = 1000
    min_frames: int = 20
    max_frames: int = 120


@dataclass
class DataConfig:
    """Where the shards lie, what is in them, and who may see which.

    With `generated`, `stage=synthesize` writes them there, `demo` saying how many.
    """

    root: str | None = None
    schema: str | None = None
    vocabulary: str | None = None
    train: SplitConfig = field(default_factory=SplitConfig)
    search: SplitConfig = field(default_factory=SplitConfig)
    report: SplitConfig = field(default_factory=SplitConfig)
    test: SplitConfig = field(default_factory=SplitConfig)
    on_corrupt: str = "error"
    workers: int = 0
    generated: bool = False
    demo: DemoConfig = field(default_factory=DemoConfig)


@dataclass
class MemberConfig:
    """One model of the ensemble: a family, its hyperparameters, and how it is trained."""

    family: str
    config: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass
class EnsembleConfig:
    """Weight search. `mix` says what the weights mix: probabilities or log-odds."""

    method: str = "random"
    trials: int = 2000
    mix: str = "probability"
    stored_labels: int = 100
    teacher_size: int = 3


@dataclass
class StudentConfig:
    """A student: which member is trained again, and who teaches it.

    `teacher` is `family` (the best combination of the member's own family), the name of another
    family, `all` (every teacher, with the searched weights), or `labels` (none: the member as it
    was trained on the labels goes on to packing). At level 2 the teacher is the flat mean of the
    level-1 students of that family, or of all of them.
    """

    member: str
    teacher: str = "family"
    level: int = 1
    train: dict[str, Any] = field(default_factory=dict)


@dataclass
class DistillConfig:
    """Soft targets and students. `hard_weight` is lambda of Skalic & Austin 2018, equation 2."""

    hard_weight: float = 0.5
    stored_labels: int = 50
    folds: int = 1
    students: dict[str, StudentConfig] = field(default_factory=dict)
    write_merged: bool = False


@dataclass
class QuantizeConfig:
    """How students may be stored; stage `pack` chooses among it.

    Tensors of more elements than `threshold` are quantized. A student is measured at every one of
    `precisions`, and at `uniform8` with one group of its tensors (head, recurrent, aggregation) at
    one of `group_precisions`. `entropy` compresses the codes of the bundle.
    """

    threshold: int = 17_000
    precisions: list[str] = field(
        default_factory=lambda: ["channel4", "channel5", "channel6", "float16", "float32"]
    )
    group_precisions: list[str] = field(default_factory=lambda: ["channel4"])
    entropy: bool = False


@dataclass
class Config:
    """Every key of the command line.

    `extensions` names Python files of the user's own that register families and the like.
    """

    stage: str | None = None
    run: str = "default"
    outputs: str = "outputs"
    seed: int = 0
    jobs: int = 0
    budget: str = "1GiB"
    device: str = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    extensions: list[str] = field(default_factory=list)
    members: dict[str, MemberConfig] = field(default_factory=dict)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    bundle: str | None = None
    split: str | None = None
    format: str = "kaggle"
    output: str | None = None


CHOICES = {
    "data.on_corrupt": ("error", "skip"),
    "ensemble.method": ("random", "greedy", "optuna", "flat"),
    "ensemble.mix": ("probability", "log_odds"),
    "format": ("kaggle", "top10"),
    "device": ("auto", "cpu", "cuda"),
}


def validate(config: Config) -> None:
    """Checks what types alone do not say.

    Raises:
        ConfigError: naming the key, the value and what it may be.
    """
    for key, choices in CHOICES.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        check_choice(key, value, choices)
    if config.stage is not None:
        check_choice("stage", config.stage, tuple(STAGES))
    if config.split is not None:
        check_choice("split", config.split, ("train", "search", "report", "test"))
    check_train(config.train, "train")
    for name in ("train", "search", "report", "test"):
        split = getattr(config.data, name)
        if not 0 <= split.hash_from < split.hash_to <= 1:
            raise ConfigError(
                f"data.{name}: hash_from {split.hash_from} and hash_to {split.hash_to} must be "
                "in [0, 1] and in this order"
            )
    check_at_least("jobs", config.jobs, 0)
    check_at_least("ensemble.trials", config.ensemble.trials, 1)
    check_at_least("ensemble.stored_labels", config.ensemble.stored_labels, 20)
    check_at_least("ensemble.teacher_size", config.ensemble.teacher_size, 1)
    check_at_least("distill.folds", config.distill.folds, 1)
    check_at_least("distill.stored_labels", config.distill.stored_labels, 1)
    check_at_least("quantize.threshold", config.quantize.threshold, 0)
    check_at_least("data.workers", config.data.workers, 0)
    if not 0 <= config.distill.hard_weight <= 1:
        raise ConfigError(f"distill.hard_weight: {config.distill.hard_weight} is not in [0, 1]")
    _check_students(config)


def _check_students(config: Config) -> None:
    families = {member.family for member in config.members.values()}
    for name, student in config.distill.students.items():
        where = f"distill.students.{name}"
        if student.member not in config.members:
            known = ", ".join(config.members) or "none"
            raise ConfigError(f"{where}.member: no member {student.member!r}; there are {known}")
        teachers = families | {"family", "all", "labels"}
        if student.teacher not in teachers:
            known = ", ".join(sorted(teachers))
            raise ConfigError(f"{where}.teacher: {student.teacher!r} is none of {known}")
        check_choice(f"{where}.level", student.level, (1, 2))
