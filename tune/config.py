"""What a study of hyperparameters looks for, and how."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from annotated_types import Ge, Gt, MinLen

from common.codec import Positive, Text
from common.errors import ConfigError

# A score of `metrics` on `search`, which is maximised, or what is minimised: the bytes at 8 bits.
BYTES = "bytes"
Objective = Literal["gap", "map", "map_at_10", "hit_at_1", "perr", "bytes"]
SamplerName = Literal["tpe", "random", "gp", "cmaes", "nsga2"]
PrunerName = Literal["hyperband", "median", "none"]


@dataclass(frozen=True)
class TuneConfig:
    """Studies of members' hyperparameters; see docs/tuning.md.

    Attributes:
        trials: Of each study; 0: there are none.
        minutes: After which no trial is begun any more, of one call; None: they do not count.
        members: Those that have a study; None: the first of each family.
        space: What is tried, by key: `members.deep.config.hidden: {choices: [[512], [1024]]}` or
            `members.deep.train.learning_rate: {low: 1e-4, high: 1e-2, log: true}`. It is laid over
            that of the member's family in conf/tune; null takes a key out.
        objectives: One, or several for a Pareto front.
        max_bytes: Of a member at 8 bits; what is larger is not trained.
        sampler: By default "tpe", or "nsga2" where there are several objectives.
        pruner: By default "hyperband", or "none" where there are several objectives.
        keep: How many trials become members.
        storage: The URL of a PostgreSQL database that several machines share; None: a file of the
            run.
        heartbeat_seconds: How often a process says on a shared storage that it lives. Its trials
            are tried again where it has not for three times as long.
        searches: Whether searches of weights and precisions by Optuna are put there as well.
    """

    trials: Annotated[int, Ge(0)] = 0
    minutes: Annotated[float, Gt(0)] | None = None
    members: tuple[str, ...] | None = None
    space: dict[str, Any] = field(default_factory=dict)
    objectives: Annotated[tuple[Objective, ...], MinLen(1)] = ("gap",)
    max_bytes: Text | None = None
    sampler: SamplerName | None = None
    pruner: PrunerName | None = None
    keep: Positive = 3
    storage: Text | None = None
    heartbeat_seconds: Positive = 30
    searches: bool = False

    def __post_init__(self) -> None:
        several = len(self.objectives) > 1
        if len(set(self.objectives)) < len(self.objectives):
            raise ConfigError(f"objectives: {', '.join(self.objectives)}; name each once")
        if set(self.objectives) == {BYTES}:
            raise ConfigError("objectives: bytes alone are no aim; name a score beside them")
        if several and self.sampler in ("gp", "cmaes"):
            raise ConfigError(f"sampler: {self.sampler} takes one objective; use nsga2 or tpe")
        if several and self.pruner in ("hyperband", "median"):
            raise ConfigError(f"pruner: {self.pruner} takes one objective; use none")

    def without_password(self) -> Self:
        """The same, with no more of the storage's URL than anybody may see."""
        if self.storage is None:
            return self
        url = urlsplit(self.storage)
        place = url.netloc.rpartition("@")
        user = place[0].partition(":")[0]
        shown = urlunsplit((url.scheme, f"{user}{place[1]}{place[2]}", url.path, "", ""))
        return replace(self, storage=shown if url.netloc else "***")

    @property
    def sampler_name(self) -> SamplerName:
        """That which is used."""
        return self.sampler or ("tpe" if len(self.objectives) == 1 else "nsga2")

    @property
    def pruner_name(self) -> PrunerName:
        """That which is used."""
        return self.pruner or ("hyperband" if len(self.objectives) == 1 else "none")
