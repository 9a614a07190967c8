"""Values counted part by part are those of NumPy over all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from records import Schema, Stream
from records.schema import dequantize
from records.statistics.values import StreamStatistics, StreamTally


def counted(stream: Stream, parts: list[np.ndarray]) -> StreamStatistics:
    tally = StreamTally(stream, Schema("one", "frame", (stream,), 3))
    for part in parts:
        tally.add(part)
    return tally.result()


def check(found: StreamStatistics, values: np.ndarray) -> None:
    """Against NumPy over all values (n, D), which are float64 and dequantized."""
    assert found.counts.tolist() == np.histogram(values, found.edges)[0].tolist()
    assert found.counts.sum() == values.size
    assert (found.least, found.most) == pytest.approx((values.min(), values.max()))
    scale = np.abs(values).max()
    assert found.mean == pytest.approx(values.mean(), abs=1e-6 * scale)
    assert found.deviation == pytest.approx(values.std(), abs=1e-6 * scale)
    np.testing.assert_allclose(found.means, values.mean(axis=0), atol=1e-6 * scale)
    np.testing.assert_allclose(found.deviations, values.std(axis=0), atol=1e-6 * scale)


def test_bytes_count_as_what_they_stand_for() -> None:
    generator = np.random.default_rng(0)
    parts = [generator.integers(0, 256, (n, 7), np.uint8) for n in (40, 0, 1, 300)]
    values = dequantize(torch.from_numpy(np.concatenate(parts))).double().numpy()
    check(counted(Stream("rgb", 7), parts), values)


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.just(3)),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    ),
    st.integers(0, 40),
)
def test_floats_of_any_size_are_counted_once(values: np.ndarray, cut: int) -> None:
    found = counted(Stream("mean_rgb", 3, "float32"), [values[:cut], values[cut:]])
    check(found, values.astype(np.float64))


def test_a_part_beyond_all_bins_makes_them_wider() -> None:
    generator = np.random.default_rng(1)
    parts = [(10.0**n * generator.normal(size=(50, 3))).astype(np.float32) for n in range(-3, 6)]
    check(counted(Stream("x", 3, "float32"), parts), np.concatenate(parts).astype(np.float64))


def test_a_small_spread_far_from_zero_is_not_rounded_away() -> None:
    values = (1e6 + np.random.default_rng(2).normal(size=(900, 2))).astype(np.float32)
    found = counted(Stream("x", 2, "float32"), [values[:100], values[100:]])
    np.testing.assert_allclose(found.deviations, values.astype(np.float64).std(axis=0), rtol=1e-9)


def test_of_nothing_all_is_zero() -> None:
    for encoding in ("uint8", "float32"):
        stream = Stream("x", 2, encoding)  # type: ignore[arg-type]
        found = counted(stream, [np.zeros((0, 2), encoding)])
        assert not found.counts.any() and found.deviation == 0
