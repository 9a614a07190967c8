"""What the command line accepts: the dataclasses behind every key in `conf/`.

Hydra composes the keys into one mapping, for which it takes its defaults from here; the codec makes
a `Config` of it, and refuses what its fields do not take in one line that names the key.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from annotated_types import Ge
from omegaconf import DictConfig, OmegaConf

from common.codec import Text, from_plain, replaced, to_plain
from common.errors import ConfigError
from distill.config import DistillConfig, StudentConfig
from ensemble.config import EnsembleConfig
from quantize.config import QuantizeConfig
from records.config import DataConfig
from runs.code_changes import OnCodeChange
from training.config import TrainConfig


@dataclass(frozen=True)
class MemberConfig:
    """One model of the ensemble: a family, its hyperparameters, and how it is trained."""

    family: str
    config: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """Every key of the command line.

    `extensions` names Python files of the user's own that register families and the like. `jobs`
    are processes at once; 0 means as many as keep all cores busy at `train.threads` each, or one on
    a GPU. One that neither reports nor reads anything for `silent_minutes` is ended; 0 means never.
    `on_code_change` says what becomes of tasks that other code of the project made: by default they
    are kept, since an update must not cost days of training by itself, and a line says so.
    """

    stage: str | None = None
    run: Text = "default"
    outputs: Text = "outputs"
    seed: int = 0
    jobs: Annotated[int, Ge(0)] = 0
    on_code_change: OnCodeChange = "keep"
    silent_minutes: Annotated[float, Ge(0)] = 30.0
    budget: Text = "1GiB"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    extensions: tuple[str, ...] = ()
    members: dict[str, MemberConfig] = field(default_factory=dict)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    bundle: Text | None = None
    split: Literal["train", "search", "report", "test"] | None = None
    format: Literal["kaggle", "top10"] = "kaggle"
    output: Text | None = None

    def __post_init__(self) -> None:
        # The students' own settings are laid over these: a mistake would be reported as theirs.
        replaced(self.train, self.distill.train, "distill.train", ConfigError)
        families = {member.family for member in self.members.values()}
        _check_teacher("distill.teacher", self.distill.teacher, families)
        for name, student in (self.distill.students | self.students).items():
            where = f"distill.students.{name}"
            member = student.member if student else name
            if member not in self.members:
                known = ", ".join(self.members) or "none"
                raise ConfigError(f"{where}.member: no member {member!r}; there are {known}")
            if student:
                _check_teacher(f"{where}.teacher", student.teacher, families)

    @cached_property
    def students(self) -> dict[str, StudentConfig]:
        """All students by name."""
        return self.distill.students_of(self.members)


def config_from(composed: Any) -> Config:
    """The configuration that a composed mapping says.

    Raises:
        ConfigError: naming the key, the value and what it may be.
    """
    return from_plain(Config, composed, "", ConfigError)


def hydra_node() -> DictConfig:
    """The defaults of all keys, as Hydra stores them."""
    node: DictConfig = OmegaConf.create(to_plain(Config()))
    for key in node:
        # Hydra then leaves new keys below to the codec, which says which ones there are, and
        # `members.wide.config.dropout=0.3` needs no + for a key that the experiment does not have.
        if OmegaConf.is_dict(node[key]):
            OmegaConf.set_struct(node[key], False)
    return node


def _check_teacher(where: str, teacher: str, families: set[str]) -> None:
    teachers = families | {"family", "all", "labels"}
    if teacher not in teachers:
        raise ConfigError(f"{where}: must be one of {', '.join(sorted(teachers))}, not {teacher!r}")
