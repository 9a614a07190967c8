"""What is tried: how it is written, what it comes to, and what is refused before a trial."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from common.codec import read_yaml, replaced, to_plain
from families import build, config_from_dict, list_families
from records import Schema, Stream
from training.config import TrainConfig
from tune.errors import TuneError
from tune.space import (
    FAMILY_SPACES,
    Choices,
    Range,
    check_space,
    family_space,
    laid_over,
    member_spaces,
    value_at,
    with_values,
)

SCHEMA = Schema(
    name="small",
    level="frame",
    streams=(Stream("rgb", 12, "uint8"), Stream("audio", 4, "uint8")),
    num_labels=6,
    label_verticals=((0,), (0,), (1,), (1,), (2,), (2,)),
    vertical_names=("a", "b", "c"),
)


def accept(family: str, values: dict[str, Any]) -> None:
    """What a run does with a member: its model is built, its training is configured."""
    config, train = with_values(to_plain(config_from_dict(family, {})), {}, values)
    build(family, config, SCHEMA)
    replaced(TrainConfig(), train, "train")


def test_every_family_has_a_space_of_its_own() -> None:
    files = sorted(path.stem for path in FAMILY_SPACES.glob("*.yaml"))
    assert files == list_families() and len(files) == 24


@pytest.mark.parametrize("family", list_families())
def test_a_familys_space_has_its_keys_and_takes_its_bounds(family: str) -> None:
    space = family_space(family)
    assert len(space) >= 4 and read_yaml(FAMILY_SPACES / f"{family}.yaml").keys() == space.keys()
    assert all(key.startswith(("config.", "train.")) for key in space)
    with torch.device("meta"):
        check_space(space, family, lambda values: accept(family, dict(values)))


def test_keys_are_taken_nested_and_with_dots() -> None:
    rate = {"low": 1e-4, "high": 1e-2, "log": True}
    given = {
        "members.a.b.config.hidden": {"choices": [[512], [1024, 1024]]},
        "members": {"c": {"train": {"learning_rate": rate, "epochs": None}}},
    }
    assert member_spaces(given) == {
        "a.b": {"config.hidden": Choices(([512], [1024, 1024]))},
        "c": {"train.learning_rate": Range(1e-4, 1e-2, True), "train.epochs": None},
    }
    base = {"train.epochs": Range(1, 2), "config.x": Range(1, 2)}
    assert list(laid_over(base, member_spaces(given)["c"])) == ["config.x", "train.learning_rate"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"members.a.hidden": {"choices": [1]}}, "give members.NAME.config.KEY"),
        ({"train.epochs": {"low": 1, "high": 2}}, "give members.NAME.config.KEY"),
        ({"members.a.config.x": [1, 2]}, "give {choices: [...]} or {low: ..., high: ...}"),
        ({"members.a.config.x": {"choices": []}}, "choices: must have a length of at least 1"),
        ({"members.a.config.x": {"low": 3, "high": 2}}, "high is 2, below low, which is 3"),
        ({"members.a.config.x": {"low": 0, "high": 2, "log": True}}, "log needs low above 0"),
        (
            {"members.a.config.x": {"low": 1, "high": 2, "step": 0.5}},
            "whole where low and high are",
        ),
        ({"members.a.config.x": {"low": 1, "hihg": 2}}, "unknown key 'hihg'"),
    ],
)
def test_what_says_nothing_to_try_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TuneError) as refused:
        member_spaces(given)
    assert str(refused.value).startswith("tune.space") and said in str(refused.value)


def test_distributions_are_those_of_the_values() -> None:
    assert Range(1, 8, log=True).distribution() == IntDistribution(1, 8, log=True)
    assert Range(1.0, 8).distribution() == FloatDistribution(1.0, 8.0)
    assert Range(0, 8, step=4).distribution() == IntDistribution(0, 8, step=4)
    lists = Choices(([512], [1024, 1024], None, "x"))
    assert lists.distribution() == CategoricalDistribution(["[512]", "[1024, 1024]", None, "x"])
    assert lists.value("[1024, 1024]") == [1024, 1024] and lists.value(None) is None


@pytest.mark.parametrize(
    ("key", "tried", "said"),
    [
        ("config.hiden", Range(1, 2), "at.config.hiden: low 1: perceptron: unknown key 'hiden'"),
        ("config.dropout", Range(0.0, 1.0), "at.config.dropout: high 1: perceptron.dropout: must"),
        ("config.norm", Choices(("none", "odd")), "at.config.norm: choice odd: perceptron.norm"),
        ("train.epochs", Range(0, 3), "at.train.epochs: low 0: train.epochs: must be above 0"),
        ("config.head.prior", Range(0.1, 0.9), "config.head.prior: high 0.9: perceptron.head"),
    ],
)
def test_keys_and_bounds_that_a_family_refuses_are_named(key: str, tried: Any, said: str) -> None:
    with pytest.raises(TuneError) as refused:
        check_space({key: tried}, "at", lambda values: accept("perceptron", dict(values)))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_values_go_where_their_keys_say_and_leave_the_rest() -> None:
    config = {"hidden": [8], "head": {"kind": "logistic", "prior": 0.1}}
    changed, train = with_values(config, {}, {"config.head.prior": 0.2, "train.epochs": 3})
    assert changed == {"hidden": [8], "head": {"kind": "logistic", "prior": 0.2}}
    assert train == {"epochs": 3} and config["head"] == {"kind": "logistic", "prior": 0.1}
    assert value_at({"config": changed}, "config.head.prior") == 0.2
    assert value_at({"config": changed}, "config.nothing.there") is None
