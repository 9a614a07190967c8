"""The second limit: what a clip takes on the machine that packs, beside the bytes of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NANOSECONDS = 10**6  # a millisecond


@dataclass(frozen=True)
class Latency:
    """What a clip may take, and what it takes in each member.

    Whole nanoseconds: their sum is exact, in whatever order they are added.

    Attributes:
        limit: Nanoseconds of a clip in all members of a file.
        nanoseconds: By member, those of a clip. A member that stands on a host has its own part
            alone: the host is in the file, is computed once, and counts for itself.
    """

    limit: int = 0
    nanoseconds: Mapping[str, int] = field(default_factory=dict)

    @property
    def milliseconds(self) -> float:
        """The limit, as it was given."""
        return self.limit / NANOSECONDS


# Where nothing was measured everything takes no time, and that fits.
UNLIMITED = Latency()
