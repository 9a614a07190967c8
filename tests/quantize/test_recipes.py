"""Recipes: which tensors are of which group, and what is tried on them."""

from __future__ import annotations

import pytest
import torch

from families import build
from families.layers.groups import tensor_groups
from quantize import BundleError, quantize_state
from quantize.recipes import check_precisions, recipes_of
from records import Schema, Stream

SCHEMA = Schema("small", "frame", (Stream("rgb", 12), Stream("audio", 4)), num_labels=30)


def groups_of(family: str, config: dict[str, object]) -> dict[str, set[str]]:
    """By group, the modules that its tensors lie in."""
    found: dict[str, set[str]] = {}
    for name, group in tensor_groups(build(family, config, SCHEMA)).items():
        found.setdefault(group, set()).add(name.split(".")[0])
    return found


def test_head_and_aggregation_of_a_pooled_family() -> None:
    found = groups_of("netvlad", {"clusters": 4, "hidden": 8})
    assert found["head"] == {"classifier"}
    assert "hidden" in found["aggregation"] and "recurrent" not in found
    # Context gating lies in the classifier, but is no part of the head.
    assert "classifier" in found["aggregation"]


@pytest.mark.parametrize("family", ["rnn", "bilstm", "qrnn", "lstm"])
def test_recurrent_layers_are_a_group(family: str) -> None:
    found = groups_of(family, {"hidden": 8})
    assert found["recurrent"] and found["head"] == {"classifier"}


def test_every_tensor_has_one_group() -> None:
    model = build("stream_lstm_fc", {}, SCHEMA)
    groups = tensor_groups(model)
    assert groups.keys() == model.state_dict().keys()
    assert set(groups.values()) == {"head", "recurrent", "aggregation"}


def test_uniform8_comes_first_and_one_group_at_a_time() -> None:
    model = build("rnn", {"variant": "dual", "hidden": 8}, SCHEMA)
    names = [r.name for r in recipes_of(model, ["float16", "uniform8"], ["channel4"], 10)]
    assert names[:2] == ["uniform8", "float16"]
    assert sorted(names[2:]) == [
        "uniform8+aggregation=channel4",
        "uniform8+head=channel4",
        "uniform8+recurrent=channel4",
    ]


def test_a_model_of_one_large_group_has_nothing_apart() -> None:
    model = build("logistic", {}, SCHEMA)
    assert [r.name for r in recipes_of(model, [], ["channel4"], 10)] == ["uniform8"]


def test_a_memory_has_precisions_of_its_own() -> None:
    model = build("neighbors", {"clips": 20}, SCHEMA)
    offered = recipes_of(model, ["channel4"], ["channel4"], 50, ["quantile1", "quantile2"])
    assert [recipe.name for recipe in offered] == ["uniform8", "quantile1", "quantile2"]
    for name, bits in (("quantile1", 1), ("quantile2", 2)):
        model.load_state_dict(model.state_dict() | {"memory.embeddings": torch.randn(20, 16)})
        state = quantize_state(model.state_dict(), 50, name)
        assert state.codes["memory.embeddings"].codes.shape == (20 * 16 * bits // 8,)
        # Label lists are never codes.
        assert state.plain["memory.labels"].dtype == torch.int16
        assert state.plain["memory.shares"].dtype == torch.uint8


def test_overrides_reach_the_group_and_nothing_else() -> None:
    model = build("netvlad", {"clusters": 4, "hidden": 8}, SCHEMA)
    groups = tensor_groups(model)
    recipe = recipes_of(model, [], ["uniform4"], 20)[-1]
    assert recipe.name == "uniform8+head=uniform4"
    state = quantize_state(model.state_dict(), 20, recipe.precision, recipe.overrides)
    stored = {name: codes.precision for name, codes in state.codes.items()}
    for name, precision in stored.items():
        assert precision == ("uniform4" if groups[name] == "head" else "uniform8")
    assert len(set(stored.values())) == 2
    whole = quantize_state(model.state_dict(), 20)
    for name, codes in whole.codes.items():
        if groups[name] != "head":
            assert torch.equal(codes.codes, state.codes[name].codes)


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(BundleError, match="unknown precision 'uniform7'; there are uniform8"):
        check_precisions(["uniform8", "uniform7"])
