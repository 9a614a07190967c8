"""How the weights of an ensemble are searched."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from common.codec import Positive


@dataclass(frozen=True)
class EnsembleConfig:
    """Weight search. `mix` says what the weights mix: probabilities or log-odds."""

    method: Literal["random", "greedy", "optuna", "flat"] = "random"
    trials: Positive = 2000
    mix: Literal["probability", "log_odds"] = "probability"
    stored_labels: Annotated[int, Ge(20)] = 100
    teacher_size: Positive = 3
