"""Batches of a split, in an order that depends on the seed and the epoch only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common.errors import UserError
from records.clip import Clip
from records.errors import DataError
from records.formats import ClipReader
from records.order import FRAMES, GROUP_SHARDS, EpochOrder
from records.schema import Schema, dequantize
from records.splits import Split


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of a clip a batch holds; means nothing at video level.

    Attributes:
        draw: This many, drawn uniformly with replacement; None for each frame once.
        first: Only from the first this many frames; None for all.
        shuffle: In random order.
    """

    draw: int | None = None
    first: int | None = None
    shuffle: bool = False

    def __post_init__(self) -> None:
        for name in ("draw", "first"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise DataError(f"frame sampling: {name} is {count}; it must be >= 1 or null")

    @property
    def is_random(self) -> bool:
        """Whether it draws random numbers, how many of them depending on the clip."""
        return self.draw is not None or self.shuffle

    def choose(self, frames: int, generator: np.random.Generator) -> NDArray[np.int64] | slice:
        """Row numbers of the frames to take out of `frames`, or how many from the start."""
        available = frames if self.first is None else min(frames, self.first)
        if self.draw is not None and available:
            return generator.integers(0, available, self.draw)
        if self.shuffle:
            return generator.permutation(available)
        return slice(available)


@dataclass(frozen=True, eq=False)
class Batch:
    """B clips.

    Attributes:
        ids: B strings.
        features: By stream: (B, T, D) at frame level, (B, D) at video level. As read: uint8 or
            float32; after `to`: float32.
        mask: (B, T) bool, True where there is a frame; None at video level.
        labels: (n, 2) int64, rows of (clip in the batch, label).
        num_labels: Labels are in ``[0, num_labels)``.
        quantized_min, quantized_max: The range of uint8 features.
        unknown: (B, num_labels) bool, True for the labels of which nobody knows whether the clip
            has them: neither true nor false. None where the schema has no such labels.
    """

    ids: list[str]
    features: dict[str, Tensor]
    mask: Tensor | None
    labels: Tensor
    num_labels: int
    quantized_min: float
    quantized_max: float
    unknown: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def followed_by(self, other: Batch) -> Batch:
        """The clips of this batch and behind them those of another, without labels."""
        features = {
            name: torch.cat(_as_long(values, other.features[name]))
            for name, values in self.features.items()
        }
        mask = self.mask
        if mask is not None and other.mask is not None:
            mask = torch.cat(_as_long(mask[..., None], other.mask[..., None]))[..., 0]
        unknown = self.unknown
        if unknown is not None:
            unknown = F.pad(unknown, (0, 0, 0, len(other)))
        ids = self.ids + other.ids
        return dataclasses.replace(self, ids=ids, features=features, mask=mask, unknown=unknown)

    def without_labels(self) -> Batch:
        """The same clips, as if nobody knew their labels."""
        return dataclasses.replace(self, labels=self.labels[:0])

    def part(self, start: int, end: int) -> Batch:
        """The clips from one number to another."""
        rows = self.labels[:, 0]
        labels = self.labels[(rows >= start) & (rows < end)]
        return dataclasses.replace(
            self,
            ids=self.ids[start:end],
            features={name: values[start:end] for name, values in self.features.items()},
            mask=None if self.mask is None else self.mask[start:end],
            labels=labels - torch.tensor([start, 0]),
            unknown=None if self.unknown is None else self.unknown[start:end],
        )

    def to(self, device: torch.device | str) -> Batch:
        """The batch on `device`, features as dequantized float32, padding exactly 0."""
        device = torch.device(device)
        mask = None if self.mask is None else _move(self.mask, device)
        features = {}
        for name, values in self.features.items():
            moved = _move(values, device)
            if moved.dtype == torch.uint8:
                moved = dequantize(moved, self.quantized_min, self.quantized_max, mask)
            features[name] = moved
        labels = _move(self.labels, device)
        unknown = None if self.unknown is None else _move(self.unknown, device)
        return dataclasses.replace(
            self, features=features, mask=mask, labels=labels, unknown=unknown
        )


def _as_long(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two clips' frames (B, T, D), the fewer padded with zeros; means (B, D) as they are."""
    if first.ndim == 2:
        return first, second
    longest = max(first.shape[1], second.shape[1])
    padded = (F.pad(x, (0, 0, 0, longest - x.shape[1])) for x in (first, second))
    return next(padded), next(padded)


def _move(x: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def iterate_batches(
    split: Split,
    batch_size: int,
    *,
    sampling: FrameSampling | None = None,
    shuffle_seed: int | None = None,
    epoch: int = 0,
    start_batch: int = 0,
    part: slice | None = None,
    workers: int = 0,
    shuffle_group_shards: int = GROUP_SHARDS,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """One epoch of a split.

    Batch i depends on the seed, the epoch and i only: neither on the number of workers nor on the
    batches before it. So an epoch can be taken up again at any batch, at once.

    Args:
        split: The records.
        batch_size: Clips a batch; the last one may have fewer.
        sampling: Which frames; None for every frame in order.
        shuffle_seed: None for the split's own order. Otherwise shards are shuffled, taken in groups
            of `shuffle_group_shards`, and records shuffled within a group.
        epoch: Another order and other frames for each.
        start_batch: Number of the first batch.
        part: Of each batch these clips alone, as they are in the whole; None for all. Where frames
            are drawn at random, the clips before them are read too, for their numbers of frames.
        workers: Processes that read ahead; 0 reads in this one. Each holds two batches in shared
            memory.
        drop_last: Leave out a last batch that is not full.

    Raises:
        DataError: A record is damaged or does not fit the schema; names shard and place.
    """
    order = EpochOrder(split.shard, shuffle_seed, epoch, shuffle_group_shards)
    full, rest = divmod(len(split), batch_size)
    numbers = range(start_batch, full + bool(rest and not drop_last))
    with split.reader() as reader:
        sampling = sampling or FrameSampling()
        batches = _Batches(split, reader, batch_size, sampling, order, part or slice(None))
        if workers == 0:
            yield from map(batches.read, numbers)
            return
        # Without a generator the global one is drawn from, and training differs.
        loader = DataLoader(
            batches,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch


@dataclass(eq=False)
class _Batches(Dataset[Batch | UserError]):
    """The batches of an epoch by number."""

    split: Split
    reader: ClipReader
    batch_size: int
    sampling: FrameSampling
    order: EpochOrder
    part: slice
    _expected: bool = False

    def __getitem__(self, number: int) -> Batch | UserError:
        # An exception that leaves a worker process comes out wrapped in a traceback.
        try:
            return self.read(number)
        except UserError as error:
            return error

    def read(self, number: int) -> Batch:
        """Batch `number`."""
        start = number * self.batch_size
        if not self._expected:
            self.reader.expect(self.order.shards_from(start))
            self._expected = True
        rows = self.order.rows(start, min(start + self.batch_size, len(self.split)))
        generator = self.order.generator(FRAMES, number)
        start, end, _ = self.part.indices(len(rows))
        if self.sampling.is_random and self.split.schema.level == "frame":
            stream = self.split.schema.streams[0].name
            for clip in self._clips(rows[:start]):
                self.sampling.choose(len(clip.features[stream]), generator)
        clips = list(self._clips(rows[start:end]))
        return _collate(clips, self.split.schema, self.sampling, generator)

    def _clips(self, rows: NDArray[np.int64]) -> Iterator[Clip]:
        return (self.reader.clip(*place) for place in self.split.places(rows))


def collate(clips: list[Clip], schema: Schema) -> Batch:
    """A batch of at least one clip, with every frame.

    Args:
        clips: As in `check_clip`; where the schema has bytes there may be floats, dequantized.
        schema: Theirs.
    """
    return _collate(clips, schema, FrameSampling(), np.random.default_rng(0))


def _collate(
    clips: list[Clip], schema: Schema, sampling: FrameSampling, generator: np.random.Generator
) -> Batch:
    rows = np.repeat(np.arange(len(clips)), [len(clip.labels) for clip in clips])
    labels = np.concatenate([clip.labels for clip in clips])
    unknown = [clip.unknown for clip in clips if clip.unknown is not None]
    # Clips that no record was read of have none.
    masks = np.stack(unknown) if unknown else None
    if schema.level == "video":
        mask = None
        features = {
            stream.name: torch.from_numpy(np.stack([clip.features[stream.name] for clip in clips]))
            for stream in schema.streams
        }
    else:
        mask, features = _collate_frames(clips, schema, sampling, generator)
    return Batch(
        ids=[clip.id for clip in clips],
        features=features,
        mask=mask,
        labels=torch.from_numpy(np.stack([rows, labels], axis=1)),
        num_labels=schema.num_labels,
        quantized_min=schema.quantized_min,
        quantized_max=schema.quantized_max,
        unknown=None if masks is None else torch.from_numpy(masks),
    )


def _collate_frames(
    clips: list[Clip], schema: Schema, sampling: FrameSampling, generator: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mask (B, T) and by stream frames (B, T, D), zero where a clip has none."""
    first = schema.streams[0].name
    chosen = [sampling.choose(len(clip.features[first]), generator) for clip in clips]
    counts = np.array([rows.stop if isinstance(rows, slice) else len(rows) for rows in chosen])
    longest = max(1, int(counts.max()))
    features: dict[str, Tensor] = {}
    for stream in schema.streams:
        dtype = clips[0].features[stream.name].dtype
        frames = np.zeros((len(clips), longest, stream.size), dtype)
        for clip, rows, count, out in zip(clips, chosen, counts, frames, strict=True):
            out[:count] = clip.features[stream.name][rows]
        features[stream.name] = torch.from_numpy(frames)
    return torch.from_numpy(np.arange(longest) < counts[:, None]), features
