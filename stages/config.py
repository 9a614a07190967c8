"""What the command line accepts: the dataclasses behind every key in `conf/`.

Hydra composes the keys into one mapping, for which it takes its defaults from here; the codec makes
a `Config` of it, and refuses what its fields do not take in one line that names the key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

from annotated_types import Ge
from omegaconf import DictConfig, OmegaConf

from common.codec import Positive, Text, from_plain, replaced, to_plain
from common.errors import ConfigError
from common.messages import Verbosity
from common.problems import quoted
from distill.config import DistillConfig, StudentConfig
from ensemble.config import EnsembleConfig
from quantize.config import LimitConfig, PackConfig, QuantizeConfig
from records.config import DataConfig
from records.recognition.config import ColumnsConfig
from runs import ExecutorConfig
from runs.code_changes import OnCodeChange
from runs.store import is_name
from stages.commands.composed import check_composed
from stages.external.config import BUNDLE, ExternalConfig
from stages.members import MemberConfig, spread_members
from stages.packing.budgets import parse_budgets
from stages.parts.config import PartsConfig
from stages.tracking.config import TrackingConfig
from training.config import Precision, TrainConfig
from tune.config import TuneConfig

# A student of this teacher is the member as trained on the labels.
LABELS = "labels"


@dataclass(frozen=True)
class Config:
    """Every key of the command line.

    `outputs` is the folder of runs, or a URL, `s3://bucket/runs`; then they are worked on in copies
    below `local_outputs`, by default with the user's caches, on each machine of a cluster its own.

    `extensions` names files of the user's own that register families and the like. `executor` says
    where jobs run, `jobs` how many at once; 0 means as many as find room (`ResourceConfig`). One
    that neither reports nor reads anything for `silent_minutes` is ended; 0 means never.
    `time_limit` is what the command may take: `2h`, `90m`, or minutes. Trainings for which there is
    no time take fewer steps (see `runs/run_time.py`); everything else takes what it takes.
    `on_code_change` says what becomes of tasks that other code of the project made: by default they
    are kept, since an update must not cost days of training by itself, and a line says so.
    `verbosity` is what `-q` and `-v` set: how much is said beside errors and results.

    With `folds`, `train` and `search` are one set, cut in so many parts. Teachers, their soft
    targets and students are made once without each part, and predict it; everything is chosen on
    these predictions. What is packed is then trained on all of the set (`final=refit`), each
    student up to `copies` times with other seeds; or it is the models of the folds themselves
    (`final=bag`). How many of each is chosen with the rest, under the budget.

    Of several `budget`s, `[1MB, 2MB]`, stage `pack` makes a bundle each; all keep to `limit`.

    `columns` names columns that stage `import` cannot tell apart by itself.

    `parts` says how a split is cut that is large and predicted, or that a bundle is scored on.

    `precision` is what a bundle computes in for `predict` and `evaluate`: in float32, every machine
    of a kind finds what its receipt says. Everything that is chosen is chosen in float32.

    `external` are models that other programs trained. Stage `ensemble` weighs them beside the
    teachers, and `predict` beside the bundle.
    """

    stage: str | None = None
    run: Text = "default"
    outputs: Text = "outputs"
    local_outputs: Text | None = None
    seed: int = 0
    folds: Annotated[int, Ge(0)] = 0
    final: Literal["refit", "bag"] = "refit"
    copies: Positive = 1
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    jobs: Annotated[int, Ge(0)] = 0
    on_code_change: OnCodeChange = "keep"
    silent_minutes: Annotated[float, Ge(0)] = 30.0
    time_limit: Text | None = None
    verbosity: Verbosity = "normal"
    budget: Text | tuple[Text, ...] = "1GiB"
    limit: LimitConfig = field(default_factory=LimitConfig)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    extensions: tuple[str, ...] = ()
    members: dict[str, MemberConfig] = field(default_factory=dict)
    external: dict[str, ExternalConfig] = field(default_factory=dict)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    pack: PackConfig = field(default_factory=PackConfig)
    parts: PartsConfig = field(default_factory=PartsConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    bundle: Text | None = None
    split: Literal["train", "search", "report", "test"] | None = None
    format: Literal["kaggle", "top10"] = "kaggle"
    precision: Precision = "float32"
    output: Text | None = None

    def __post_init__(self) -> None:
        if len(self.budgets) > 1 and self.stage == "all":
            raise ConfigError(
                "budget: stage=all packs one bundle; give one, and then stage=pack budget=[...]"
            )
        if self.folds == 1:
            raise ConfigError("folds: 1 leaves nothing to train on; give 0 for none, or 2 and more")
        if not self.folds and self.final == "bag":
            raise ConfigError("final: bag packs the models of the folds; give folds=5, say")
        if self.copies > 1 and (not self.folds or self.final == "bag"):
            raise ConfigError(
                "copies: they are of what is trained once more after folds=..., with final=refit; "
                "members.NAME.copies makes members that differ in their seeds"
            )
        object.__setattr__(self, "members", spread_members(self.members))
        for name in self.external:
            _check_task_name("external", name)
            if name == BUNDLE or name in self.members:
                raise ConfigError(f"external.{name}: another model has this name; choose one")
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
        for name, copy in product(self.students, range(2, max(self.copies, self.folds) + 1)):
            if (taken := copy_name(name, copy)) in self.students:
                raise ConfigError(
                    f"distill.students: {taken} is what the {copy}. model of {name} would be "
                    "called; rename it"
                )

    def check_members(self) -> None:
        """Checks what can be checked of members and students without their families.

        Raises:
            ConfigError: there are none, a name is none of a task, a training setting is wrong, or
                one stands on what there is not.
        """
        if not self.members:
            raise ConfigError("members: none given; choose an experiment=... or write one")
        for name in self.members:
            _check_task_name("members", name)
            self.train_config(name)
        for name in self.students:
            _check_task_name("distill.students", name)
            self.student_train_config(name)
            self.host_of_student(name)

    def seed_of(self, task: str) -> int:
        """The seed of a task, independent of those of all others."""
        digest = hashlib.blake2b(f"{self.seed}/{task}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little")

    def host_of(self, member: str) -> str | None:
        """The member on whose hidden layer a member stands, if it does.

        Raises:
            ConfigError: there is no such member, or it stands on another itself.
            families.FamilyError: the family or one of its fields is wrong.
        """
        of = self._of(member)
        where = f"members.{member}.config.of"
        if of is not None and of not in self.members:
            raise ConfigError(f"{where}: no member {of!r}; there are {', '.join(self.members)}")
        if of is not None and self._of(of) is not None:
            raise ConfigError(f"{where}: member {of!r} stands on another itself; name that one")
        return of

    def host_of_student(self, student: str) -> str | None:
        """The student on whose hidden layer a student stands, if it does: one of that member.

        It has learned before: at the same level or an earlier one, and from labels where the other
        is the member as it was trained on labels. Of several it is that of the member's name, or
        the first.

        Raises:
            ConfigError: there is none. And as in `host_of`.
        """
        own = self.students[student]
        of = self.host_of(own.member)
        if of is None:
            return None
        fit = [
            name
            for name, other in self.students.items()
            if other.member == of
            and (other.teacher == LABELS or (own.teacher != LABELS and other.level <= own.level))
        ]
        if not fit:
            raise ConfigError(
                f"distill.students.{student}: needs a student of member {of!r} that has learned "
                "before it, on whose hidden layer it stands"
            )
        return of if of in fit else fit[0]

    def copies_of(self, member: str) -> range:
        """The numbers of what is trained of a member once more, with other seeds alone.

        What remembers has none: it would remember the same.
        """
        from families import remembers

        return range(2, 2 if remembers(self.members[member].family) else self.copies + 1)

    def trained_as(self, student: str) -> tuple[str, str]:
        """The folder of a student's training within a run, and its name there."""
        own = self.students[student]
        return ("teachers", own.member) if own.teacher == LABELS else ("students", student)

    def train_config(self, member: str) -> TrainConfig:
        """How a member is trained: `train`, and its own `train` over it."""
        own = self.members[member].train
        return replaced(self.train, own, f"members.{member}.train", ConfigError)

    def student_train_config(self, student: str) -> TrainConfig:
        """How a student is trained: as its member, and its own `train` over it."""
        settings = self.students[student]
        base = self.train_config(settings.member)
        return replaced(base, settings.train, f"distill.students.{student}.train", ConfigError)

    def shown(self) -> dict[str, Any]:
        """All keys as plain data, as anybody may see them: without a storage's password."""
        return to_plain(replace(self, tune=self.tune.without_password()))

    def _of(self, member: str) -> str | None:
        # Families import torch, which takes seconds.
        from families import host_of

        settings = self.members[member]
        return host_of(settings.family, settings.config)

    @property
    def budgets(self) -> dict[str, int]:
        """Bytes of the budget, or of several, by how they are written."""
        return parse_budgets(self.budget)

    @cached_property
    def students(self) -> dict[str, StudentConfig]:
        """All students by name."""
        return self.distill.students_of(self.members)

    @cached_property
    def distilled(self) -> dict[str, StudentConfig]:
        """The students that learn from soft targets."""
        return {name: own for name, own in self.students.items() if own.teacher != LABELS}


def config_from(composed: Any) -> Config:
    """The configuration that a composed mapping says.

    Raises:
        ConfigError: naming the key, the value and what it may be.
    """
    check_composed(composed)
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


def copy_name(name: str, copy: int) -> str:
    """What a model of several that differ in seeds or folds alone is called; the first, as all."""
    return name if copy == 1 else f"{name}+{copy}"


def _check_task_name(where: str, name: str) -> None:
    """Refuses what cannot be a task's name, or would lie in another member's folder.

    Raises:
        ConfigError: it is such a name.
    """
    if not is_name(name):
        raise ConfigError(
            f"{where}: name {quoted(name)}; use up to 200 letters, digits and ._+- (the first one "
            "a letter, digit or _)"
        )


def _check_teacher(where: str, teacher: str, families: set[str]) -> None:
    teachers = families | {"family", "all", LABELS}
    if teacher not in teachers:
        raise ConfigError(f"{where}: must be one of {', '.join(sorted(teachers))}, not {teacher!r}")
