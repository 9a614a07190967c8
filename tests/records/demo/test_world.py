"""The world behind the demonstration data: what its clips show and what their labels say."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from common.codec import replaced
from records import DataError, DemoSpec
from records.demo.labels import Kind, LabelSpace
from records.demo.world import DemoWorld
from records.schema import dequantize

SPEC = DemoSpec(
    train_clips=60,
    search_clips=20,
    report_clips=20,
    test_clips=10,
    labels=60,
    min_frames=6,
    max_frames=30,
    rgb=48,
    audio=16,
    clips_per_shard=16,
)


@pytest.fixture(scope="module")
def world() -> DemoWorld:
    return DemoWorld(SPEC)


def floats(frames: np.ndarray) -> np.ndarray:
    return dequantize(torch.from_numpy(frames)).numpy()


def test_clip_is_a_function_of_split_and_number(world: DemoWorld) -> None:
    again = DemoWorld(SPEC)
    for split, number in (("report", 3), ("train", 7), ("train", 0)):
        one, other = world.clip(split, number), again.clip(split, number)
        assert one.id == other.id
        np.testing.assert_array_equal(one.labels, other.labels)
        for stream in ("rgb", "audio"):
            np.testing.assert_array_equal(one.features[stream], other.features[stream])


def test_seed_and_number_change_the_clip(world: DemoWorld) -> None:
    other_seed = DemoWorld(dataclasses.replace(SPEC, seed=1))
    frames = [
        world.clip("train", 0).features["rgb"],
        world.clip("train", 1).features["rgb"],
        world.clip("search", 0).features["rgb"],
        other_seed.clip("train", 0).features["rgb"],
    ]
    assert len({x.tobytes() for x in frames}) == len(frames)


def test_shapes_types_and_lengths(world: DemoWorld) -> None:
    lengths = []
    for number in range(SPEC.train_clips):
        clip = world.clip("train", number)
        rgb, audio = clip.features["rgb"], clip.features["audio"]
        assert rgb.dtype == audio.dtype == np.uint8
        assert (rgb.shape[1], audio.shape) == (SPEC.rgb, (len(rgb), SPEC.audio))
        lengths.append(len(rgb))
    assert SPEC.min_frames <= min(lengths) < max(lengths) <= SPEC.max_frames


@pytest.mark.parametrize(("fewest", "most", "labels"), [(1, 1, 1), (1, 3, 2), (2, 2, 17)])
def test_smallest_worlds(fewest: int, most: int, labels: int) -> None:
    spec = dataclasses.replace(SPEC, min_frames=fewest, max_frames=most, labels=labels)
    world = DemoWorld(spec)
    for number in range(40):
        clip = world.clip("train", number)
        assert fewest <= len(clip.features["rgb"]) <= most
        assert 0 < len(clip.labels) <= labels
        assert clip.labels.max() < labels


def test_given_labels_are_those_of_the_clip(world: DemoWorld) -> None:
    for split in ("train", "search", "report"):
        for number in range(10):
            given = world.given_labels(split, number)
            np.testing.assert_array_equal(given, world.clip(split, number).labels)
            assert (np.diff(given) > 0).all()
            assert len(given) > 0


def test_test_split_has_no_labels(world: DemoWorld) -> None:
    assert len(world.clip("test", 0).labels) == 0


def test_only_training_labels_are_noisy() -> None:
    noisy = DemoWorld(SPEC)
    clean = DemoWorld(dataclasses.replace(SPEC, missing_labels=0.0, false_labels=0.0))
    true = given = false = 0
    for number in range(2000):
        labels = clean.given_labels("train", number)
        kept = noisy.given_labels("train", number)
        true += len(labels)
        given += len(np.intersect1d(labels, kept))
        false += len(np.setdiff1d(kept, labels))
        if number < 50:
            for split in ("search", "report"):
                np.testing.assert_array_equal(
                    noisy.given_labels(split, number), clean.given_labels(split, number)
                )
    # A clip keeps one label whatever the share, so less is missing than was asked for.
    assert 0.1 < 1 - given / true < SPEC.missing_labels
    assert 0.015 < false / true < 0.04


def test_frequencies_have_a_long_tail() -> None:
    world = DemoWorld(DemoSpec(rgb=2, audio=2))
    clips = [world.given_labels("report", number) for number in range(2000)]
    counts = np.bincount(np.concatenate(clips), minlength=400)
    assert 2.5 < counts.sum() / len(clips) < 3.5
    assert counts[:40].sum() > 0.4 * counts.sum()
    assert 0 < counts[200:].sum() < 0.3 * counts.sum()


def test_labels_of_a_vertical_come_together(world: DemoWorld) -> None:
    vertical = world.labels.verticals[:, 0]
    together, chance = 0, 0.0
    clips = [world.given_labels("report", number) for number in range(1500)]
    share = np.bincount(vertical[np.concatenate(clips)]) / sum(map(len, clips))
    for labels in clips:
        if len(labels) > 1:
            together += int(vertical[labels[0]] == vertical[labels[1]])
            chance += float((share**2).sum())
    assert together > 3 * chance


def test_partners_share_frequency_and_company() -> None:
    space = LabelSpace.draw(400, np.random.default_rng(0))
    ordered = np.flatnonzero(space.kinds == Kind.ORDER)
    assert len(ordered) > 50
    assert (space.partner[ordered] != ordered).all()
    np.testing.assert_array_equal(space.partner[space.partner], np.arange(400))
    np.testing.assert_array_equal(space.verticals[ordered], space.verticals[space.partner[ordered]])
    rng = np.random.default_rng(1)
    drawn = Counter(label for _ in range(4000) for label in space.sample(rng)[0].tolist())
    left = sum(drawn[a] for a in ordered if space.partner[a] > a)
    right = sum(drawn[a] for a in ordered if space.partner[a] < a)
    assert abs(left - right) < 0.15 * (left + right)


def test_partners_never_meet() -> None:
    space = LabelSpace.draw(40, np.random.default_rng(0))
    rng = np.random.default_rng(2)
    for _ in range(2000):
        labels, _ = space.sample(rng)
        others = space.partner[labels][space.partner[labels] != labels]
        assert not np.isin(others, labels).any()


def test_partners_differ_by_order_alone() -> None:
    world = DemoWorld(dataclasses.replace(SPEC, min_frames=200, max_frames=200))
    label = int(np.flatnonzero(world.labels.partner > np.arange(SPEC.labels))[0])
    partner = int(world.labels.partner[label])
    halves = []
    for one in (label, partner):
        clips = [
            floats(world._frames(np.array([one]), np.random.default_rng(seed)))
            for seed in range(300)
        ]
        halves.append(np.mean([[x[:60].mean(0), x[-60:].mean(0)] for x in clips], axis=0))
    ahead, reverse = halves
    within = np.linalg.norm(ahead[0] - ahead[1])
    assert np.linalg.norm(ahead[0] - reverse[1]) < 0.2 * within
    assert np.linalg.norm(ahead[1] - reverse[0]) < 0.2 * within


def test_flicker_has_variance_but_no_mean() -> None:
    world = DemoWorld(dataclasses.replace(SPEC, min_frames=100, max_frames=100))
    label = int(np.flatnonzero(world.labels.kinds == Kind.TEXTURE)[0])
    look = world._contents[label * 6]
    direction = look / np.linalg.norm(look)
    clips = [
        floats(world._frames(np.array([label]), np.random.default_rng(seed))) @ direction
        for seed in range(100)
    ]
    plain = [
        floats(world._frames(np.array([0]), np.random.default_rng(seed))) @ direction
        for seed in range(100)
    ]
    assert np.mean([x.var() for x in clips]) > 3 * np.mean([x.var() for x in plain])
    assert abs(np.mean(clips) - np.mean(plain)) < 0.2 * np.std(clips)


def test_values_stay_inside_the_quantized_range() -> None:
    world = DemoWorld(DemoSpec())
    frames = np.concatenate([world.clip("train", n).features["rgb"] for n in range(100)])
    assert ((frames == 0) | (frames == 255)).mean() < 0.02
    deviations = floats(frames).std(axis=0)
    # As after a principal component analysis, the first dimensions vary most.
    assert deviations[:16].mean() > 2 * deviations[-16:].mean()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"train_clips": 0}, "data.demo.train_clips: must be at least 1, not 0"),
        ({"labels": -1}, "data.demo.labels: must be at least 1, not -1"),
        (
            {"min_frames": 9, "max_frames": 8},
            "data.demo: max_frames 8 is less than min_frames 9",
        ),
        ({"missing_labels": 1.0}, "data.demo.missing_labels: must be below 1, not 1.0"),
        ({"seed": -1}, "data.demo.seed: must be at least 0, not -1"),
    ],
)
def test_impossible_specs_are_refused(change: dict[str, float], named: str) -> None:
    with pytest.raises(DataError, match=named):
        replaced(SPEC, change, "data.demo", DataError)
