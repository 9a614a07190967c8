"""The Keras twins of Chavez 2019: the contract, and the torch families' output on their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import families
from common.extensions import load_extension
from common.registry import restored
from families import FamilyModule
from quantize import Bundle, BundleMember, quantize_state, write_bundle
from records import Schema, Stream
from tests.families.own import EXAMPLES
from tests.families.test_contract import Contract

STREAM_LSTM: dict[str, Any] = {"hidden": 8}
PERCEPTRON: dict[str, Any] = {"decoder": [14], "hidden": [12, 11]}
FLAVORS: dict[str, list[dict[str, Any]]] = {
    "keras_perceptron": [PERCEPTRON, {"decoder": [], "hidden": [9], "gating": True}],
    "keras_bilstm": [{"hidden": 5, "dense": 9}],
    "keras_stream_lstm": [STREAM_LSTM, {"hidden": 8, "bidirectional": False}],
    "keras_stream_lstm_fc": [{"stream_lstm": STREAM_LSTM, "perceptron": PERCEPTRON}],
}
CASES = [
    pytest.param(name, flavor, id=f"{name}-{index}")
    for name, flavors in FLAVORS.items()
    for index, flavor in enumerate(flavors)
]


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    with restored():
        assert load_extension(EXAMPLES / "keras_twins.py") == tuple(FLAVORS)
        yield


@pytest.mark.parametrize(("name", "flavor"), CASES)
class TestTwins(Contract):
    """The twins keep the contract of every family."""


def dense_weights(linear: nn.Linear, name: str) -> dict[str, Tensor]:
    """A linear layer as Keras has it: inputs first."""
    return {f"{name}-kernel": linear.weight.T, f"{name}-bias": linear.bias}


def lstm_weights(lstm: nn.LSTM, layer: int, name: str) -> dict[str, Tensor]:
    """A layer of an LSTM as Keras has it: inputs first, one bias, the gates in the same order."""
    paths = {"": f"{name}-lstm_cell"}
    if lstm.bidirectional:
        paths = {
            "": f"{name}-forward_lstm-lstm_cell",
            "_reverse": f"{name}-backward_lstm-lstm_cell",
        }
    weights: dict[str, Tensor] = {}
    for suffix, path in paths.items():
        parts = {
            part: getattr(lstm, f"{part}_l{layer}{suffix}")
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        weights[f"{path}-kernel"] = parts["weight_ih"].T
        weights[f"{path}-recurrent_kernel"] = parts["weight_hh"].T
        weights[f"{path}-bias"] = parts["bias_ih"] + parts["bias_hh"]
    return weights


def perceptron_weights(model: Any) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for stream, decoder in enumerate(model.decoders):
        for depth, linear in enumerate(linears(decoder)):
            weights |= dense_weights(linear, f"decoder-{stream}-{depth}")
    for depth, linear in enumerate(linears(model.hidden)):
        weights |= dense_weights(linear, f"hidden-{depth}")
    return weights


def bilstm_weights(model: Any) -> dict[str, Tensor]:
    weights = dense_weights(model.dense[0], "dense")
    for layer in range(model.config.layers):
        weights |= lstm_weights(model.net.lstm, layer, f"lstm-{layer}")
    return weights


def stream_lstm_weights(model: Any) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for stream, branch in enumerate(model.branches):
        weights |= dense_weights(branch.entrance[0], f"entrance-{stream}")
        weights |= lstm_weights(branch.net.lstm, 0, f"lstm-{stream}")
        weights |= dense_weights(branch.exit[0], f"exit-{stream}")
    return weights


def linears(module: nn.Module) -> list[nn.Linear]:
    return [inner for inner in module.modules() if isinstance(inner, nn.Linear)]


WEIGHTS = {
    "perceptron": perceptron_weights,
    "bilstm": bilstm_weights,
    "stream_lstm": stream_lstm_weights,
}


def copy_weights(name: str, model: Any, twin: Any) -> None:
    """Gives the weights of a torch family to its twin, all that it has."""
    if name == "stream_lstm_fc":
        for part in ("stream_lstm", "perceptron"):
            copy_weights(part, getattr(model, part), getattr(twin, part))
        return
    twin.body.load_state_dict(WEIGHTS[name](model))
    twin.classifier.load_state_dict(model.classifier.state_dict())


def pair(name: str, flavor: Mapping[str, Any], schema: Schema) -> tuple[FamilyModule, FamilyModule]:
    """A torch family with random weights, and the twin that was given them."""
    torch.manual_seed(0)
    # The paper's fully connected model takes its inputs as they are.
    plain = {"input_norm": "none"}
    changes: dict[str, dict[str, Any]] = {
        "perceptron": plain,
        "stream_lstm_fc": {"perceptron": {**flavor.get("perceptron", {}), **plain}},
    }
    model = families.build(name, {**flavor, **changes.get(name, {})}, schema).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    twin = families.build(f"keras_{name}", flavor, schema).eval()
    copy_weights(name, model, twin)
    return model, twin


@pytest.mark.parametrize(("name", "flavor"), CASES)
@pytest.mark.parametrize("frames", [1, 2, 8, 30])
def test_twin_gives_the_torch_familys_output(
    name: str, flavor: dict[str, Any], frames: int, schema: Schema
) -> None:
    model, twin = pair(name.removeprefix("keras_"), flavor, schema)
    generator = torch.Generator().manual_seed(frames)
    features = {
        stream.name: torch.randn(5, frames, stream.size, generator=generator)
        for stream in schema.streams
    }
    lengths = torch.tensor([frames, frames // 2, 1, frames - 1, 0])
    mask = torch.arange(frames) < lengths[:, None]
    for given in (mask, None):
        scores = model(features, given)
        assert scores.std() > 0.1
        torch.testing.assert_close(twin(features, given), scores, atol=1e-5, rtol=1e-5)


def test_a_twin_that_differs_in_one_weight_is_found(schema: Schema, features: Any) -> None:
    model, twin = pair("bilstm", FLAVORS["keras_bilstm"][0], schema)
    parameters: dict[str, Tensor] = dict(twin.named_parameters())
    with torch.no_grad():
        parameters["body.lstm-0-backward_lstm-lstm_cell-recurrent_kernel"][0, 0] += 1.0
    assert not torch.allclose(twin(features), model(features), atol=1e-5)


@pytest.mark.parametrize(("name", "flavor"), CASES)
def test_names_do_not_depend_on_what_was_built_before(
    name: str, flavor: dict[str, Any], schema: Schema
) -> None:
    first, second = (families.build(name, flavor, schema) for _ in range(2))
    with torch.device("meta"):
        skeleton = families.build(name, flavor, schema)
    shapes = {key: tensor.shape for key, tensor in first.state_dict().items()}
    for other in (second, skeleton):
        assert {key: tensor.shape for key, tensor in other.state_dict().items()} == shapes
    assert {tensor.device.type for tensor in skeleton.state_dict().values()} == {"meta"}
    of_keras = [key for key in shapes if "body." in key]
    assert len(of_keras) == len(set(of_keras)) > 0


def test_many_streams_fit_in_a_bundle(tmp_path: Path) -> None:
    """Keras tells torch of a weight once for every layer around it; a reader counts it once."""
    schema = Schema("many", "frame", tuple(Stream(name, 4) for name in "abcdefgh"), 7)
    flavor = FLAVORS["keras_stream_lstm_fc"][0]
    torch.manual_seed(0)
    model = families.build("keras_stream_lstm_fc", flavor, schema).eval()
    config = families.config_to_dict(model.config)
    state = quantize_state(model.state_dict(), 50)
    write_bundle(
        tmp_path / "b", schema, [BundleMember("one", "keras_stream_lstm_fc", config, 1, state)], {}
    )
    loaded = Bundle.load(tmp_path / "b").members[0].module
    features = {stream.name: torch.randn(3, 6, 4) for stream in schema.streams}
    model.load_state_dict(state.dequantize())
    assert torch.equal(loaded(features), model(features))
