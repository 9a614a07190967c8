"""Every precision against its stated bound, a plain search, and plain loops over bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from quantize import (
    BundleError,
    Codes,
    dequantize,
    get_precision,
    list_precisions,
    quantize,
)
from quantize.codebooks import BINS
from quantize.packing import pack_codes, packed_bytes, unpack_codes

TENSORS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=0, max_dims=3, max_side=9),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
BITS = (8, 6, 5, 4, 3, 2)
PRECISIONS = list_precisions()
UNIFORM = [f"uniform{bits}" for bits in BITS]
CHANNEL = [f"channel{bits}" for bits in BITS]
PLACED = [f"{kind}{bits}" for kind in ("kmeans", "quantile") for bits in BITS]


def errors(values: np.ndarray, quantized: Codes) -> np.ndarray:
    """Distances in float64, checked to be of a float32 tensor of the same shape."""
    restored = dequantize(quantized).numpy()
    assert restored.dtype == np.float32 and restored.shape == values.shape
    assert np.isfinite(restored).all()
    return np.abs(restored.astype(np.float64) - values.astype(np.float64))


def rounding(values: np.ndarray) -> float:
    """What may come on top, since centroids are float32."""
    return 2.0**-22 * float(np.abs(values).max()) + 1e-44


def test_the_registry() -> None:
    kinds = ("uniform", "quantile", "kmeans", "channel")
    # One bit is for memories.
    coded = {f"{kind}{bits}" for kind in kinds for bits in BITS} | {"quantile1"}
    assert set(PRECISIONS) == coded | {"float16", "float32"}
    for name in PRECISIONS:
        assert name.endswith(str(get_precision(name).bits))


@pytest.mark.parametrize("name", PRECISIONS)
@given(values=TENSORS)
@settings(max_examples=25, deadline=None)
def test_codes_are_stored_as_announced(name: str, values: np.ndarray) -> None:
    if name == "float16":
        values = np.asarray(np.clip(values, -65504, 65504))
    quantized = quantize(torch.from_numpy(values), "w", name)
    precision = get_precision(name)
    assert (quantized.codes.dtype, tuple(quantized.codes.shape)) == precision.stored(values.shape)
    found = None if quantized.codebook is None else tuple(quantized.codebook.shape)
    assert found == precision.codebook(values.shape)
    codes = math.ceil(values.size * precision.bits / 8)
    assert quantized.codes.nbytes == codes


@pytest.mark.parametrize("name", UNIFORM)
@given(values=TENSORS)
@settings(max_examples=50, deadline=None)
def test_uniform_is_off_by_half_a_step_at_most(name: str, values: np.ndarray) -> None:
    exact = values.astype(np.float64)
    half = (exact.max() - exact.min()) / (2 ** get_precision(name).bits - 1) / 2
    quantized = quantize(torch.from_numpy(values), "w", name)
    assert (errors(values, quantized) <= half * (1 + 1e-6) + rounding(values)).all()
    restored = dequantize(quantized).numpy()
    assert restored.min() == values.min() and restored.max() == values.max()


@pytest.mark.parametrize("name", CHANNEL)
@given(values=TENSORS)
@settings(max_examples=50, deadline=None)
def test_channels_are_off_by_half_their_own_step(name: str, values: np.ndarray) -> None:
    found = errors(values, quantize(torch.from_numpy(values), "w", name))
    for channel, distances in zip(np.atleast_1d(values), np.atleast_1d(found), strict=True):
        exact = channel.astype(np.float64)
        half = (exact.max() - exact.min()) / (2 ** get_precision(name).bits - 1) / 2
        assert (distances <= half * (1 + 1e-6) + rounding(channel)).all()


@pytest.mark.parametrize("name", PLACED)
@given(values=TENSORS)
@settings(max_examples=50, deadline=None)
def test_placed_centroids_are_off_by_half_a_gap_at_most(name: str, values: np.ndarray) -> None:
    quantized = quantize(torch.from_numpy(values), "w", name)
    assert quantized.codebook is not None
    centroids = quantized.codebook.double().numpy()
    assert (np.diff(centroids) >= 0).all()
    low, high = float(values.min()), float(values.max())
    assert low <= centroids[0] and centroids[-1] <= high
    bound = max(np.diff(centroids).max() / 2, centroids[0] - low, high - centroids[-1])
    bound += (high - low) / BINS
    assert (errors(values, quantized) <= bound * (1 + 1e-6) + rounding(values)).all()


@pytest.mark.parametrize("bits", BITS)
@given(values=TENSORS)
@settings(max_examples=50, deadline=None)
def test_kmeans_is_never_worse_than_uniform(bits: int, values: np.ndarray) -> None:
    squared = {
        kind: (errors(values, quantize(torch.from_numpy(values), "w", f"{kind}{bits}")) ** 2).sum()
        for kind in ("kmeans", "uniform")
    }
    assert squared["kmeans"] <= squared["uniform"] * (1 + 1e-9)


def test_kmeans_comes_close_to_the_best_quantizer_of_a_normal_distribution() -> None:
    """Max 1960, table 1: sixteen levels leave a mean squared error of 0.009497."""
    values = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    error = (dequantize(quantize(values, "w", "kmeans4")) - values).square().mean()
    assert float(error) == pytest.approx(0.009497, rel=0.01)


def test_quantiles_have_as_many_values_each() -> None:
    values = torch.randn(64_000, generator=torch.Generator().manual_seed(0)).exp()
    quantized = quantize(values, "w", "quantile4")
    centroids = quantized.codebook
    assert centroids is not None
    expected = np.quantile(values.numpy(), (np.arange(16) + 0.5) / 16)
    np.testing.assert_allclose(centroids.numpy(), expected, rtol=0.01)


@given(TENSORS)
@settings(deadline=None)
def test_float16_is_off_by_its_rounding(values: np.ndarray) -> None:
    values = np.asarray(np.clip(values, -65504, 65504))
    found = errors(values, quantize(torch.from_numpy(values), "w", "float16"))
    assert (found <= np.maximum(2.0**-11 * np.abs(values), 2.0**-25)).all()


@given(TENSORS)
def test_float32_keeps_every_bit(values: np.ndarray) -> None:
    restored = dequantize(quantize(torch.from_numpy(values), "w", "float32")).numpy()
    assert restored.tobytes() == values.tobytes()


def test_the_nearest_centroid_is_chosen() -> None:
    values = torch.randn(2_000, generator=torch.Generator().manual_seed(0))
    quantized = quantize(values, "w")
    assert quantized.codebook is not None
    for value, code in zip(values.tolist(), quantized.codes.tolist(), strict=True):
        distances = [abs(value - centroid) for centroid in quantized.codebook.tolist()]
        assert distances[code] <= min(distances) + 1e-6
    steps = quantized.codebook.double().diff()
    assert torch.allclose(steps, steps.mean().expand(255), atol=1e-6)


@pytest.mark.parametrize("name", [name for name in PRECISIONS if name != "float16"])
@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -3.4e38, 1e-45])
def test_a_constant_tensor_keeps_its_value(name: str, value: float) -> None:
    tensor = torch.full((3, 4), value)
    assert torch.equal(dequantize(quantize(tensor, "w", name)), tensor)


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_whole_range_of_float32(name: str) -> None:
    most = float(np.finfo(np.float32).max)
    tensor = torch.tensor([[-most, most], [-1e-45, 1e-45], [most, most]])
    if name == "float16":
        with pytest.raises(BundleError, match=r"^w: values beyond 65504"):
            quantize(tensor, "w", name)
        return
    restored = dequantize(quantize(tensor, "w", name))
    assert torch.isfinite(restored).all()
    if name not in ("quantile1", "quantile2"):
        assert restored[0].tolist() == [-most, most]
    if name.startswith("channel"):
        assert torch.equal(restored, tensor)


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("shape", [(7, 11, 13), (1, 1001), (500, 2)])
def test_pieces_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...]
) -> None:
    tensor = torch.randn(shape)
    whole = quantize(tensor, "w", name)
    restored = dequantize(whole)
    for module in ("codebooks", "precisions", "packing"):
        monkeypatch.setattr(f"quantize.{module}.CHUNK", 24)
    pieces = quantize(tensor, "w", name)
    assert torch.equal(whole.codes, pieces.codes)
    assert torch.equal(restored, dequantize(pieces))


@pytest.mark.parametrize("name", ["uniform8", "kmeans4", "float32"])
def test_a_transposed_tensor_and_one_with_a_gradient(name: str) -> None:
    tensor = torch.randn(5, 8, requires_grad=True)
    straight = dequantize(quantize(tensor, "w", name))
    assert torch.equal(dequantize(quantize(tensor.t(), "w", name)), straight.t())


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


@settings(deadline=None)
@given(st.sampled_from(range(1, 9)), st.data())
def test_packing_is_exact_and_as_documented(bits: int, data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=40))
    packed = pack_codes(np.array(codes, dtype=np.uint8), bits)
    assert len(packed) == packed_bytes(len(codes), bits)
    # One large number of which each code has its bits.
    number = sum(code << (place * bits) for place, code in enumerate(codes))
    assert packed.tobytes() == number.to_bytes(len(packed), "little")
    start = data.draw(st.integers(0, len(codes)))
    stop = data.draw(st.integers(start, len(codes)))
    assert unpack_codes(packed, bits, start, stop).tolist() == codes[start:stop]
