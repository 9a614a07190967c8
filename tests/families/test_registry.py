"""The registry, and how strictly configurations are read."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import families
from families import FamilyError
from families.meta import without_memory
from families.netvlad import NetVLADConfig
from families.perceptron import PerceptronConfig
from families.size import model_bytes
from records.schema import Schema


def test_the_winners_families_are_there() -> None:
    names = families.list_families()
    assert {"dbof", "netfv", "netvlad", "perceptron", "rnn"} <= set(names)
    assert names == sorted(names)


def test_recurrent_families_read_frames_in_order() -> None:
    assert families.get("rnn").sampling == "sequence"
    assert families.get("netvlad").sampling == "draw"


def test_a_name_is_taken_once() -> None:
    netvlad, dbof = families.get("netvlad"), families.get("dbof")
    families.register("netvlad", netvlad.config)(netvlad.module)
    with pytest.raises(FamilyError, match="family 'netvlad' is registered twice"):
        families.register("netvlad", dbof.config)(dbof.module)


def test_an_unknown_family_is_named_beside_the_known() -> None:
    with pytest.raises(FamilyError, match=r"unknown family 'vlad'; there are .*netvlad"):
        families.get("vlad")


def test_nested_and_absent_fields() -> None:
    config = families.config_from_dict("netvlad", {"clusters": 8, "head": {"experts": 4}})
    assert config.clusters == 8
    assert config.hidden == NetVLADConfig().hidden
    assert config.head.experts == 4
    with pytest.raises(FrozenInstanceError):
        config.clusters = 3


def test_lists_become_tuples_and_integers_floats() -> None:
    config = families.config_from_dict("perceptron", {"hidden": [3, 4], "dropout": 0})
    assert config == PerceptronConfig(hidden=(3, 4), dropout=0.0)
    assert isinstance(config.dropout, float)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("netvlad", {"cluster": 8}, "netvlad: unknown key 'cluster'; known are gating, "),
        ("netvlad", {"clusters": "8"}, "netvlad.clusters: expected int, not '8'"),
        ("netvlad", {"clusters": True}, "netvlad.clusters: expected int, not True"),
        ("netvlad", {"clusters": 8.0}, "netvlad.clusters: expected int, not 8.0"),
        ("netvlad", {"clusters": 1}, "netvlad.clusters: must be at least 2, not 1"),
        ("netvlad", {"gating": 1}, "netvlad.gating: expected bool, not 1"),
        ("netvlad", {"dropout": 1.0}, "netvlad.dropout: must be below 1, not 1.0"),
        ("netvlad", {"dropout": -0.5}, "netvlad.dropout: must be at least 0, not -0.5"),
        ("netvlad", {"head": 3}, "netvlad.head: expected a mapping, not 3"),
        ("netvlad", {"head": {"kind": "svm"}}, "netvlad.head.kind: must be one of logistic, mix"),
        ("netvlad", {"head": {"prior": 2}}, "netvlad.head.prior: must be at most 0.5, not 2"),
        ("netvlad", {"head": {"l2": "x"}}, "netvlad.head.l2: expected float or None, not 'x'"),
        ("perceptron", {"hidden": 8}, "perceptron.hidden: expected a list, not 8"),
        ("perceptron", {"hidden": [8, "x"]}, "perceptron.hidden[1]: expected int, not 'x'"),
        ("perceptron", {"hidden": [0]}, "perceptron.hidden[0]: must be at least 1, not 0"),
        ("rnn", {"hidden": 7}, "rnn: hidden must be even"),
        ("dbof", {"variant": "deep"}, "dbof.variant: must be one of original, soft, gated"),
    ],
)
def test_wrong_fields_are_named(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(FamilyError, match=re.escape(message)) as error:
        families.config_from_dict(name, values)
    assert "\n" not in str(error.value)


def test_bounds_hold_for_a_config_built_in_python_too(schema: Schema) -> None:
    with pytest.raises(FamilyError, match=r"netvlad\.clusters: must be at least 2, not 1"):
        families.build("netvlad", NetVLADConfig(clusters=1), schema)
    with pytest.raises(FamilyError, match="netvlad: expected a NetVLADConfig"):
        families.build("netvlad", PerceptronConfig(), schema)


def test_without_memory_a_model_weighs_the_same(schema: Schema) -> None:
    with without_memory():
        model = families.build("netvlad", {"clusters": 4, "hidden": 8}, schema)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    built = families.build("netvlad", model.config, schema)
    assert model_bytes(model) == model_bytes(built)


def test_a_bundles_config_gets_the_fields_that_it_is_too_old_to_have() -> None:
    assert families.with_older_fields("rnn", {"hidden": 8}) == {"hidden": 8, "state": "cell"}
    assert families.with_older_fields("rnn", {"state": None}) == {"state": None}
    assert families.with_older_fields("no_such_family", {"a": 1}) == {"a": 1}
