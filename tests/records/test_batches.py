from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from records import (
    Batch,
    Clip,
    DataError,
    FrameSampling,
    Schema,
    Split,
    SplitSpec,
    Stream,
    encode_clip,
    iterate_batches,
    open_split,
)
from records.schema import dequantize
from records.tfrecord.framing import write_shard
from tests.conftest import dense_labels

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]
OpenAll = Callable[[Schema, int], Split]


@pytest.fixture
def open_all(tmp_path: Path, make_shards: MakeShards) -> OpenAll:
    """A function (schema, clips) to the split of that many generated clips, ten a shard."""

    def make(schema: Schema, clips: int) -> Split:
        make_shards(schema, clips)
        return open_split(tmp_path / "data", "train", SplitSpec("*"), schema, cache=None)

    return make


def assert_equal_batches(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.ids == b.ids
        assert torch.equal(a.labels, b.labels)
        assert (a.mask is None) == (b.mask is None)
        assert a.mask is None or torch.equal(a.mask, b.mask)  # type: ignore[arg-type]
        assert a.features.keys() == b.features.keys()
        assert all(torch.equal(x, b.features[name]) for name, x in a.features.items())


def test_frames_labels_and_padding(
    open_all: OpenAll, frame_schema: Schema, make_clip: MakeClip
) -> None:
    split = open_all(frame_schema, 23)
    batches = list(iterate_batches(split, 8))
    assert [len(batch) for batch in batches] == [8, 8, 7]
    number = 0
    for batch in batches:
        assert batch.mask is not None
        dense = dense_labels(batch)
        for row, clip_id in enumerate(batch.ids):
            clip = make_clip(frame_schema, number)
            assert clip_id == clip.id
            for name, frames in clip.features.items():
                stored = batch.features[name][row]
                assert stored.dtype == torch.uint8
                np.testing.assert_array_equal(stored[: len(frames)], frames)
                assert not stored[len(frames) :].any()
                assert batch.mask[row].sum() == len(frames)
                assert batch.mask[row, : len(frames)].all()
            assert dense[row].nonzero().flatten().tolist() == clip.labels.tolist()
            number += 1
        assert dense.dtype == torch.float32
        assert dense.sum() == len(batch.labels)


def test_vectors(open_all: OpenAll, video_schema: Schema, make_clip: MakeClip) -> None:
    (batch,) = iterate_batches(open_all(video_schema, 5), 8)
    assert batch.mask is None
    for row in range(5):
        for name, vector in make_clip(video_schema, row).features.items():
            np.testing.assert_array_equal(batch.features[name][row], vector)
    assert batch.to("cpu").features["mean_rgb"].equal(batch.features["mean_rgb"])


def test_moving_dequantizes_and_keeps_padding_at_zero(
    open_all: OpenAll, frame_schema: Schema
) -> None:
    (batch,) = iterate_batches(open_all(frame_schema, 9), 9)
    moved = batch.to("cpu")
    assert batch.mask is not None and moved.mask is not None
    for name, raw in batch.features.items():
        floats = moved.features[name]
        assert raw.dtype == torch.uint8 and floats.dtype == torch.float32
        expected = dequantize(raw) * batch.mask[..., None]
        assert torch.equal(floats, expected)
        assert torch.equal(moved.to("cpu").features[name], floats)


def test_float_frames_and_clips_without_frames(tmp_path: Path, make_clip: MakeClip) -> None:
    streams = (Stream("pitch", 4, "float32"), Stream("code", 3))
    schema = Schema("mixed", "frame", streams, num_labels=9)
    clips = [make_clip(schema, number, frames) for number, frames in enumerate([2, 0, 5])]
    write_shard(tmp_path / "x.tfrecord", [encode_clip(clip, schema) for clip in clips])
    split = open_split(tmp_path, "x", SplitSpec("*.tfrecord"), schema, cache=None)
    for sampling in (FrameSampling(), FrameSampling(first=4), FrameSampling(draw=6)):
        (batch,) = iterate_batches(split, 3, sampling=sampling)
        assert batch.mask is not None
        assert batch.mask.any(1).tolist() == [True, False, True]
        batch = batch.to("cpu")
        for stream in streams:
            assert not batch.features[stream.name][1].any()
            assert batch.features[stream.name].isfinite().all()
    empty = split.select(np.array([1]))
    (batch,) = iterate_batches(empty, 3)
    assert batch.features["pitch"].shape == (1, 1, 4)
    assert batch.mask is not None and not batch.mask.any()


# --- sampling


def test_first_frames(open_all: OpenAll, frame_schema: Schema) -> None:
    split = open_all(frame_schema, 12)
    (whole,) = iterate_batches(split, 12)
    (first,) = iterate_batches(split, 12, sampling=FrameSampling(first=3))
    assert whole.mask is not None and first.mask is not None
    assert torch.equal(first.mask, whole.mask[:, :3])
    for name, frames in whole.features.items():
        assert torch.equal(first.features[name], frames[:, :3])


def numbered_clips(folder: Path, lengths: list[int]) -> Split:
    """Clips in which both streams' frames hold the number of the frame."""
    schema = Schema("numbered", "frame", (Stream("a", 2), Stream("b", 3)), num_labels=2)
    records = []
    for clip, length in enumerate(lengths):
        numbers = np.arange(length, dtype=np.uint8)[:, None]
        features = {stream.name: numbers.repeat(stream.size, 1) for stream in schema.streams}
        records.append(encode_clip(Clip(f"{clip}", np.array([0]), features), schema))
    write_shard(folder / "x.tfrecord", records)
    return open_split(folder, "x", SplitSpec("*.tfrecord"), schema, cache=None)


def test_drawn_frames(tmp_path: Path) -> None:
    split = numbered_clips(tmp_path, [5, 40, 1])
    (batch,) = iterate_batches(split, 3, sampling=FrameSampling(draw=4000))
    assert batch.features["a"].shape == (3, 4000, 2)
    assert batch.mask is not None and batch.mask.all()
    drawn = batch.features["a"][:, :, 0]
    assert torch.equal(drawn, batch.features["b"][:, :, 2])  # the same frames in every stream
    for row, length in enumerate([5, 40, 1]):
        counts = torch.bincount(drawn[row].long())
        assert len(counts) == length
        assert (counts - 4000 / length).abs().max() < 6 * (4000 / length) ** 0.5
    (batch,) = iterate_batches(split, 3, sampling=FrameSampling(draw=500, first=3))
    assert batch.features["a"].amax((1, 2)).tolist() == [2, 2, 0]


def test_shuffled_frames(tmp_path: Path) -> None:
    split = numbered_clips(tmp_path, [50, 9])
    (batch,) = iterate_batches(split, 2, sampling=FrameSampling(shuffle=True, first=30))
    order = batch.features["a"][0, :, 0]
    assert torch.equal(order, batch.features["b"][0, :, 0])
    assert sorted(order.tolist()) == list(range(30))
    assert order.tolist() != list(range(30))
    assert sorted(batch.features["a"][1, :9, 0].tolist()) == list(range(9))


@pytest.mark.parametrize("sampling", [{"draw": 0}, {"first": 0}, {"draw": -1}])
def test_wrong_sampling(sampling: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"frame sampling: (draw|first) is"):
        FrameSampling(**sampling)


# --- order

SHUFFLED: dict[str, Any] = {
    "sampling": FrameSampling(draw=3),
    "shuffle_seed": 5,
    "epoch": 2,
    "shuffle_group_shards": 2,
}


def test_each_clip_once_in_another_order_each_epoch(
    open_all: OpenAll, frame_schema: Schema
) -> None:
    split = open_all(frame_schema, 57)
    orders = []
    for epoch in range(2):
        batches = iterate_batches(split, 10, **(SHUFFLED | {"epoch": epoch}))
        orders.append([clip_id for batch in batches for clip_id in batch.ids])
        assert sorted(orders[-1]) == [f"clip{i:04d}" for i in range(57)]
    assert orders[0] != orders[1]


def test_same_seed_same_batches(open_all: OpenAll, frame_schema: Schema) -> None:
    split = open_all(frame_schema, 57)
    first = list(iterate_batches(split, 10, **SHUFFLED))
    assert_equal_batches(first, list(iterate_batches(split, 10, **SHUFFLED)))
    other = list(iterate_batches(split, 10, **(SHUFFLED | {"shuffle_seed": 6})))
    assert [batch.ids for batch in first] != [batch.ids for batch in other]


@pytest.mark.parametrize("start", [0, 1, 4, 5, 6])
def test_resuming_gives_the_tail(open_all: OpenAll, frame_schema: Schema, start: int) -> None:
    split = open_all(frame_schema, 57)
    whole = list(iterate_batches(split, 10, **SHUFFLED))
    tail = list(iterate_batches(split, 10, start_batch=start, **SHUFFLED))
    assert_equal_batches(tail, whole[start:])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(
    open_all: OpenAll, frame_schema: Schema, video_schema: Schema, workers: int
) -> None:
    for schema in (frame_schema, video_schema):
        split = open_all(schema, 57)
        state = torch.get_rng_state()
        alone = list(iterate_batches(split, 10, start_batch=1, **SHUFFLED))
        helped = list(iterate_batches(split, 10, start_batch=1, workers=workers, **SHUFFLED))
        assert_equal_batches(helped, alone)
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("drop_last", "expected"), [(False, 6), (True, 5)])
def test_number_of_batches(
    open_all: OpenAll, frame_schema: Schema, drop_last: bool, expected: int
) -> None:
    split = open_all(frame_schema, 57)
    batches = list(iterate_batches(split, 10, drop_last=drop_last))
    assert len(batches) == expected
    assert len(list(iterate_batches(split, 57, drop_last=drop_last))) == 1


# --- damage


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_ends_the_epoch_with_one_line(
    open_all: OpenAll, frame_schema: Schema, workers: int
) -> None:
    split = open_all(frame_schema, 30)
    path, offset = split.shards[1], int(split.position[14])
    content = bytearray(path.read_bytes())
    content[offset + 50] ^= 1
    path.write_bytes(content)
    seen = []
    with pytest.raises(DataError) as error:
        for batch in iterate_batches(split, 10, workers=workers):
            seen.append(batch.ids)
    assert len(seen) == 1
    assert str(error.value) == (
        f"{path}, byte {offset}: the checksum of a record's data is wrong; fetch the shard again"
    )


# --- memory


def peak_bytes(split: Split) -> int:
    """The most memory that an epoch holds at a time, beside what the split has."""
    tracemalloc.start()
    for batch in iterate_batches(split, 10, shuffle_seed=1, shuffle_group_shards=2):
        del batch
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_shards(tmp_path: Path, make_clip: MakeClip) -> None:
    schema = Schema("wide", "frame", (Stream("rgb", 2000),), num_labels=9)
    record = encode_clip(make_clip(schema, 1, frames=20), schema)
    peaks = []
    for shards in (4, 40):
        folder = tmp_path / str(shards)
        for number in range(shards):
            write_shard(folder / f"{number}.tfrecord", [record] * 10)
        spec = SplitSpec("*.tfrecord")
        split = open_split(folder, "train", spec, schema, cache=tmp_path / "cache")
        peaks.append(peak_bytes(split))
    assert peaks[1] < peaks[0] + 100_000  # what 36 more shards hold is 14 MB


def test_a_batch_followed_by_another_has_the_labels_of_the_first(
    open_all: OpenAll, frame_schema: Schema
) -> None:
    one, other = list(iterate_batches(open_all(frame_schema, 7), 3))[:2]
    joined = one.followed_by(other)
    assert joined.ids == one.ids + other.ids and torch.equal(joined.labels, one.labels)
    assert one.mask is not None and other.mask is not None and joined.mask is not None
    for batch, rows in ((one, slice(3)), (other, slice(3, None))):
        assert batch.mask is not None
        frames = batch.mask.shape[1]
        assert torch.equal(joined.mask[rows, :frames], batch.mask)
        assert not joined.mask[rows, frames:].any()
        for name, values in batch.features.items():
            assert torch.equal(joined.features[name][rows, :frames], values)
            assert not joined.features[name][rows, frames:].any()


@pytest.mark.parametrize(
    "sampling", [FrameSampling(draw=5), FrameSampling(shuffle=True), FrameSampling(first=3), None]
)
@pytest.mark.parametrize("workers", [0, 1])
def test_parts_of_a_batch_are_as_they_are_in_the_whole(
    open_all: OpenAll, frame_schema: Schema, sampling: FrameSampling | None, workers: int
) -> None:
    split = open_all(frame_schema, 23)

    def read(part: slice | None) -> list[Batch]:
        settings: dict[str, Any] = {"sampling": sampling, "shuffle_seed": 7, "part": part}
        return list(iterate_batches(split, 8, **settings, drop_last=True, workers=workers))

    parts = zip(read(slice(3)), read(slice(3, 7)), read(slice(7, 8)), read(None), strict=True)
    for *pieces, whole in parts:
        start = 0
        for piece in pieces:
            cut = whole.part(start, start + len(piece))
            assert piece.mask is not None and cut.mask is not None
            # The longest clip of the batch may be in another part.
            length = piece.mask.shape[1]
            assert not cut.mask[:, length:].any()
            features = {name: values[:, :length] for name, values in cut.features.items()}
            shortened = dataclasses.replace(cut, features=features, mask=cut.mask[:, :length])
            assert_equal_batches([piece], [shortened])
            start += len(piece)
        assert start == len(whole) == 8
