"""Average precision of a large pool of scores, by sorting whole numbers.

A score that is not negative sorts like its bits. Shifted left by one, its bits leave room for a
flag that says whether the label is true: one sort of plain uint32 then yields the ranks of all
true labels, without an argsort and without a search.
"""

import numpy as np
from scipy.sparse import csr_array

BLOCK = 512  # numpy sorts rows up to this length in registers, several times faster than more
BUCKETS = 1 << 15
SMALL = 1 << 16  # pools up to this are sorted faster by np.sort alone


def encode(scores: np.ndarray) -> np.ndarray:
    """Turns scores (float32, contiguous, not negative) into keys uint32, in place."""
    keys = scores.view(np.uint32)
    np.left_shift(keys, 1, out=keys)
    return keys


def average_precision_of_keys(keys: np.ndarray, positives: int) -> float:
    """The average precision of a pool; equal scores are one threshold.

    Args:
        keys: (n,) uint32: score bits shifted left by one, plus 1 for a true label.
        positives: The recall's denominator.
    """
    keys = sort_keys(keys)
    true = np.flatnonzero((keys & np.uint32(1)) != 0)  # much faster on bools than on numbers
    if not true.size:
        return 0.0
    first, found = true.copy(), np.arange(true.size)
    # A true label ties with its left neighbor: the threshold starts where their score starts.
    tied = np.flatnonzero((keys[true] >> 1 == keys[true - 1] >> 1) & (true > 0))
    if tied.size:
        first[tied] = np.searchsorted(keys, keys[true[tied]] & np.uint32(0xFFFFFFFE))
        found[tied] = np.searchsorted(true, first[tied])
    return float(((true.size - found) / (keys.size - first)).sum() / positives)


def sort_keys(keys: np.ndarray) -> np.ndarray:
    """Sorts keys (n,) uint32: np.sort, made faster.

    A counting sort by the leading bits leaves short runs to be ordered; two rounds over rows of
    a block, the second shifted by half a block, order every run that is no longer than half.
    """
    if keys.size <= SMALL:
        return np.sort(keys)
    lowest = int(keys.min())
    shift = max(0, (int(keys.max()) - lowest).bit_length() - (BUCKETS.bit_length() - 1))
    bucket = ((keys - np.uint32(lowest)) >> np.uint32(shift)).astype(np.int32)
    row = csr_array((keys, bucket, np.array([0, keys.size], dtype=np.int32)), shape=(1, BUCKETS))
    ordered = row.tocsc().data
    for start in (0, BLOCK // 2):
        end = start + (keys.size - start) // BLOCK * BLOCK
        ordered[start:end].reshape(-1, BLOCK).sort(axis=1)
        ordered[end:].sort()
    if (ordered[1:] < ordered[:-1]).any():
        ordered.sort()
    return ordered
