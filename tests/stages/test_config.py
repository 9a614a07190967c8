"""What the configuration refuses, and how it says so."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from common.errors import ConfigError
from stages.config import Config, MemberConfig, SplitConfig, StudentConfig, validate
from training.config import TrainConfig, merged_train_config


def test_overrides_are_laid_over_each_other() -> None:
    train = merged_train_config(
        TrainConfig(), ("a", {"epochs": 3, "batch_size": 7}), ("b", {"batch_size": 9})
    )
    assert (train.epochs, train.batch_size) == (3.0, 9)
    assert isinstance(train.epochs, float)
    assert train == dataclasses.replace(TrainConfig(), epochs=3.0, batch_size=9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "here.epoch: no such setting; there are epochs, "),
        ({"batch_size": 2.5}, "here.batch_size: 2.5 is not of type int"),
        ({"batch_size": True}, "here.batch_size: True is not of type int"),
        ({"epochs": "many"}, "here.epochs: 'many' is not of type float"),
        ({"learning_rate": 0.0}, "here.learning_rate: 0.0 must be above 0"),
        ({"schedule": "steps"}, "here.schedule: 'steps' is none of exponential, one_cycle"),
        ({"warmup": 1.5}, r"here.warmup: 1.5 is not in \(0, 1\]"),
        ({"draw_frames": 0}, "here.draw_frames: 0 must be at least 1"),
    ],
)
def test_wrong_training_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        merged_train_config(TrainConfig(), ("here", values))


MEMBERS = {"a": MemberConfig("netvlad"), "b": MemberConfig("rnn")}


def configured(**values: Any) -> Config:
    config = Config(members=dict(MEMBERS))
    for key, value in values.items():
        place: Any = config
        *parents, name = key.split("__")
        for parent in parents:
            place = getattr(place, parent)
        setattr(place, name, value)
    return config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stage": "train"}, "stage: 'train' is none of synthesize, plan"),
        ({"format": "csv"}, "format: 'csv' is none of kaggle, top10"),
        ({"jobs": -1}, "jobs: -1 must be at least 0"),
        ({"split": "dev"}, "split: 'dev' is none of train, search, report, test"),
        ({"ensemble__stored_labels": 10}, "ensemble.stored_labels: 10 must be at least 20"),
        ({"distill__hard_weight": 1.5}, r"distill.hard_weight: 1.5 is not in \[0, 1\]"),
        (
            {"data__train": SplitConfig("*", 0.5, 0.5)},
            "data.train: hash_from 0.5 and hash_to 0.5",
        ),
        (
            {"distill__students": {"s": StudentConfig("c")}},
            "distill.students.s.member: no member 'c'; there are a, b",
        ),
        (
            {"distill__students": {"s": StudentConfig("a", teacher="dbof")}},
            "distill.students.s.teacher: 'dbof' is none of all, family, labels, netvlad, rnn",
        ),
        (
            {"distill__students": {"s": StudentConfig("a", level=3)}},
            "distill.students.s.level: 3 is none of 1, 2",
        ),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(configured(**values))


def test_defaults_are_valid() -> None:
    validate(configured())
