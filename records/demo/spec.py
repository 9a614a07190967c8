"""How much demonstration data there is, and how difficult."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from common.codec import Positive, Share
from records.errors import DataError

SPLITS = ("train", "search", "report", "test")


@dataclass(frozen=True)
class DemoSpec:
    """Size and difficulty of the demonstration data.

    Attributes:
        train_clips: clips of the training split.
        search_clips: of the split on which things are chosen.
        report_clips: of the split on which scores are reported.
        test_clips: of the split without labels.
        labels: V.
        min_frames: fewest frames a clip.
        max_frames: most frames a clip; short clips are the more frequent.
        rgb: size of the first stream.
        audio: size of the second stream.
        clips_per_shard: clips in each file but a split's last.
        missing_labels: share of the true labels that the training split lacks (a clip keeps one).
        false_labels: false labels that it has, a true label.
        seed: of everything.
    """

    train_clips: Positive = 3000
    search_clips: Positive = 1000
    report_clips: Positive = 1000
    test_clips: Positive = 1000
    labels: Positive = 400
    min_frames: Positive = 20
    max_frames: Positive = 120
    rgb: Positive = 1024
    audio: Positive = 128
    clips_per_shard: Positive = 250
    missing_labels: Share = 0.25
    false_labels: Share = 0.03
    seed: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        if self.max_frames < self.min_frames:
            raise DataError(
                f"max_frames {self.max_frames} is less than min_frames {self.min_frames}"
            )

    def clips(self, split: str) -> int:
        """The number of clips of a split."""
        return getattr(self, f"{split}_clips")
