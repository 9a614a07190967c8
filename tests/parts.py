"""What the tests of parts share: a bundle, more clips than a part has, a part that is held."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from records import encode_clip, write_shards
from tests.cluster import number_in
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import Outcome, call

CLIPS = 600
# Rounded up to a batch of 256: three parts, none of which ends where a shard does.
IN_PARTS = "parts.clips=1"
_HELD = Path(__file__).parent / "stages" / "held.py"
# What has shards be read that can be held.
AS_HELD = (f"extensions=[{_HELD}]", "data.format=held")


@dataclass(frozen=True)
class Clips:
    """A bundle that is run over clips in seven shards.

    Attributes:
        bundle: the bundle's file.
        root: the folder of the shards.
    """

    bundle: Path
    root: Path

    @classmethod
    def write(cls, bundle: Path, root: Path) -> Clips:
        records = [encode_clip(clip, SMALL_MEANS) for clip in make_clips(SMALL_MEANS, CLIPS, 7)]
        write_shards(root, "test", records, 90)
        return cls(bundle, root)

    def overrides(self, stage: str, outputs: Path, *more: str) -> list[str]:
        """Without an experiment."""
        split = "test" if stage == "predict" else "report"
        return [
            *(f"stage={stage}", f"bundle={self.bundle}", f"outputs={outputs}"),
            *(f"data.root={self.root}", f"data.{split}.shards=test-*.tfrecord", *more),
        ]

    def call(self, stage: str, outputs: Path, *more: str) -> Outcome:
        return call(*self.overrides(stage, outputs, *more))

    @property
    def of_second(self) -> Path:
        """A shard in the middle of the second part."""
        (shard,) = self.root.glob("test-00004*")
        return shard


@contextmanager
def held_at(shard: Path, then: Callable[[int], object]) -> Iterator[None]:
    """Meanwhile who reads a shard waits there, where shards are read `AS_HELD`.

    Args:
        shard: the file.
        then: what befalls whoever waits; is given the number of its process.
    """
    hold, held = (shard.with_name(shard.name + end) for end in (".hold", ".held"))
    hold.touch()

    def befall() -> None:
        try:
            then(number_in(held))
        finally:
            hold.unlink()

    thread = threading.Thread(target=befall, daemon=True)
    thread.start()
    yield
    thread.join()


def kill(number: int) -> None:
    """By SIGKILL."""
    os.kill(number, signal.SIGKILL)


def submission(outputs: Path) -> bytes:
    """That of the split `test` of a run without a name."""
    return (outputs / "default" / "submission-test.csv").read_bytes()
