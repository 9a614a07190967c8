"""Which shards a run reads, and which records each split takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from common.codec import Positive, Text
from common.errors import ConfigError


@dataclass(frozen=True)
class SplitConfig:
    """Which records a split takes: shards by glob below `data.root`, then ids by hash.

    An id's hash is uniform in [0, 1); the split keeps those in [hash_from, hash_to). Without
    `shards` the data set has no such split.
    """

    shards: Text | None = None
    hash_from: Annotated[float, Ge(0)] = 0.0
    hash_to: Annotated[float, Le(1)] = 1.0

    def __post_init__(self) -> None:
        if not self.hash_from < self.hash_to:
            raise ConfigError(
                f"hash_from {self.hash_from} and hash_to {self.hash_to} must be in this order"
            )


@dataclass(frozen=True)
class DemoConfig:
    """Size of the generated demonstration data (`stage=synthesize`)."""

    train_clips: Positive = 3000
    search_clips: Positive = 1000
    report_clips: Positive = 1000
    test_clips: Positive = 1000
    min_frames: Positive = 20
    max_frames: Positive = 120


@dataclass(frozen=True)
class DataConfig:
    """Where the shards lie, what is in them, and who may see which.

    With `generated`, `stage=synthesize` writes them there, `demo` saying how many.
    """

    root: Text | None = None
    schema: Text | None = None
    vocabulary: Text | None = None
    train: SplitConfig = field(default_factory=SplitConfig)
    search: SplitConfig = field(default_factory=SplitConfig)
    report: SplitConfig = field(default_factory=SplitConfig)
    test: SplitConfig = field(default_factory=SplitConfig)
    on_corrupt: Literal["error", "skip"] = "error"
    workers: Annotated[int, Ge(0)] = 0
    generated: bool = False
    demo: DemoConfig = field(default_factory=DemoConfig)
