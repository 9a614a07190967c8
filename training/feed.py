"""The batches of a training, from any step on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial, reduce
from itertools import count

from common.errors import ConfigError
from records import Batch, FrameSampling, Split, iterate_batches
from training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Beside:
    """Clips without labels that every batch has beside those of the training split.

    Attributes:
        split: their records.
        share: how much of a batch they are.
    """

    split: Split
    share: float

    def clips(self, batch_size: int) -> int:
        """How many of them there are in a batch.

        Raises:
            ConfigError: none, or none but them, or more than there are.
        """
        clips = round(self.share * batch_size)
        if not 0 < clips < batch_size or clips > len(self.split):
            raise ConfigError(
                f"distill.unlabeled.share: {self.share:g} of a batch of {batch_size} are {clips} "
                f"clips, and there are {len(self.split)}; give at least one of either kind, and no "
                "more than there are"
            )
        return clips


@dataclass(frozen=True)
class Feed:
    """Batches of a split, epoch after epoch, with clips of another beside them.

    Attributes:
        split: the training records.
        batch_size: clips a batch, of both.
        sampling: which frames.
        seed: of the order and the frames.
        workers: decoding processes.
        beside: the other clips, if there are any.
        ranks: that share every batch; each has the same number of clips of it.
    """

    split: Split
    batch_size: int
    sampling: FrameSampling
    seed: int
    workers: int = 0
    beside: Beside | None = None
    ranks: Ranks = ALONE

    @property
    def clips_beside(self) -> int:
        """How many clips of a batch are not of the split.

        Raises:
            ConfigError: as in `Beside.clips`.
        """
        return self.beside.clips(self.batch_size) if self.beside else 0

    def batches(self, step: int) -> Iterator[Batch]:
        """This rank's clips of the batches from a step on, without end."""
        own, share = self.batch_size - self.clips_beside, self.batch_size // self.ranks.count
        start = self.ranks.rank * share
        streams: list[Iterator[Batch]] = []
        if start < own:
            part = slice(start, min(start + share, own))
            streams.append(self._stream(self.split, own, step, part))
        if self.beside and start + share > own:
            part = slice(max(start - own, 0), start + share - own)
            others = self._stream(self.beside.split, self.clips_beside, step, part)
            streams.append(map(Batch.without_labels, others))
        return reduce(partial(map, Batch.followed_by), streams)

    def _stream(self, split: Split, clips: int, step: int, part: slice) -> Iterator[Batch]:
        """A part of the batches of so many clips of a split."""
        first, start = divmod(step, len(split) // clips)
        for epoch in count(first):
            yield from iterate_batches(
                split,
                clips,
                sampling=self.sampling,
                shuffle_seed=self.seed,
                epoch=epoch,
                start_batch=start if epoch == first else 0,
                workers=self.workers,
                drop_last=True,
                part=part,
            )
