"""A member with the space that is tried for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from common.codec import to_plain
from common.errors import ConfigError, UserError
from common.units import format_bytes, parse_bytes
from families import config_from_dict
from families.size import model_bytes
from records.folds import HELD
from runs import Task, content_key
from stages.jobs import Training
from stages.members import MemberConfig
from stages.teachers import teacher_job
from stages.workspace import Workspace
from tune.space import Space, check_space, value_at, with_values
from tune.study import Asked, StudySetting


@dataclass(frozen=True)
class TunedMember:
    """A member with its space.

    Attributes:
        workspace: the run, with the members on which this one may stand.
        name: the member's.
        space: what is tried for it.
        host: name and training of the member that it stands on, if it does.
    """

    workspace: Workspace
    name: str
    space: Space
    host: tuple[str, Task] | None = None

    @property
    def settings(self) -> MemberConfig:
        """As the configuration has the member."""
        return self.workspace.config.members[self.name]

    @cached_property
    def _whole(self) -> dict[str, dict[str, Any]]:
        """All of its `config` and its `train`, defaults written out."""
        return {
            "config": to_plain(config_from_dict(self.settings.family, self.settings.config)),
            "train": to_plain(self.workspace.config.train_config(self.name)),
        }

    @property
    def first(self) -> dict[str, Any]:
        """By key of the space, what the member has."""
        return {key: value_at(self._whole, key) for key in self.space}

    def trial_name(self, number: int) -> str:
        """What the member of a trial is called."""
        return f"{self.name}-t{number}"

    def with_values(self, values: Mapping[str, Any]) -> MemberConfig:
        """The member with other values for some of its keys."""
        # What lies deeper than a field is changed in what the field is, also by default.
        fields = {key.split(".")[1] for key in values if key.count(".") > 1}
        own = {name: self._whole["config"][name] for name in fields & self._whole["config"].keys()}
        config, train = with_values(own | self.settings.config, self.settings.train, values)
        return replace(self.settings, config=config, train=train)

    def beside(self, name: str, member: MemberConfig) -> Workspace:
        """The run with one member more."""
        config = self.workspace.config
        return self.workspace.of(replace(config, members={**config.members, name: member}))

    def bytes_of(self, values: Mapping[str, Any]) -> int:
        """What the member weighs at 8 bits.

        Raises:
            UserError: the family, or the trainer, does not take these values.
        """
        # It takes the member's own place, so that messages name that.
        config = self.workspace.config
        members = {**config.members, self.name: self.with_values(values)}
        workspace = self.workspace.of(replace(config, members=members))
        workspace.config.train_config(self.name)
        model = workspace.planned_model(self.name)
        return model_bytes(model, config.quantize.threshold)

    def refusal(self, values: Mapping[str, Any]) -> tuple[str, float] | None:
        """Why these values are not to be trained, and by how much they miss what is allowed."""
        limit = self.workspace.config.tune.max_bytes
        try:
            size = self.bytes_of(values)
        except UserError as refused:
            return str(refused), 1.0
        if limit is None or size <= parse_bytes(limit, "tune.max_bytes"):
            return None
        excess = size / parse_bytes(limit) - 1
        return f"{format_bytes(size)} are more than tune.max_bytes={limit}", excess

    def check(self) -> None:
        """Tries every bound of the space on the family.

        Raises:
            TuneError: one is refused, or a key does not exist.
            ConfigError: there is nothing to try, or a trial cannot have a name.
        """
        where = f"members.{self.name}"
        if not self.space:
            raise ConfigError(
                f"tune.space: nothing to try for {where}; name its keys, such as "
                f"tune.space={{{where}.train.learning_rate: {{low: 1e-4, high: 1e-2, log: true}}}}"
            )
        if "config.of" in self.space:
            raise ConfigError(
                f"tune.space: {where}.config.of: on whom a member stands is not tuned"
            )
        self.beside(self.trial_name(0), self.settings).config.check_members()
        check_space(self.space, f"tune.space: {where}", self.bytes_of)

    def job(self, asked: Asked) -> Training:
        """The training of a trial: with folds, that without the first of them."""
        name = self.trial_name(asked.number)
        return self._job(self.beside(name, self.with_values(asked.values)), name)

    def _job(self, workspace: Workspace, name: str) -> Training:
        # A trial that is cut short cannot be held against others: `tune.minutes` is their limit.
        return replace(teacher_job(self.seen(workspace), name, self.host), in_time=False)

    def seen(self, workspace: Workspace) -> Workspace:
        """What of a run its trials are trained in."""
        return workspace.folds[0] if workspace.folds else workspace

    @property
    def split(self) -> str:
        """The split that trials are scored on."""
        return HELD if self.workspace.config.folds else "search"

    def setting(self, worker: str) -> StudySetting:
        """Which study it is: all that a trial's values depend on is in its name."""
        config, tune = self.workspace.config, self.workspace.config.tune
        limit = tune.max_bytes and parse_bytes(tune.max_bytes, "tune.max_bytes")
        of = {
            "training": self._job(self.workspace, self.name).inputs(),
            "space": self.space,
            "objectives": tune.objectives,
            "max_bytes": limit,
        }
        name = f"{self.name}-{content_key(of)[:8]}"
        return StudySetting(name, self.space, self.first, config.seed, worker)
