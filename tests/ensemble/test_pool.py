from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.pool import average_precision_of_keys, encode, sort_keys
from metrics.average_precision import average_precision


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 511, 512, 513, 3000, 20_000]),
    st.sampled_from(["even", "steep", "one", "few", "spike"]),
)
def test_keys_are_sorted(seed: int, size: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    keys = {
        "even": generator.integers(0, 2**32, size),
        "steep": np.exp(generator.uniform(0, 22, size)),
        "one": np.full(size, 7),
        "few": generator.integers(0, 3, size) * 2**30,
        # One far value makes all others fall into one bucket.
        "spike": np.where(np.arange(size) == 0, 2**32 - 1, generator.integers(0, 5000, size)),
    }[kind].astype(np.uint32)
    before = keys.copy()
    assert (sort_keys(keys) == np.sort(keys)).all()
    assert (keys == before).all()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.booleans())
def test_average_precision_is_that_of_the_metric(seed: int, size: int, tied: bool) -> None:
    generator = np.random.default_rng(seed)
    scores = np.exp(generator.normal(0, 8, size)).astype(np.float32)
    if tied:
        scores = np.exp2(generator.integers(-3, 4, size)).astype(np.float32)
    hits = generator.random(size) < 0.3
    positives = int(hits.sum()) + 3
    keys = encode(scores.copy()) | hits.astype(np.uint32)
    wanted = average_precision(scores, hits.astype(np.float64), positives)
    assert average_precision_of_keys(keys, positives) == pytest.approx(wanted, abs=1e-12)
