"""Uniform codebooks against a plain search for the nearest centroid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quantize import BundleError, dequantize, quantize

TENSORS = arrays.arrays(
    np.float32,
    arrays.array_shapes(max_dims=3, max_side=9),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(TENSORS)
def test_every_value_is_off_by_half_a_step_at_most(values: np.ndarray) -> None:
    quantized = quantize(torch.from_numpy(values), "w")
    restored = dequantize(quantized).numpy()
    assert quantized.codes.dtype == torch.uint8
    assert restored.dtype == np.float32 and restored.shape == values.shape
    exact = values.astype(np.float64)
    half = (exact.max() - exact.min()) / 255 / 2
    rounding = 2.0**-22 * float(np.abs(values).max()) + 1e-44
    assert (np.abs(restored.astype(np.float64) - exact) <= half * (1 + 1e-6) + rounding).all()


@given(TENSORS)
def test_the_ends_of_the_range_are_exact(values: np.ndarray) -> None:
    restored = dequantize(quantize(torch.from_numpy(values), "w")).numpy()
    assert restored.min() == values.min() and restored.max() == values.max()


def test_the_nearest_centroid_is_chosen() -> None:
    values = torch.randn(2_000, generator=torch.Generator().manual_seed(0))
    quantized = quantize(values, "w")
    for value, code in zip(values.tolist(), quantized.codes.tolist(), strict=True):
        distances = [abs(value - centroid) for centroid in quantized.codebook.tolist()]
        assert distances[code] <= min(distances) + 1e-6
    steps = quantized.codebook.double().diff()
    assert torch.allclose(steps, steps.mean().expand(255), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -3.4e38, 1e-45])
def test_a_constant_tensor_keeps_its_value(value: float) -> None:
    tensor = torch.full((3, 4), value)
    assert torch.equal(dequantize(quantize(tensor, "w")), tensor)


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.randn(7, 11, 13)
    whole = quantize(tensor, "w")
    monkeypatch.setattr("quantize.uniform._CHUNK", 10)
    pieces = quantize(tensor, "w")
    assert torch.equal(whole.codes, pieces.codes)
    assert torch.equal(dequantize(whole), dequantize(pieces))


def test_a_transposed_tensor_and_one_with_a_gradient() -> None:
    tensor = torch.randn(5, 8, requires_grad=True)
    straight = dequantize(quantize(tensor, "w"))
    assert torch.equal(dequantize(quantize(tensor.t(), "w")), straight.t())


@settings(max_examples=20)
@given(st.sampled_from([float("nan"), float("inf"), float("-inf")]), st.integers(0, 99))
def test_what_is_not_finite_is_named_and_counted(value: float, position: int) -> None:
    tensor = torch.randn(100)
    tensor[position] = value
    with pytest.raises(BundleError, match=r"^head\.weight: 1 of 100 values are NaN or infinite$"):
        quantize(tensor, "head.weight")


@pytest.mark.parametrize("tensor", [torch.zeros(3, dtype=torch.int64), torch.zeros(0)])
def test_other_types_and_nothing_are_refused(tensor: torch.Tensor) -> None:
    with pytest.raises(BundleError, match=r"^w: "):
        quantize(tensor, "w")
