"""Tables of other programs' confidences, held against plain loops over the same table."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs import Predictions, RunError
from runs.confidences import LabelSpace, read_confidences

V = 30
Table = dict[str, dict[int, float]]


def write(path: Path, table: Table, long: bool = False) -> Path:
    """A table in a file; the suffix says in which format."""
    if long:
        rows = [[clip, str(n), repr(p)] for clip, own in table.items() for n, p in own.items()]
        names = ["id", "label", "confidence"]
    else:
        rows = [
            [clip, " ".join(f"{label} {p!r}" for label, p in own.items())]
            for clip, own in table.items()
        ]
        names = ["VideoId", "LabelConfidencePairs"]
    if path.suffix == ".parquet":
        columns = [list(column) for column in zip(*rows, strict=True)]
        pa.parquet.write_table(pa.table(dict(zip(names, columns, strict=True))), path)
    else:
        text = "".join(",".join(row) + "\n" for row in [names, *rows])
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read(path: Path, ids: list[str], stored: int = 100, num_labels: int = V) -> Predictions:
    return read_confidences([path], np.array(ids), LabelSpace(num_labels), stored)[0]


def dense(table: Table, ids: list[str]) -> np.ndarray:
    """What every clip gives every label, by the rule of the module's docstring."""
    most = max(map(len, table.values()))
    lowest = min(1 / V, *(p for own in table.values() for p in own.values()))
    found = np.empty((len(ids), V))
    for row, clip in enumerate(ids):
        own = table[clip]
        whole = len(own) == most and most >= 20
        found[row] = min(own.values()) if whole else lowest
        for label, p in own.items():
            found[row, label] = p
    return found


confidences = st.floats(1e-12, 1 - 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.dictionaries(st.integers(0, V - 1), confidences, min_size=1, max_size=8),
            st.dictionaries(st.integers(0, V - 1), confidences, min_size=20, max_size=22),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(20, V),
    st.booleans(),
)
def test_every_label_has_what_the_table_says_of_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[int, float]], k: int, long: bool
) -> None:
    table = {f"clip{n}": row for n, row in enumerate(rows)}
    path = write(tmp_path_factory.getbasetemp() / "all.csv", table, long)
    ids = list(reversed(table))
    found = read(path, ids, k)
    path = path.with_name("stored.safetensors")
    found.save(path)
    # Which holds it against what the class promises.
    found = Predictions.load(path)
    assert found.ids.tolist() == ids
    wanted = dense(table, ids)
    assert found.stored == max(20, min(max(map(len, rows)), k))
    for row, labels in enumerate(found.labels):
        rest = np.delete(wanted[row], labels)
        assert found.log_odds[row] == pytest.approx(
            np.log(wanted[row, labels] / (1 - wanted[row, labels])), rel=1e-5, abs=1e-5
        )
        if len(rest):
            bound = 1 / (1 + math.exp(-found.left_out[row]))
            assert bound == pytest.approx(rest.max(), rel=1e-4)
            assert found.tail[row] == pytest.approx(rest.sum(), rel=1e-4)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
@pytest.mark.parametrize("long", [False, True])
def test_formats_say_the_same(name: str, long: bool, tmp_path: Path) -> None:
    table = {"0012": {3: 0.5, 4: 0.25}, "b": {29: 1.0, 0: 0.0}}
    found = read(write(tmp_path / name, table, long), ["b", "0012"])
    assert found.labels[:, 0].tolist() == [29, 3]
    assert found.log_odds[:, 0].tolist() == [40.0, 0.0]
    assert found.left_out.tolist() == [-40.0, -40.0]
    assert found.stored == 20


def test_numbers_of_parquet_are_read_as_they_are(tmp_path: Path) -> None:
    columns = {
        "id": [7, 7, 8],
        "label": [1, 2, 3],
        "confidence": np.array([0.5, 0.25, 1], np.float32),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", ["7", "8"])
    assert found.labels[:, :2].tolist() == [[1, 2], [3, 0]]


def test_other_clips_are_counted_and_several_tables_are_one(tmp_path: Path) -> None:
    one = write(tmp_path / "1.csv", {"a": {1: 0.5}, "x": {2: 0.5}})
    two = write(tmp_path / "2.csv", {"b": {3: 0.5}, "y": {2: 0.5}}, long=True)
    found, others = read_confidences([one, two], np.array(["b", "a"]), LabelSpace(V), 100)
    assert (found.labels[:, 0].tolist(), others) == ([3, 1], 2)
    with pytest.raises(RunError, match=r"2\.csv: clip 'a' is there twice"):
        read_confidences([one, write(two, {"a": {1: 0.5}})], np.array(["a"]), LabelSpace(V), 100)


def test_a_list_without_labels_is_a_list(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", {"a": {}, "b": {3: 0.5}})
    tables: list[Table] = [{"a": {}, "b": row} for row in ({3: 0.5}, {3: 1.0}, {})]
    for table in tables:
        found = read(write(path, table), ["a", "b"])
        assert found.left_out.tolist() == pytest.approx([math.log((1 / V) / (1 - 1 / V))] * 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("VideoId,LabelConfidencePairs\nb,1 0.5\n", "2 of 3 clips are missing, the first is 'a'"),
        ("VideoId,LabelConfidencePairs\na,30 0.5\n", "'a' has label '30', which must be an index"),
        ("VideoId,LabelConfidencePairs\na,-1 0.5\n", "label '-1', which must be an index from 0"),
        ("VideoId,LabelConfidencePairs\na,1 1.5\n", "confidence '1.5' for label '1'; it must be"),
        ("VideoId,LabelConfidencePairs\na,1 nan\n", "confidence 'nan' for label '1'"),
        ("VideoId,LabelConfidencePairs\na,1 x\n", "confidence 'x' for label '1'"),
        ("VideoId,LabelConfidencePairs\na,1 0.5 2\n", "no pairs of label and confidence but '1 0"),
        ("VideoId,LabelConfidencePairs\na,1 0.5 1 0.4\nb,\nc,\n", "clip 'a' has label 1 twice"),
        ("VideoId,LabelConfidencePairs\na,1 0.5\na,2 0.5\n", "clip 'a' is there twice"),
        ("id,label,confidence\na,1,-0.1\n", "confidence '-0.1' for label '1'"),
        ("id,label,confidence\na,1,\n", "confidence '' for label '1'"),
        ("id,label,confidence\n" + "a,1,0.5\n" * 31, "clip 'a' has a label twice"),
        ("id,label\na,1\n", r"has the columns \['id', 'label'\]; it needs VideoId and Label"),
        ("VideoId,LabelConfidencePairs\na,1 0.5,3\n", "cannot be read as a table: .*columns"),
        ("", "cannot be read as a table: Empty CSV"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(RunError, match=said) as refused:
        read(path, ["a", "b", "c"])
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, content, said in (
        ("a.xlsx", b"PK", r"no table by its name; give one of \.csv"),
        ("a.parquet", b"PAR1 no", "cannot be read as a table"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.csv", b"VideoId,LabelConfidencePairs\n\xff\xfe,1 0.5\n", "cannot be read as a table"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError, match=said):
            read(tmp_path / name, ["a"])


def test_labels_are_indices_or_names(tmp_path: Path) -> None:
    table = "id,label,confidence\na,the cat,0.5\na,2,0.25\n"
    (tmp_path / "a.csv").write_text(table)
    named = LabelSpace(3, ("dog", "the cat", "owl"))
    found, _ = read_confidences([tmp_path / "a.csv"], np.array(["a"]), named, 100)
    assert found.labels.tolist() == [[1, 2, 0]]
    with pytest.raises(RunError, match="'the cat', which must be an index from 0 to 2"):
        index = LabelSpace(3, named.names, "index")
        read_confidences([tmp_path / "a.csv"], np.array(["a"]), index, 100)
    with pytest.raises(RunError, match=r"'2', which must be a name of data.vocabulary"):
        by_name = LabelSpace(3, named.names, "name")
        read_confidences([tmp_path / "a.csv"], np.array(["a"]), by_name, 100)


def test_names_that_are_other_labels_indices_are_asked_about(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,label,confidence\na,1,0.5\n")
    names = ("0", "10", "1")
    with pytest.raises(RunError, match=r"names a label '10', which is .* has, 'index' or 'name'"):
        LabelSpace(3, names)
    for by, label in (("index", 1), ("name", 2)):
        space = LabelSpace(3, names, by)  # type: ignore[arg-type]
        found, _ = read_confidences([tmp_path / "a.csv"], np.array(["a"]), space, 100)
        assert found.labels[0, 0] == label
    LabelSpace(2, ("0", "1"))
    with pytest.raises(RunError, match=r"'name' needs a name of its own .* is not set"):
        LabelSpace(3, (), "name")
    with pytest.raises(RunError, match=r"'name' needs a name of its own .* share one"):
        LabelSpace(2, ("a", "a"), "name")
