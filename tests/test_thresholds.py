"""A run's bundle has thresholds chosen on `search`, and its receipt what they are worth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from metrics import Labels
from metrics.thresholds import choose_thresholds
from quantize import Bundle, read_bundle
from tests.conftest import SMALL_FRAMES, make_clips
from tests.line import Line, frames_line

# By its number, as `write_small_data` makes them.
SEEDS = {"search": 1, "report": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


def scored(line: Line, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth and the bundle's log-odds (N, V), from arrays, clip by clip."""
    bundle = Bundle.load(line.bundle)
    clips = make_clips(SMALL_FRAMES, 60, SEEDS[split])
    truth = np.zeros((60, 30), bool)
    for row, clip in enumerate(clips):
        truth[row, clip.labels] = True
    rows = [bundle.predict(clip.features).numpy() for clip in clips]
    return truth, np.concatenate(rows)


@pytest.mark.parametrize("wanted", ["f1", "{precision: 0.5}"])
def test_they_are_chosen_on_search_and_scored_on_report(
    finished: Line, tmp_path: Path, wanted: str
) -> None:
    line, before = finished, finished.done()
    if wanted != "f1":
        line = finished.copy(tmp_path)
        assert line.call("stage=pack", f"pack.thresholds={wanted}").status == 0
        changed = {name for name, time in line.done().items() if before[name] != time}
        assert changed == {"bundle"}
        assert line.bundle.stat().st_size == finished.bundle.stat().st_size
    precision = None if wanted == "f1" else 0.5
    truth, log_odds = scored(line, "search")
    order = np.argsort(-log_odds, axis=1, kind="stable")
    lists = order, np.take_along_axis(log_odds, order, axis=1)
    expected = choose_thresholds(Labels.from_dense(truth), *lists, precision)
    thresholds = read_bundle(line.bundle).thresholds
    assert thresholds is not None and np.isfinite(expected).all()
    np.testing.assert_allclose(thresholds.numpy(), expected, atol=1e-4)
    truth, log_odds = scored(line, "report")
    given = log_odds >= thresholds.numpy()
    (tags,) = json.loads(line.receipt.read_text())["tags"]
    assert tags["wanted_precision"] == (precision or 0)
    assert tags["precision"] == pytest.approx((given & truth).sum() / given.sum())
    assert tags["recall"] == pytest.approx((given & truth).sum() / truth.sum())
    assert tags["f1"] == pytest.approx(2 * (given & truth).sum() / (given.sum() + truth.sum()))
    assert 0 < tags["f1_error"] < 0.1


def test_without_them_the_bundle_is_smaller_and_says_nothing_of_them(
    finished: Line, tmp_path: Path
) -> None:
    line = finished.copy(tmp_path)
    assert line.call("stage=pack", "pack.thresholds=none").status == 0
    receipt = json.loads(line.receipt.read_text())
    assert receipt["tags"] == [] and read_bundle(line.bundle).thresholds is None
    assert receipt["bytes"] == line.bundle.stat().st_size < finished.bundle.stat().st_size
    # The budget that just holds it holds none with thresholds.
    assert line.call("stage=pack", f"budget={receipt['bytes']}", "pack.thresholds=none").status == 0
    assert json.loads(line.receipt.read_text())["members"] == receipt["members"]
    assert line.call("stage=pack", f"budget={receipt['bytes']}").status == 0
    found = json.loads(line.receipt.read_text())
    assert found["bytes"] == line.bundle.stat().st_size <= receipt["bytes"]
    assert found["members"] != receipt["members"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("best", "pack.thresholds: must be one of f1, none or a mapping, not 'best'"),
        ("{precision: 2}", "pack.thresholds.precision: must be at most 1, not 2"),
        ("{precision: 0}", "pack.thresholds.precision: must be above 0, not 0"),
        ("{recall: 1}", "pack.thresholds: unknown key 'recall'; known are precision"),
    ],
)
def test_what_is_no_goal_is_refused(finished: Line, wanted: str, said: str) -> None:
    assert said in finished.call("stage=pack", f"pack.thresholds={wanted}").refusal()
