"""How often labels are there, how many a clip has, which come together, and where one is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from records.schema import Schema
from records.splits import Truth


def frequencies(truth: Truth, num_labels: int) -> NDArray[np.int64]:
    """How many clips have each label (V,)."""
    return np.bincount(truth.columns, minlength=num_labels)


def labels_a_clip(truth: Truth) -> NDArray[np.int64]:
    """How many labels each clip has (N,)."""
    return np.diff(truth.offsets)


def together(truths: Sequence[Truth], num_labels: int) -> sparse.csr_array:
    """How many clips have both of two labels (V, V), on the diagonal one; symmetric."""
    total = sparse.csr_array((num_labels, num_labels), dtype=np.int64)
    for truth in truths:
        ones = np.ones(len(truth.columns), np.int64)
        shape = len(truth.ids), num_labels
        has = sparse.csr_array((ones, truth.columns, truth.offsets), shape=shape)
        total = total + has.T @ has
    return sparse.csr_array(total)


def given(counts: sparse.csr_array) -> sparse.csr_array:
    """P(A given B) of every two labels (V, V): the share of the clips with B that have A as well.

    Args:
        counts: As `together` has them.

    Returns:
        Row A, column B; nothing where no clip has both.
    """
    entries = counts.tocoo()
    of = counts.diagonal()[entries.col]
    return sparse.csr_array((entries.data / of, (entries.row, entries.col)), shape=counts.shape)


def verticals_of(truth: Truth, schema: Schema) -> NDArray[np.int64]:
    """How many clips have a label of each of the schema's verticals (verticals,)."""
    pairs = [(label, v) for label, own in enumerate(schema.label_verticals) for v in own]
    labels, verticals = np.array(pairs, np.int64).reshape(-1, 2).T
    shape = schema.num_labels, len(schema.vertical_names)
    member = sparse.csr_array((np.ones(len(labels), np.int64), (labels, verticals)), shape=shape)
    ones = np.ones(len(truth.columns), np.int64)
    has = sparse.csr_array((ones, truth.columns, truth.offsets), shape=(len(truth.ids), shape[0]))
    return np.asarray(((has @ member) > 0).sum(axis=0)).ravel()


def lacking(counts: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """The labels that a split has not and another one has, by split, ascending.

    Args:
        counts: Of each split, how many clips have each label (V,).
    """
    anywhere = np.sum(list(counts.values()), axis=0) > 0
    return {name: np.flatnonzero(anywhere & (own == 0)) for name, own in counts.items()}
