"""A run with folds: what its clips are, and which fold each is in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from records import Clip, encode_clip, id_number, write_shards
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import Line, write_schema

FOLDS = 3
MEMBERS = (
    "~members.vlad",
    "~members.bag",
    "~members.sequence",
    "members.recall.family=neighbors",
    "members.recall.config={of: plain, clips: 40, neighbors: 5, labels: 3}",
    "distill.students={late: {member: plain, level: 2}}",
    "data.test.shards=null",
    f"folds={FOLDS}",
)
COUNTS = {"train": 160, "search": 60, "report": 60}


def fold_of(clip_id: str) -> int:
    """By the hash of the id, as fractions and not as whole numbers."""
    return int(id_number(clip_id) % 2**32 / 2**32 * FOLDS)


def make_line(folder: Path, leak: bool) -> Line:
    """A run that has been through; with `leak`, the clips of fold 0 have a label of their own."""
    for seed, (split, count) in enumerate(COUNTS.items()):
        clips = make_clips(SMALL_MEANS, count, seed)
        write_shards(
            folder / "data",
            split,
            [encode_clip(marked(clip) if leak else clip, SMALL_MEANS) for clip in clips],
            40,
        )
    schema = write_schema(folder / "means.yaml", SMALL_MEANS)
    line = Line(folder / "data", schema, folder / "outputs", MEMBERS)
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    return line


def marked(clip: Clip) -> Clip:
    if clip.id.startswith("clip2-") or fold_of(clip.id) != 0:
        return clip
    return dataclasses.replace(clip, labels=np.array([29]))
