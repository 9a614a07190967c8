"""What is looked at once for all rows is what is found row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import DataError, Schema, Stream
from records.arrow.rows import Rows
from records.clip import check_id

LABELS = 5
SCHEMA = Schema("means", "video", (Stream("x", 2, "float32"),), num_labels=LABELS)
IDS = st.one_of(st.sampled_from(["a", "\n", "é", "b\x00", "", "x" * 257]), st.text(max_size=4))
ROWS = st.lists(st.lists(st.integers(-1, LABELS), max_size=4), min_size=1, max_size=5)


def rows_of(ids: list[str], labels: pa.Array, vectors: Any = None) -> Rows:
    given_vectors = [[0.5, 1.5]] * len(ids) if vectors is None else vectors
    columns = {"id": pa.array(ids), "labels": labels}
    return Rows(columns | {"x": pa.array(given_vectors, pa.list_(pa.float32()))}, SCHEMA)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([pa.int8(), pa.int64()]), st.integers(0, 2))
def test_labels_are_those_of_each_row(
    written: list[list[int]], kind: pa.DataType, skipped: int
) -> None:
    # A slice, whose values begin within those of the whole.
    labels = pa.array([[3, 1]] * skipped + written, pa.list_(kind))[skipped:]
    rows = rows_of([str(number) for number in range(len(written))], labels)
    for number, own in enumerate(written):
        if any(not 0 <= label < LABELS for label in own) or own in ([], [0] * LABELS):
            continue
        clip = rows.clip(number)
        assert clip.labels.dtype == np.int64
        assert clip.labels.tolist() == sorted(set(own))
        assert clip.repeated_labels == len(own) - len(set(own))


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_a_label_out_of_range_is_found_wherever_it_is(written: list[list[int]]) -> None:
    rows = rows_of(["a"] * len(written), pa.array(written, pa.list_(pa.int64())))
    for number, own in enumerate(written):
        if all(0 <= label < LABELS for label in own):
            assert rows.clip(number).labels.tolist() == sorted(set(own))
        else:
            with pytest.raises(DataError, match="is out of range"):
                rows.clip(number)


@settings(max_examples=150, deadline=None)
@given(st.lists(IDS, min_size=1, max_size=4))
def test_ids_are_those_that_are_accepted_one_by_one(ids: list[str]) -> None:
    rows = rows_of(ids, pa.array([[1]] * len(ids)))
    for number, clip_id in enumerate(ids):
        try:
            check_id(clip_id)
        except DataError as error:
            with pytest.raises(DataError) as found:
                rows.clip(number)
            assert str(found.value) == str(error)
        else:
            assert rows.clip(number).id == clip_id


@pytest.mark.parametrize(
    ("vector", "match"),
    [
        ([0.5], "found 1 values in all"),
        ([0.5, float("nan")], "NaN or infinity"),
        ([0.5, None], "holds a null"),
        (None, "is null"),
    ],
)
def test_one_bad_vector_is_found_among_good_ones(vector: Any, match: str) -> None:
    labels = pa.array([[1]] * 3)
    rows = rows_of(["a", "b", "c"], labels, [[1.0, 2.0], vector, [3.0, 4.0]])
    with pytest.raises(DataError, match=match):
        rows.clip(1)
    for number, expected in ((0, [1.0, 2.0]), (2, [3.0, 4.0])):
        assert rows.clip(number).features["x"].tolist() == expected
