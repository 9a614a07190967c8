"""The benchmark of formats reads the same values with every reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.formats import FRAMES, _by_hand, measure, places, read_all, written
from benchmarks.generated import generate_split
from records import load_schema


@pytest.mark.parametrize("level", ["frame", "video"])
def test_all_readers_hand_out_the_same_number_of_values(level: str, tmp_path: Path) -> None:
    schema = load_schema(f"yt8m_{level}")
    split = generate_split(tmp_path, schema, 3, FRAMES)
    paths = {"tfrecord": split.shards[0], **written(tmp_path, split)}
    counts = {kind: read_all(path, schema, places(path, schema)) for kind, path in paths.items()}
    counts["by hand"] = _by_hand(paths["parquet"], schema)
    expected = sum(values.size for clip in split.clips() for values in clip.features.values())
    assert set(counts.values()) == {expected}


def test_figures_are_of_all_readers() -> None:
    figures = measure("video", 5, repeats=1)
    assert set(figures["ratio"]) == {"tfrecord", "datasets", "numpy", "pyarrow alone"}
