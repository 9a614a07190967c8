"""A state at 8 bits: what is coded, what stays, what is refused."""

from __future__ import annotations

import pytest
import torch

import families
from families.size import model_bytes
from quantize import (
    BundleError,
    MemberLayout,
    QuantizedState,
    dequantize,
    quantize,
    quantize_state,
)
from records import Schema

STATE = {"large": torch.randn(6, 10), "edge": torch.randn(50), "small": torch.tensor(3.0)}


def tensor_bytes(state: QuantizedState) -> int:
    return MemberLayout.of("m", "perceptron", {}, state).tensor_bytes()


def test_only_what_is_above_the_threshold_is_coded() -> None:
    state = quantize_state(STATE, 50)
    assert set(state.codes) == {"large"}
    assert set(state.plain) == {"edge", "small"}
    restored = state.dequantize()
    assert torch.equal(restored["edge"], STATE["edge"])
    assert torch.equal(restored["small"], STATE["small"])
    assert torch.equal(restored["large"], dequantize(quantize(STATE["large"], "large")))


def test_the_default_threshold_is_the_winners() -> None:
    state = quantize_state({"at": torch.randn(2, 8_500), "above": torch.randn(1, 17_001)})
    assert set(state.codes) == {"above"} and set(state.plain) == {"at"}


def test_biases_stay_however_long() -> None:
    assert set(quantize_state({"bias": torch.randn(20_000)}).plain) == {"bias"}


def test_every_tensor_has_its_precision() -> None:
    weights = {name: torch.randn(6, 10) for name in ("head", "hidden", "input")}
    state = quantize_state(
        {**weights, "head.bias": torch.randn(6)},
        precision="channel4",
        threshold=50,
        overrides={"head": "uniform8", "head.bias": "uniform8", "input": "float32"},
    )
    assert {name: codes.precision for name, codes in state.codes.items()} == {
        "head": "uniform8",
        "hidden": "channel4",
    }
    assert set(state.plain) == {"head.bias", "input"}
    assert torch.equal(state.dequantize()["input"], weights["input"])
    # A byte a value and 256 centroids; half a byte and six pairs of ends; the rest at four bytes.
    assert tensor_bytes(state) == (60 + 1024) + (30 + 48) + 4 * (60 + 6)


def test_ready_codes_are_taken_where_they_are_wanted() -> None:
    weights = {name: torch.randn(6, 10) for name in ("head", "hidden")}
    other = quantize(torch.randn(6, 10), "head", "uniform3")
    ready = {("head", "uniform3"): other, ("hidden", "uniform3"): other}
    state = quantize_state(weights, 0, "uniform3", {"hidden": "uniform4"}, ready)
    assert state.codes["head"] is other
    plain = quantize(weights["hidden"], "hidden", "uniform4")
    assert torch.equal(state.codes["hidden"].codes, plain.codes)


def test_unknown_precisions_and_tensors_are_refused() -> None:
    with pytest.raises(BundleError, match="precision 'uniform7'"):
        quantize_state(STATE, precision="uniform7")
    with pytest.raises(BundleError, match=r"^missing: a precision is given"):
        quantize_state(STATE, overrides={"missing": "uniform8"})
    with pytest.raises(BundleError, match=r"^large: values beyond 65504"):
        quantize_state({"large": torch.full((2, 2), 7e4)}, 0, "float16")


def test_small_tensors_are_copies() -> None:
    source = {"small": torch.zeros(3)}
    state = quantize_state(source)
    source["small"] += 1
    assert torch.equal(state.plain["small"], torch.zeros(3))


@pytest.mark.parametrize("threshold", [0, 50, 17_000])
def test_bytes_are_those_that_the_family_expects(schema: Schema, threshold: int) -> None:
    module = families.build("perceptron", {"hidden": [64, 32]}, schema)
    state = quantize_state(module.state_dict(), threshold)
    assert tensor_bytes(state) == model_bytes(module, threshold)


@pytest.mark.parametrize("size", [10, 100])
def test_what_is_not_finite_is_named(size: int) -> None:
    bad = torch.randn(size, 1)
    bad[3] = float("nan")
    with pytest.raises(BundleError, match=r"^head\.bias: 1 of "):
        quantize_state({"a": torch.zeros(2), "head.bias": bad}, 50)


def test_other_types_and_thresholds_are_refused() -> None:
    with pytest.raises(BundleError, match=r"^count: torch\.int64"):
        quantize_state({"count": torch.tensor(3)})
    with pytest.raises(BundleError, match="threshold=-1"):
        quantize_state({}, -1)
