"""Rounding with error feedback against plain loops, and what it promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quantize import dequantize, list_precisions, quantize
from quantize.code_files import load_codes, save_codes
from quantize.feedback import LayerRounding, codes_with_feedback, takes_feedback

FED = [name for name in list_precisions() if takes_feedback(name)]


def layer(rows: int, columns: int, inputs: int, seed: int) -> tuple[Tensor, Tensor]:
    """A weight, and correlated inputs, of which one column is always 0."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns, columns, generator=generator)
    x = torch.randn(inputs, columns, generator=generator) @ mixing
    x[:, 1] = 0
    return torch.randn(rows, columns, generator=generator), x.double()


def in_plain_loops(weight: np.ndarray, levels: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Rounds as Optimal Brain Quantization does, which removes what is rounded from the inverse.

    Row by row, columns in order; the inverse is updated by Gaussian elimination and not by
    Cholesky's factors.
    """
    out = np.zeros_like(weight)
    columns = len(moments)
    damped = moments + 0.3 * np.trace(moments) / columns * np.eye(columns)
    for row in range(len(weight)):
        own = levels[row % len(levels)]
        left, inverse = weight[row].copy(), np.linalg.inv(damped)
        for j in range(columns):
            out[row, j] = min(own, key=lambda level: abs(level - left[j]))
            left -= (left[j] - out[row, j]) / inverse[j, j] * inverse[:, j]
            inverse -= np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
        nearest = np.array([min(own, key=lambda level: abs(level - w)) for w in weight[row]])
        errors = [(d := weight[row] - q) @ moments @ d for q in (nearest, out[row])]
        out[row] = out[row] if errors[1] < errors[0] else nearest
    return out


def test_precisions_that_take_feedback() -> None:
    kinds = ("uniform", "quantile", "kmeans", "channel")
    assert set(FED) == {f"{kind}{bits}" for kind in kinds for bits in (4, 3, 2)} | {"quantile1"}


@pytest.mark.parametrize("name", FED)
def test_the_same_as_in_plain_loops(name: str) -> None:
    weight, x = layer(5, 9, 30, seed=1)
    plain = quantize(weight, "w", name)
    fed = LayerRounding(x.T @ x).codes(weight, plain)
    assert fed.codebook is plain.codebook and fed.codes.shape == plain.codes.shape
    assert plain.codebook is not None
    levels = plain.codebook.double().numpy()
    if name.startswith("channel"):
        count = 2 ** int(name[-1])
        levels = np.stack([np.linspace(low, high, count) for low, high in levels])
    else:
        levels = levels[None]
    expected = in_plain_loops(weight.double().numpy(), levels, (x.T @ x).numpy())
    np.testing.assert_allclose(dequantize(fed), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FED)
@given(seed=st.integers(0, 10_000), inputs=st.sampled_from([0, 1, 5, 60]))
@settings(max_examples=10, deadline=None)
def test_no_row_is_off_by_more_than_with_plain_rounding(name: str, seed: int, inputs: int) -> None:
    weight, x = layer(6, 12, inputs, seed)
    plain = quantize(weight, "w", name)
    fed = LayerRounding(x.T @ x).codes(weight, plain)
    before, after = (
        ((dequantize(codes) - weight).double() @ x.T).square().sum(1) for codes in (plain, fed)
    )
    # Plain codes of quantiles and k-means are those of the nearest bin, not of the value.
    assert (after <= before * 1.001 + 1e-6).all()


@pytest.mark.parametrize("name", FED)
def test_inputs_never_seen_before_gain_too(name: str) -> None:
    weight, x = layer(40, 32, 600, seed=2)
    plain = quantize(weight, "w", name)
    fed = LayerRounding(x[:300].T @ x[:300]).codes(weight, plain)
    before, after = (
        float(((dequantize(codes) - weight).double() @ x[300:].T).square().sum())
        for codes in (plain, fed)
    )
    assert after < 0.9 * before


@pytest.mark.parametrize("name", ["uniform4", "uniform2", "channel3", "kmeans3", "quantile2"])
def test_inputs_without_correlation_leave_plain_rounding(name: str) -> None:
    weight, _ = layer(50, 40, 1, seed=3)
    plain = quantize(weight, "w", name)
    fed = LayerRounding(3 * torch.eye(40).double()).codes(weight, plain)
    # A value in the bin of an edge may go either way.
    assert (dequantize(fed) != dequantize(plain)).float().mean() < 0.002


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, x = layer(30, 50, 80, seed=4)
    for name in ("channel3", "kmeans2"):
        plain = quantize(weight, "w", name)
        whole = LayerRounding(x.T @ x).codes(weight, plain)
        with monkeypatch.context() as patched:
            patched.setattr("quantize.feedback._ROWS", 7)
            patched.setattr("quantize.feedback._COLUMNS", 16)
            blocks = LayerRounding(x.T @ x).codes(weight, plain)
        assert torch.equal(whole.codes, blocks.codes)


def test_codes_come_back_from_their_file(tmp_path: Path) -> None:
    weight, x = layer(6, 11, 30, seed=5)
    state = {"a.weight": weight, "b.weight": weight + 1}
    wanted = {("a.weight", "uniform3"), ("a.weight", "channel2"), ("b.weight", "uniform3")}
    found = codes_with_feedback(state, {"a.weight": x.T @ x}, wanted)
    # Of the inputs of `b` nothing is known.
    assert found.keys() == {("a.weight", "channel2"), ("a.weight", "uniform3")}
    save_codes(tmp_path / "codes", found)
    again = load_codes(tmp_path / "codes", state)
    assert again.keys() == found.keys()
    for key, codes in found.items():
        assert torch.equal(dequantize(again[key]), dequantize(codes))
    save_codes(tmp_path / "none", {})
    assert load_codes(tmp_path / "none", state) == {}
