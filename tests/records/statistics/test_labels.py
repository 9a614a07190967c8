"""Counts of labels against plain loops over the clips."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from records import Schema, Stream
from records.splits import Truth
from records.statistics.labels import (
    frequencies,
    given,
    labels_a_clip,
    lacking,
    together,
    verticals_of,
)

LABELS = 12


def truth_of(rows: list[list[int]]) -> Truth:
    offsets = np.cumsum([0, *map(len, rows)])
    columns = np.array([label for row in rows for label in row], np.int64)
    return Truth(np.array([f"clip{n}" for n in range(len(rows))]), offsets, columns)


@pytest.fixture
def rows() -> list[list[int]]:
    """Labels of 60 clips, some of them without; label 11 is nowhere."""
    generator = np.random.default_rng(5)
    drawn = (generator.integers(0, LABELS - 1, count) for count in generator.integers(0, 5, 60))
    return [np.unique(labels).tolist() for labels in drawn]


def test_frequencies_are_clips(rows: list[list[int]]) -> None:
    counts = frequencies(truth_of(rows), LABELS)
    assert counts.tolist() == [sum(label in row for row in rows) for label in range(LABELS)]
    assert labels_a_clip(truth_of(rows)).tolist() == list(map(len, rows))


def test_what_comes_together_is_counted_over_all_splits(rows: list[list[int]]) -> None:
    counts = together([truth_of(rows[:20]), truth_of(rows[20:])], LABELS)
    shares = given(counts)
    for a in range(LABELS):
        for b in range(LABELS):
            both = sum(a in row and b in row for row in rows)
            assert counts[a, b] == both
            with_b = sum(b in row for row in rows)
            assert shares[a, b] == pytest.approx(both / with_b if both else 0)
    assert shares.nnz == counts.nnz


def test_a_clip_counts_once_for_each_of_its_verticals(rows: list[list[int]]) -> None:
    schema = Schema("v", "video", (Stream("x", 2, "float32"),), LABELS)
    own = tuple(((), (0,), (0, 1), (2,))[label % 4] for label in range(LABELS))
    schema = dataclasses.replace(schema, label_verticals=own, vertical_names=("a", "b", "c", "d"))
    expected = [
        sum(any(vertical in own[label] for label in row) for row in rows) for vertical in range(4)
    ]
    assert verticals_of(truth_of(rows), schema).tolist() == expected


def test_a_label_that_is_nowhere_is_lacked_by_no_split() -> None:
    counts = {"train": np.array([3, 0, 0, 1]), "report": np.array([0, 2, 0, 1])}
    assert {name: own.tolist() for name, own in lacking(counts).items()} == {
        "train": [1],
        "report": [0],
    }
