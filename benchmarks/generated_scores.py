"""Scores that look like those of models of YouTube-8M: made up, but of its shape."""

from __future__ import annotations

import numpy as np

from metrics import Labels

POSITIVES = 3.0  # labels a clip
FACTORS = 32  # what clips and labels have in common


def generate_scores(
    members: int, clips: int, num_labels: int, noise: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, Labels]:
    """Makes up log-odds of members that are trained alike, and the labels they are to find.

    Labels are rare by a long tail, go together by common factors, and are found with luck; a
    member differs from what all have in common by noise of its own, in factors and in scores.

    Args:
        members: M.
        clips: N.
        num_labels: V.
        noise: By how much a member's log-odds differ from the common ones.
        seed: Of everything.

    Returns:
        (M, N, V) float32 and the labels of the clips.
    """
    generator = np.random.default_rng(seed)
    frequency = 1 / (np.arange(num_labels) + 10.0)
    frequency *= POSITIVES / frequency.sum()
    loadings = generator.normal(0, 1.2 / FACTORS**0.5, size=(FACTORS, num_labels))
    factors = generator.normal(size=(clips, FACTORS))
    common = np.log(frequency) - 3.5 + factors @ loadings
    truth = generator.random(common.shape) < frequency
    truth[0, 0] = True
    common[truth] += generator.normal(6.5, 2.5, size=int(truth.sum()))
    dense = np.empty((members, *common.shape), dtype=np.float32)
    for member in dense:
        own = generator.normal(0, noise, size=(clips, FACTORS)) @ loadings
        member[:] = common + own
        member += noise / 3 * generator.standard_normal(common.shape, dtype=np.float32)
    return dense, Labels.from_dense(truth)
