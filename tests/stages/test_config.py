"""What the configuration takes, what it refuses, and how it says so."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from common.codec import replaced, to_plain
from common.errors import ConfigError
from stages.config import Config, config_from
from training.config import TrainConfig


def test_overrides_are_laid_over_each_other() -> None:
    train = replaced(TrainConfig(), {"epochs": 3, "batch_size": 7}, "a", ConfigError)
    train = replaced(train, {"batch_size": 9}, "b", ConfigError)
    assert (train.epochs, train.batch_size) == (3.0, 9)
    assert isinstance(train.epochs, float)
    assert train == dataclasses.replace(TrainConfig(), epochs=3.0, batch_size=9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "here: unknown key 'epoch'; known are epochs, "),
        ({"batch_size": 2.5}, "here.batch_size: expected int, not 2.5"),
        ({"batch_size": True}, "here.batch_size: expected int, not True"),
        ({"epochs": "many"}, "here.epochs: expected float, not 'many'"),
        ({"learning_rate": 0.0}, "here.learning_rate: must be above 0, not 0.0"),
        (
            {"schedule": "steps"},
            "here.schedule: must be one of exponential, .*, not 'steps'",
        ),
        ({"warmup": 1.5}, "here.warmup: must be at most 1, not 1.5"),
        ({"warmup": 0.0}, "here.warmup: must be above 0, not 0.0"),
        ({"draw_frames": 0}, "here.draw_frames: must be at least 1, not 0"),
    ],
)
def test_wrong_training_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replaced(TrainConfig(), values, "here", ConfigError)


MEMBERS = {"a": {"family": "netvlad"}, "b": {"family": "rnn"}}


def configured(**values: Any) -> Config:
    """The configuration of two members with a value at each key, whose dots are written `__`."""
    composed: dict[str, Any] = {"members": dict(MEMBERS)}
    for key, value in values.items():
        *parents, name = key.split("__")
        place = composed
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return config_from(composed)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "csv"}, "format: must be one of kaggle, top10, not 'csv'"),
        ({"device": "tpu"}, "device: must be one of auto, cpu, cuda, not 'tpu'"),
        ({"jobs": -1}, "jobs: must be at least 0, not -1"),
        ({"executor": {"kind": "slurm"}}, "executor.kind: must be one of local, ray, not 'slurm'"),
        (
            {"executor__address": "ray://head:1"},
            "executor.address: ray://head:1 is a URL; give HOST:PORT",
        ),
        ({"members__a": {"family": "rnn", "resources": {"cpus": 0}}}, "members.a.resources.cpus: "),
        ({"split": "dev"}, "split: must be one of train, search, report, test.*, not 'dev'"),
        ({"ensemble__stored_labels": 10}, "ensemble.stored_labels: must be at least 20, not 10"),
        ({"ensemble__trials": 0}, "ensemble.trials: must be at least 1, not 0"),
        ({"ensemble__method": "grid"}, "ensemble.method: must be one of random, .*, not 'grid'"),
        ({"distill__hard_weight": 1.5}, "distill.hard_weight: must be at most 1, not 1.5"),
        ({"quantize__threshold": -1}, "quantize.threshold: must be at least 0, not -1"),
        ({"data__on_corrupt": "stop"}, "data.on_corrupt: must be one of error, skip, not 'stop'"),
        ({"data__workers": -1}, "data.workers: must be at least 0, not -1"),
        (
            {"data__train": {"shards": "*", "hash_from": 0.5, "hash_to": 0.5}},
            "data.train: .*hash_from.* 0.5 .*hash_to.* 0.5",
        ),
        ({"members__c": {"config": {}}}, "members.c: key 'family' is missing"),
        ({"distill__teacher": "dbof"}, "distill.teacher: must be one of all, .*, not 'dbof'"),
        ({"distill__train": {"epoch": 3}}, "distill.train: unknown key 'epoch'"),
        (
            {"distill__students": {"s": {"member": "c"}}},
            "distill.students.s.member: no member 'c'; there are a, b",
        ),
        ({"distill__students": {"s": None}}, "distill.students.s.*: no member 's'; there are a, b"),
        (
            {"distill__students": {"s": {"member": "a", "teacher": "dbof"}}},
            "distill.students.s.teacher: must be one of all, family, labels, netvlad, rnn, "
            "not 'dbof'",
        ),
        (
            {"distill__students": {"s": {"member": "a", "level": 3}}},
            "distill.students.s.level: must be one of 1, 2, not 3",
        ),
        ({"distill__students": {"s": 3}}, "distill.students.s: expected a mapping or None, not 3"),
        ({"data___target_": "os.system"}, "data: unknown key '_target_'; known are root, "),
        ({"run": None}, "run: expected str, not None"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        configured(**values)


def test_defaults_are_valid() -> None:
    assert config_from({}) == Config() == config_from(to_plain(Config()))
    configured()


def test_numbers_are_taken_for_texts() -> None:
    config = configured(run=2024, budget=1_000_000, data__root=7)
    assert (config.run, config.budget, config.data.root) == ("2024", "1000000", "7")


def students(**distill: Any) -> dict[str, tuple[str, str, int, dict[str, Any]]]:
    config = config_from({"members": MEMBERS | {"c": {"family": "rnn"}}, "distill": distill})
    return {n: (s.member, s.teacher, s.level, dict(s.train)) for n, s in config.students.items()}


def test_every_member_has_a_student() -> None:
    found = students()
    assert list(found) == ["a", "b", "c"]
    assert found == {name: (name, "family", 1, {}) for name in "abc"}
    taught = students(teacher="all", train={"epochs": 2})
    assert taught == {name: (name, "all", 1, {"epochs": 2}) for name in "abc"}


def test_students_that_are_named_follow_the_others() -> None:
    found = students(
        teacher="all",
        train={"epochs": 2, "batch_size": 8},
        students={
            "a": {"train": {"epochs": 5}},
            "first": {"member": "b"},
            "c": None,
            "b": {"level": 2, "teacher": "family"},
        },
    )
    train = {"epochs": 2, "batch_size": 8}
    assert list(found.items()) == [
        ("a", ("a", "all", 1, {"epochs": 5, "batch_size": 8})),
        ("first", ("b", "all", 1, train)),
        ("b", ("b", "family", 2, train)),
    ]
    late = {"a-labels": {"member": "a", "teacher": "labels"}}
    assert list(students(students=late)) == ["a", "b", "c", "a-labels"]
    assert list(students(students={"b": {}} | late)) == ["a", "c", "b", "a-labels"]


def members_of(**members: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The configurations of all members by name, as they are carried out."""
    config = config_from({"members": {n: {"family": "rnn"} | m for n, m in members.items()}})
    assert list(config.students) == list(config.members)
    # Read again, as from a file, it is what it was.
    assert config_from(to_plain(config)) == config
    return {name: member.config for name, member in config.members.items()}


def test_copies_have_names_of_their_own_and_the_first_keeps_its_own() -> None:
    own = {"hidden": 8}
    found = members_of(gru={"config": own, "copies": 3}, lstm={})
    assert found == {"gru": own, "gru-2": own, "gru-3": own, "lstm": {}}
    assert list(found) == ["gru", "gru-2", "gru-3", "lstm"]


def test_a_grid_is_a_member_for_each_combination() -> None:
    grid = {"hidden": [[512], [1024, 1024]], "activation": ["relu", None]}
    found = members_of(wide={"config": {"dropout": 0.4}, "grid": grid, "copies": 2})
    assert list(found)[:4] == [
        "wide-512-relu",
        "wide-512-relu-2",
        "wide-512-None",
        "wide-512-None-2",
    ]
    assert list(found)[4] == "wide-1024x1024-relu" and len(found) == 8
    assert found["wide-1024x1024-None-2"] == {
        "dropout": 0.4,
        "hidden": [1024, 1024],
        "activation": None,
    }
    heads = [{"kind": "logistic", "prior": 0.0025}, {"kind": "a/b"}]
    assert list(members_of(m={"grid": {"head": heads}})) == ["m-logisticx0.0025", "m-a_b"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a": {"copies": 2}, "a-2": {}}, "members.a-2: there are two members 'a-2', one of them"),
        ({"a-2": {}, "a": {"copies": 2}}, "members.a: there are two members 'a-2', one of them"),
        ({"a": {"grid": {"h": [1, 1]}}}, "members.a: there are two members 'a-1'"),
        ({"a": {"grid": {"h": []}}}, "members.a.grid.h: no values; give some or none"),
        ({"a": {"copies": 0}}, "members.a.copies: must be at least 1, not 0"),
        ({"a": {"grid": {"h": 3}}}, "members.a.grid.h: "),
    ],
)
def test_members_that_nobody_can_tell_apart_are_refused(
    members: dict[str, dict[str, Any]], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        members_of(**members)
