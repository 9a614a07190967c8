"""What a run packs beside its members: thresholds chosen on `search`, and the model card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metrics import Labels
from metrics.thresholds import choose_thresholds
from quantize import Bundle, read_bundle
from tests.conftest import SMALL_FRAMES, make_clips
from tests.line import Line, frames_line
from tests.stages.packing.test_card import parts_of

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


def test_figures_of_a_run_stand_in_its_card(finished: Line) -> None:
    values, body = parts_of(finished.bundle.with_name("README.md").read_text())
    receipt = json.loads(finished.receipt.read_text())
    (result,) = values["model-index"][0]["results"]
    figures = {metric["type"]: metric["value"] for metric in result["metrics"]}
    (tags,) = receipt["tags"]
    names = ("gap", "map", "map_at_10")
    assert figures == {name: receipt[name] for name in names} | {"f1": tags["f1"]}
    assert values["metrics"] == list(figures)
    for told in (receipt["bytes"], receipt["budget_bytes"]):
        assert f"{told:,} bytes" in body or f"{told:,} that it might have" in body
    for member in receipt["members"]:
        assert f"| {member['name']} | {member['family']} |" in body
    for name in ("gap", "map", "map_at_10"):
        assert f"| {receipt[name]:.5f} | {receipt[f'{name}_error']:.5f} |" in body
    assert "| train | 160 |" in body and "| report | 60 |" in body
    assert "It states no licence" in body and receipt["sha256"] in body


def test_the_code_of_the_card_runs(finished: Line) -> None:
    card = finished.bundle.with_name("README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("bundle.safetensors", str(finished.bundle)), names)
    assert names["log_odds"].shape == (1, 30)
    assert len(names["best"]) == 5
    assert all(tag.probability > 0 for tag in names["tags"])


def test_a_card_that_is_not_what_was_written_is_made_again(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    card = line.bundle.with_name("README.md")
    before = card.read_bytes(), line.bundle.read_bytes()
    card.write_text("another")
    outcome = line.call("stage=pack")
    assert outcome.status == 0 and "bundle: README.md is missing or damaged" in outcome.err
    assert (card.read_bytes(), line.bundle.read_bytes()) == before
