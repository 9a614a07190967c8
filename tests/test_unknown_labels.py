"""Data of which some labels are unknown, through whole runs: from shards to a receipt."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metrics import Labels, gap
from quantize import Bundle
from records import Schema, SplitSpec, encode_clip, iterate_batches, open_split, write_shards
from tests.conftest import SMALL_FRAMES, SMALL_MEANS, make_clips
from tests.line import Line, write_schema

UNRATED = dataclasses.replace(SMALL_MEANS, unknown_labels_key="unrated")
SEGMENTS = dataclasses.replace(SMALL_FRAMES, segments=True)
ONE_MEMBER = ("~members.vlad", "~members.bag", "~members.sequence")


def unrated(labels: np.ndarray, number: int, frames: int) -> dict[str, np.ndarray]:
    """A third of the labels that a clip has not."""
    others = np.setdiff1d(np.arange(SMALL_MEANS.num_labels), labels)
    return {"unrated": others[number % 3 :: 3]}


def two_segments(labels: np.ndarray, number: int, frames: int) -> dict[str, np.ndarray]:
    """Both parts of a clip: one label that is right in each, and two that are wrong."""
    right = np.array([labels[0], labels[-1]])
    wrong = np.setdiff1d(np.arange(SMALL_FRAMES.num_labels), labels)
    rated = np.concatenate([right, wrong[number % 9 :: 9][:2], wrong[number % 7 :: 9][:2]])
    starts = np.array([0, 2, 0, 2, 2, 0])
    pairs = dict.fromkeys(zip(starts.tolist(), rated.tolist(), strict=True))
    starts, rated = (np.array(column) for column in zip(*pairs, strict=True))
    return {
        "segment_start_times": starts,
        "segment_end_times": starts + 2,
        "segment_labels": rated,
        "segment_scores": np.isin(rated, labels).astype(np.float32),
    }


def run_of(folder: Path, schema: Schema, further: Any, base: Schema) -> Line:
    for seed, (split, count) in enumerate({"train": 90, "search": 40, "report": 40}.items()):
        records = []
        for number, clip in enumerate(make_clips(base, count, seed)):
            frames = len(clip.features[base.streams[0].name])
            records.append(encode_clip(clip, base, further(clip.labels, number, frames)))
        write_shards(folder / "data", split, records, 40)
    changes = (*ONE_MEMBER, "data.test.shards=null")
    path = write_schema(folder / "schema.yaml", schema)
    return Line(folder / "data", path, folder / "outputs", changes)


@pytest.mark.parametrize(
    ("schema", "further", "base"),
    [(UNRATED, unrated, SMALL_MEANS), (SEGMENTS, two_segments, SMALL_FRAMES)],
    ids=["unrated", "segments"],
)
def test_a_run_is_scored_on_what_is_known(
    tmp_path: Path, schema: Schema, further: Any, base: Schema
) -> None:
    line = run_of(tmp_path, schema, further, base)
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    bundle = Bundle.load(line.bundle)
    assert bundle.schema.has_unknown_labels
    split = open_split(line.data, "report", SplitSpec("report-*"), schema, cache=None)
    (batch,) = iterate_batches(split, len(split))
    assert batch.unknown is not None and batch.unknown.float().mean() > 0.2
    log_odds = bundle.predict(batch).numpy()
    rows, columns = batch.labels.numpy().T
    truth = Labels.from_pairs(rows, columns, len(batch), 30, batch.unknown.numpy())
    wanted = gap(truth, None, log_odds)
    blind = gap(dataclasses.replace(truth, unknown=None), None, log_odds)
    assert abs(wanted - blind) > 1e-3
    receipt = json.loads(line.receipt.read_text())
    assert receipt["gap"] == pytest.approx(wanted, abs=1e-5)
    said = line.call("stage=evaluate", f"bundle={line.bundle}")
    assert float(re.search(r"gap\s+([\d.]+)", said.out, re.I).group(1)) == pytest.approx(  # type: ignore[union-attr]
        wanted, abs=1e-3
    )
    refused = line.call("stage=teachers", "members.near={family: neighbors}").refusal()
    assert "of this data some are unknown" in refused and "leave the member out" in refused
    if schema.segments:
        check_ratings_kept_back(line, bundle, tmp_path / "submission.csv")


def check_ratings_kept_back(line: Line, bundle: Bundle, output: Path) -> None:
    """Segments that nobody rated are predicted as they are elsewhere."""
    kept_back = {"segment_start_times": np.array([2, 0]), "segment_end_times": np.array([4, 2])}
    clips = make_clips(SMALL_FRAMES, 9, 7)
    write_shards(line.data, "test", [encode_clip(c, SMALL_FRAMES, kept_back) for c in clips], 5)
    predicted = line.call("stage=predict", "data.test.shards=test-*", f"output={output}")
    assert predicted.status == 0, predicted.err
    best = dict(row.split(",") for row in output.read_text().splitlines()[1:])
    assert list(best) == [f"{clip.id}:{start}" for clip in clips for start in (0, 2)]
    streams = {name: of_frames[2:4] for name, of_frames in clips[3].features.items()}
    first = int(best[f"{clips[3].id}:2"].split()[0])
    assert first == int(bundle.predict(streams).argmax())
