"""The segments of YouTube-8M 2019: parts of a video, of which raters judged some labels.

The context of a record has four lists of one length: `segment_start_times` and `segment_end_times`,
in frames, and for each `segment_labels` and `segment_scores`, 1 where the label was found right and
0 where it was found wrong. A segment may come several times, with other labels. Where ratings are
kept back, to be predicted, a record has the first two lists alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.problems import quoted
from records.clip import Clip
from records.errors import DataError
from records.schema import Schema

STARTS, ENDS, LABELS, SCORES = KEYS = (
    "segment_start_times",
    "segment_end_times",
    "segment_labels",
    "segment_scores",
)


@dataclass
class Segment:
    """Frames `start` to `end` of a video, and the labels that raters found right or wrong there."""

    start: int
    end: int
    right: set[int] = field(default_factory=set)
    wrong: set[int] = field(default_factory=set)


def segments_of(context: Mapping[str, Any]) -> list[Segment]:
    """The segments of a record, by their starts; none where it names none.

    Raises:
        DataError: The lists are not of one length, a segment has no or two ends, or a score is
            neither 0 nor 1.
    """
    starts, ends, labels = (
        list(context[key].int64_list.value) if key in context else []
        for key in (STARTS, ENDS, LABELS)
    )
    scores = list(context[SCORES].float_list.value) if SCORES in context else []
    counts = dict(zip(KEYS, map(len, (starts, ends, labels, scores)), strict=True))
    rated = bool(labels or scores)
    if len({counts[key] for key in (KEYS if rated else (STARTS, ENDS))}) > 1:
        raise DataError(f"the lists of segments have different lengths: {quoted(counts)}; mend it")
    found: dict[int, Segment] = {}
    for start, end in zip(starts, ends, strict=True):
        segment = found.setdefault(start, Segment(start, end))
        if not 0 <= start < end or segment.end != end:
            raise DataError(f"the segment at {start} ends at {segment.end} or {end}; mend it")
    # Of segments that nobody rated, these are empty.
    for start, label, score in zip(starts, labels, scores, strict=rated):
        if score not in (0, 1):
            raise DataError(f"the segment at {start} has the score {score}; it must be 0 or 1")
        (found[start].right if score else found[start].wrong).add(label)
    return [found[start] for start in sorted(found)]


def segment_clip(video: Clip, segment: Segment, schema: Schema, with_features: bool) -> Clip:
    """A segment as a clip of its own, `<video>:<start>`.

    Labels that nobody rated there are unknown, and so are those that raters did not agree on.

    Args:
        video: The whole record, without labels.
        segment: One of its segments.
        schema: Of the segments.
        with_features: Whether the video has its features.

    Raises:
        DataError: A label is out of range, or the segment begins behind the last frame.
    """
    rated = segment.right | segment.wrong
    if rated and not 0 <= min(rated) <= max(rated) < schema.num_labels:
        wrong = min(rated) if min(rated) < 0 else max(rated)
        raise DataError(
            f"clip {quoted(video.id)}: label {wrong} of the segment at {segment.start} is out of "
            f"range; schema {quoted(schema.name)} has num_labels {schema.num_labels}"
        )
    features = {}
    for name, frames in video.features.items() if with_features else ():
        if segment.start >= len(frames):
            raise DataError(
                f"clip {quoted(video.id)}: the segment at {segment.start} begins behind the last "
                f"of {len(frames)} frames; mend it"
            )
        features[name] = frames[segment.start : segment.end]
    labels, unknown = np.zeros(0, np.int64), None
    if schema.has_unknown_labels:
        labels = np.array(sorted(segment.right - segment.wrong), np.int64)
        unknown = np.ones(schema.num_labels, np.bool_)
        unknown[list(segment.right ^ segment.wrong)] = False
    return Clip(f"{video.id}:{segment.start}", labels, features, 0, unknown)
