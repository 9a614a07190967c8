from __future__ import annotations

import numpy as np
import pytest

from benchmarks.precisions import BUNDLE, measure, summarize, ways
from metrics import gap
from quantize import list_precisions
from records import SplitSpec, open_split, read_truth
from runs import Predictions
from tests.conftest import SMALL_MEANS
from tests.line import Line, means_line
from tests.metrics.lists import from_lists


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return means_line(tmp_path_factory.getbasetemp())


def test_every_precision_is_measured_on_both_splits(line: Line) -> None:
    table = measure(line.run, threshold=30)
    assert len(table) == 2 * len(ways())
    single = table[table["precision"] == "float32"].set_index("student")["gap"]
    wanted = pytest.approx(gap_on_both(line), abs=1e-6)
    assert single.to_dict() == {"plain": wanted, BUNDLE: wanted}

    summary = summarize(table)
    assert list(summary.index) == ways()
    assert {"kmeans3", "kmeans3+feedback", "kmeans5"} <= set(ways()) >= set(list_precisions())
    shares = summary["of float32"].to_dict()
    assert shares["float32"] == 1 and 0.5 < shares["float16"] < 1
    for column in ("loss", "mean loss", "most"):
        assert summary[column].to_dict()["float32"] == 0


def gap_on_both(line: Line) -> float:
    """What the student scores on the clips of both splits, from what its training stored."""
    truth: list[list[int]] = []
    scores = []
    for name in ("search", "report"):
        spec = SplitSpec(f"{name}-*.tfrecord")
        labels = read_truth(open_split(line.data, name, spec, SMALL_MEANS, cache=None))
        truth += [part.tolist() for part in np.split(labels.columns, labels.offsets[1:-1])]
        stored = Predictions.load(line.run / f"students/plain/predictions-{name}.safetensors")
        scores.append(stored.to_dense())
    return gap(from_lists(truth, SMALL_MEANS.num_labels), None, np.concatenate(scores))
