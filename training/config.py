"""How a training goes: settings and their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_type_hints

from common.errors import ConfigError


@dataclass
class TrainConfig:
    """How one member is trained; `members.<name>.train` overrides it key by key.

    Defaults are those of Skalic & Austin 2018: Adam at 2e-4, decayed by 0.8 an epoch's worth of
    examples, gradient norm clipped to 1, then averaging at a fifth of the learning rate.
    `min_frames` leaves shorter clips out of the training.
    """

    epochs: float = 5.0
    max_steps: int | None = None
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 2e-4
    weight_decay: float = 0.0
    schedule: str = "exponential"
    decay: float = 0.8
    warmup: float = 0.3
    clip_norm: float = 1.0
    precision: str = "auto"
    draw_frames: int | None = 300
    first_frames: int | None = None
    min_frames: int | None = None
    shuffle_frames: bool = False
    averaging_epochs: float = 1.0
    averaging_divisor: float = 5.0
    averaging_half_life: float = 2000.0
    inference_batch_size: int = 256
    checkpoint_seconds: float = 120.0


TRAIN_CHOICES = {
    "optimizer": ("adam", "adamw"),
    "schedule": ("exponential", "one_cycle"),
    "precision": ("auto", "float32", "bfloat16"),
}


def merged_train_config(
    base: TrainConfig, *overrides: tuple[str, Mapping[str, Any]]
) -> TrainConfig:
    """Lays overrides over `base`, later ones first in rank.

    Args:
        base: the settings that hold where nothing else is said.
        *overrides: pairs of the key they were written under (for messages) and the values.

    Raises:
        ConfigError: an override names no field of `TrainConfig`, or has the wrong type.
    """
    hints = get_type_hints(TrainConfig)
    for where, values in overrides:
        for key, value in values.items():
            if key not in hints:
                known = ", ".join(f.name for f in fields(TrainConfig))
                raise ConfigError(f"{where}.{key}: no such setting; there are {known}")
            if hints[key] is float and type(value) is int:
                value = float(value)
            wanted = hints[key]
            if (type(value) is bool and wanted is not bool) or not isinstance(value, wanted):
                name = getattr(wanted, "__name__", str(wanted))
                raise ConfigError(f"{where}.{key}: {value!r} is not of type {name}")
            base = replace(base, **{key: value})
        check_train(base, where)
    return base


def check_train(train: TrainConfig, where: str) -> None:
    for key, choices in TRAIN_CHOICES.items():
        check_choice(f"{where}.{key}", getattr(train, key), choices)
    for key in (
        "batch_size",
        "inference_batch_size",
        "draw_frames",
        "first_frames",
        "min_frames",
        "max_steps",
    ):
        value = getattr(train, key)
        if value is not None:
            check_at_least(f"{where}.{key}", value, 1)
    for key in ("epochs", "learning_rate", "clip_norm", "averaging_divisor", "averaging_half_life"):
        if not getattr(train, key) > 0:
            raise ConfigError(f"{where}.{key}: {getattr(train, key)} must be above 0")
    for key in ("weight_decay", "averaging_epochs", "checkpoint_seconds"):
        check_at_least(f"{where}.{key}", getattr(train, key), 0)
    for key in ("decay", "warmup"):
        if not 0 < getattr(train, key) <= 1:
            raise ConfigError(f"{where}.{key}: {getattr(train, key)} is not in (0, 1]")


def check_choice(key: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key}: {value!r} is none of {', '.join(map(str, choices))}")


def check_at_least(key: str, value: float, least: float) -> None:
    if not value >= least:
        raise ConfigError(f"{key}: {value} must be at least {least}")
