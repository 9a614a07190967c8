"""The job of a part: some clips of a split, run through a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from common.registry import Extension
from ensemble.blend import Blend
from records.splits import DataSource
from runs import ResourceConfig
from stages.job import Job, Needs, Upstream
from stages.jobs import module_of
from training.config import Precision

# What is made of the log-odds: rows of a submission, or what scores are computed from.
Made = Literal["kaggle", "top10", "scores"]


@dataclass(frozen=True)
class BundlePart(Job):
    """Some clips of a split, run through a bundle in the batches of the whole split.

    Attributes:
        bundle: the file.
        digest: its sha256.
        families: of its members.
        data: the shards, read by the bundle's schema.
        split: its name.
        fingerprint: of the whole split.
        start: number of the first clip, in the order of the split; a multiple of `BATCH_CLIPS`.
        end: number after that of the last clip.
        made: what is made of it.
        device: "auto", "cpu" or "cuda".
        threads: how many batches are computed at once, each by one thread.
        precision: that the bundle computes in; "auto" on each machine its own.
        extensions: the user's own files.
        resources: what it takes of a machine.
        blend: where external models are mixed in, the weights.
        external: the tasks that have what these say of the whole split, by name.
    """

    work = ("stages.worker", "stages.parts.work", "stages.parts.rows", "stages.packing.scored")
    bundle: Path
    digest: str
    families: tuple[str, ...]
    data: DataSource
    split: str
    fingerprint: str
    start: int
    end: int
    made: Made
    device: str
    threads: int
    precision: Precision = "float32"
    extensions: tuple[Extension, ...] = ()
    resources: ResourceConfig = field(default_factory=ResourceConfig)
    blend: Blend | None = None
    external: Mapping[str, Upstream] = field(default_factory=dict)

    def part(self, number: int, start: int, end: int) -> BundlePart:
        """Of what this says of a whole split, the clips from one number to another."""
        return replace(self, task=f"{self.task}/{number:04}", start=start, end=end)

    @property
    def needs(self) -> Needs:
        return Needs(self.device, self.extensions, self.resources)

    def thread_count(self) -> int:
        return self.threads

    def inputs(self) -> dict[str, Any]:
        return {
            "bundle": self.digest,
            "data": self.fingerprint,
            "clips": [self.start, self.end],
            "made": self.made,
            "device": self.device,
            **({} if self.precision == "float32" else {"precision": self.precision}),
            "extensions": sorted(extension.digest for extension in self.extensions),
            "mix": self.blend and self.blend.mix,
            "weights": self.blend and list(self.blend.weights.items()),
            "external": [(name, own.digest) for name, own in self.external.items()],
        }

    @property
    def modules(self) -> tuple[str, ...]:
        return (*self.work, *map(module_of, self.families))
