"""A survey against what was written into the shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from records import Clip, Schema, Split, SplitSpec, encode_clip, open_split, write_shards
from records.statistics import survey
from records.statistics.survey import take_survey

MakeClip = Callable[..., Clip]


@pytest.fixture
def splits(tmp_path: Path, make_clip: MakeClip) -> Callable[[Schema], list[Split]]:
    """A function from a schema to splits of 40 and 12 clips; 2 of the latter are of the former."""

    def make(schema: Schema) -> list[Split]:
        numbers = {"train": range(40), "report": range(38, 50)}
        for name, own in numbers.items():
            records = [encode_clip(make_clip(schema, number), schema) for number in own]
            write_shards(tmp_path, name, records, 16)
        return [open_split(tmp_path, n, SplitSpec(f"{n}-*"), schema, cache=None) for n in numbers]

    return make


def test_frames_labels_and_values_are_those_of_the_clips(
    splits: Callable[[Schema], list[Split]], frame_schema: Schema, make_clip: MakeClip
) -> None:
    found = take_survey(splits(frame_schema))
    train, report = found.splits
    assert (train.name, len(train), train.shards) == ("train", 40, 3)
    clips = [make_clip(frame_schema, number) for number in range(40)]
    assert train.truth.ids.tolist() == [clip.id for clip in clips]
    assert train.truth.columns.tolist() == [int(own) for clip in clips for own in clip.labels]
    assert train.truth.offsets.tolist()[-1] == sum(len(clip.labels) for clip in clips)
    assert train.frames.tolist() == [len(clip.features["rgb"]) for clip in clips]
    assert len(report) == 12
    for stream in frame_schema.streams:
        counts = found.streams[stream.name].counts
        frames = int(train.frames.sum() + report.frames.sum())
        assert counts.sum() == frames * stream.size
    longest = max(clips, key=lambda clip: len(clip.features["rgb"]))
    assert found.pictured is not None and found.pictured.id == longest.id


def test_shared_ids_and_near_duplicates_are_between_splits(
    splits: Callable[[Schema], list[Split]], video_schema: Schema
) -> None:
    found = take_survey(splits(video_schema))
    assert found.shared == {
        "clip0038": {"train": 1, "report": 1},
        "clip0039": {"train": 1, "report": 1},
    }
    ids = np.concatenate([split.truth.ids for split in found.splits])
    named = {tuple(ids[found.compared[pair]].tolist()) for pair in found.near.pairs}
    assert {("clip0038", "clip0038"), ("clip0039", "clip0039")} <= named
    assert found.near.clips[0, 1] >= 2
    assert found.pictured is None and not len(found.splits[0].frames)


def test_where_the_means_would_take_too_much_memory_some_are_compared(
    splits: Callable[[Schema], list[Split]],
    video_schema: Schema,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survey, "_MOST_BYTES", 10 * 4 * 17)
    found = take_survey(splits(video_schema))
    assert len(found.compared) == 10
    assert found.compared[0] == 0 and found.compared[-1] == 51
    assert (np.diff(found.compared) > 1).all()


def test_a_display_sees_every_clip_pass(
    splits: Callable[[Schema], list[Split]], video_schema: Schema
) -> None:
    passed = []

    def shown(clips: Iterable[Clip], count: int) -> Iterator[Clip]:
        for step, clip in enumerate(clips, 1):
            yield clip
            passed.append((step, count))

    take_survey(splits(video_schema), shown)
    assert passed[-1] == (52, 52) and len(passed) == 52
