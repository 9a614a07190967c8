"""Arrays in memory score as the batch of the same clips does; what does not fit is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import families
from quantize import Bundle, BundleError, BundleMember, quantize_state, write_bundle
from records import Batch, Schema, Stream

FRAMES = Schema("frames", "frame", (Stream("rgb", 8), Stream("audio", 4, "float32")), num_labels=6)
MEANS = Schema("means", "video", (Stream("rgb", 8), Stream("audio", 4, "float32")), num_labels=6)
LENGTHS = (6, 2, 0, 1)


def bundle_of(folder: Path, schema: Schema) -> Bundle:
    torch.manual_seed(0)
    module = families.build("perceptron", {"hidden": [16]}, schema)
    state = quantize_state(module.state_dict(), 40)
    config = families.config_to_dict(module.config)
    write_bundle(folder / "b", schema, [BundleMember("m", "perceptron", config, 1.0, state)], {})
    return Bundle.load(folder / "b")


@pytest.fixture
def frames(tmp_path: Path) -> Bundle:
    return bundle_of(tmp_path, FRAMES)


@pytest.fixture
def means(tmp_path: Path) -> Bundle:
    return bundle_of(tmp_path, MEANS)


def clips() -> dict[str, list[np.ndarray]]:
    generator = np.random.default_rng(0)
    return {
        "rgb": [generator.integers(0, 256, (n, 8)).astype(np.uint8) for n in LENGTHS],
        "audio": [generator.normal(size=(n, 4)).astype(np.float32) for n in LENGTHS],
    }


def padded() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The clips one below the other, with noise behind their ends; the mask."""
    generator = np.random.default_rng(1)
    out: dict[str, np.ndarray] = {
        "rgb": generator.integers(0, 256, (4, 6, 8)).astype(np.uint8),
        "audio": generator.normal(size=(4, 6, 4)).astype(np.float32),
    }
    for name, arrays in clips().items():
        for row, array in enumerate(arrays):
            out[name][row, : len(array)] = array
    return out, np.arange(6) < np.array(LENGTHS)[:, None]


def batch_of(features: dict[str, np.ndarray], mask: np.ndarray | None) -> Batch:
    """As it would have been read."""
    count = len(features["rgb"])
    tensors = {}
    for name, values in features.items():
        values = values.copy()
        if mask is not None:
            values[~mask] = 0
        tensors[name] = torch.from_numpy(values)
    ids, labels = [str(n) for n in range(count)], torch.zeros(0, 2, dtype=torch.int64)
    own = None if mask is None else torch.from_numpy(mask)
    return Batch(ids, tensors, own, labels, 6, -2.0, 2.0)


def test_clips_of_any_lengths_score_as_their_batch(frames: Bundle) -> None:
    arrays, mask = padded()
    expected = frames.predict(batch_of(arrays, mask))
    assert expected.shape == (4, 6) and expected.dtype == torch.float32
    ways: list[tuple[Any, dict[str, Any]]] = [
        (clips(), {}),
        ({n: [torch.from_numpy(x) for x in own] for n, own in clips().items()}, {}),
        (arrays, {"lengths": LENGTHS}),
        (arrays, {"lengths": torch.tensor(LENGTHS)}),
        (arrays, {"mask": mask}),
        ({name: torch.from_numpy(x) for name, x in arrays.items()}, {"mask": torch.tensor(mask)}),
        ({name: tuple(own) for name, own in reversed(clips().items())}, {}),
    ]
    for given, told in ways:
        assert torch.equal(frames.predict(given, **told), expected)


def test_one_clip_is_a_batch_of_one(frames: Bundle) -> None:
    one = {name: own[0] for name, own in clips().items()}
    alone = batch_of({name: x[None] for name, x in one.items()}, np.ones((1, 6), bool))
    assert torch.equal(frames.predict(one), frames.predict(alone))
    assert frames.predict(one).shape == (1, 6)
    assert frames.predict({"rgb": [], "audio": []}).shape == (0, 6)


def test_many_clips_are_scored_some_at_a_time(frames: Bundle) -> None:
    arrays, mask = padded()
    parts = [
        batch_of({n: x[r] for n, x in arrays.items()}, mask[r]) for r in (np.s_[:3], np.s_[3:])
    ]
    expected = torch.cat([frames.predict(part) for part in parts])
    # The second batch is as long as its own longest clip.
    found = frames.predict(clips(), batch_size=3)
    torch.testing.assert_close(found, expected)
    with pytest.raises(BundleError, match="batch_size=0: at least 1 is needed"):
        frames.predict(clips(), batch_size=0)


def test_floats_are_taken_as_they_are_and_bytes_by_the_schema(frames: Bundle) -> None:
    stored = clips()
    floats = dict(stored)
    # YouTube-8M's rule, in float64.
    floats["rgb"] = [x * (4 / 255) + 4 / 512 - 2 for x in stored["rgb"]]
    assert floats["rgb"][0].dtype == np.float64
    torch.testing.assert_close(frames.predict(floats), frames.predict(stored))
    halves = {name: [torch.from_numpy(x).bfloat16() for x in own] for name, own in floats.items()}
    torch.testing.assert_close(frames.predict(halves), frames.predict(stored), atol=0.1, rtol=0.1)


def test_means_are_a_row_or_a_table(means: Bundle) -> None:
    generator = np.random.default_rng(2)
    table: dict[str, np.ndarray] = {
        "rgb": generator.integers(0, 256, (3, 8)).astype(np.uint8),
        "audio": generator.normal(size=(3, 4)).astype(np.float32),
    }
    expected = means.predict(batch_of(table, None))
    assert torch.equal(means.predict(table), expected)
    assert torch.equal(means.predict({name: list(x) for name, x in table.items()}), expected)
    first = batch_of({name: x[:1] for name, x in table.items()}, None)
    one = {name: x[0] for name, x in table.items()}
    assert torch.equal(means.predict(one), means.predict(first))


Change = Callable[[dict[str, Any]], Any]


def without(name: str) -> Change:
    return lambda given: given.pop(name)


def put(name: Any, value: Any) -> Change:
    return lambda given: given.update({name: value})


def swapped(given: dict[str, Any]) -> None:
    given["rgb"], given["audio"] = given["audio"], given["rgb"]


NAN = np.full((2, 4), np.nan)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (without("audio"), r"streams: 'audio' missing; the bundle takes 'rgb': \(T, 8\), 'audio'"),
        (put("vide\no", 1), r"streams: 'vide\\no' unknown; the bundle takes 'rgb'"),
        (put(3, 1), "streams: '3' unknown"),
        (swapped, r"stream 'rgb', clip 0: has shape \(6, 4\); \(T, 8\) is needed"),
        (put("rgb", np.zeros(8, np.uint8)), r"stream 'rgb', clip 0: has shape"),
        (put("rgb", np.zeros((1, 1, 1, 8), np.uint8)), r"'rgb', clip 0: has shape \(1, 1, 8\)"),
        (put("rgb", [[1, 2], [3]]), r"stream 'rgb', clip 0: has shape \(2,\)"),
        (put("rgb", [[[1, 2], [3]]]), "stream 'rgb', clip 0: no array"),
        (put("rgb", None), "stream 'rgb': a NoneType is no array"),
        (put("rgb", np.zeros((4, 6, 8), np.int64)), "stream 'rgb': is int64; uint8 as stored"),
        (put("rgb", np.zeros((4, 6, 8), bool)), "stream 'rgb': is bool; uint8 as stored"),
        (put("rgb", np.zeros((4, 6, 8), object)), "stream 'rgb': is object"),
        (
            put("audio", np.zeros((4, 6, 4), np.uint8)),
            "stream 'audio': is uint8; floats are needed",
        ),
        (put("audio", np.zeros((3, 6, 4))), "numbers of clips: 'rgb' 4, 'audio' 3"),
        (put("audio", np.zeros((4, 6, 4))), "clip 1: .* numbers of frames: 'rgb' 2, 'audio' 6"),
        (put("audio", [np.zeros((6, 4)), NAN]), "stream 'audio', clip 1: holds NaN or infinity"),
        (
            put("rgb", [np.full((6, 8), 200.0)]),
            "clip 0: holds 200; floats are taken as dequantized, -2 to 2: give bytes as uint8",
        ),
        (put("audio", [np.full((6, 4), 1e300)]), "stream 'audio', clip 0: holds NaN or infinity"),
        (
            put("rgb", [np.zeros((6, 8), np.uint8), np.zeros((2, 8))]),
            "is float64, uint8; uint8 as stored is needed, or floats, dequantized, for all clips",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(frames: Bundle, change: Change, match: str) -> None:
    given: dict[str, Any] = dict(clips())
    change(given)
    with pytest.raises(BundleError, match=match) as caught:
        frames.predict(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"lengths": [1, 2, 3]}, r"lengths: int64 \(3,\); 4 integers are needed"),
        ({"lengths": [1, 2, 3, 7]}, "lengths: 1 to 7; clips have 6 frames"),
        ({"lengths": [1, 2, 3, -1]}, "lengths: -1 to 3"),
        ({"lengths": [1.0, 2, 3, 4]}, "lengths: float64"),
        ({"mask": np.ones((4, 5), bool)}, r"mask: bool \(4, 5\); bool \(4, 6\) is needed"),
        ({"mask": np.ones((4, 6))}, "mask: float64"),
        ({"mask": np.ones((4, 6), bool), "lengths": LENGTHS}, "give one of them"),
    ],
)
def test_wrong_lengths_are_one_line(frames: Bundle, told: dict[str, Any], match: str) -> None:
    with pytest.raises(BundleError, match=match):
        frames.predict(padded()[0], **told)


def test_lengths_are_of_what_is_padded(frames: Bundle, means: Bundle) -> None:
    with pytest.raises(BundleError, match="lengths: stream 'rgb' is not padded to 6 frames"):
        frames.predict(clips(), lengths=LENGTHS)
    with pytest.raises(BundleError, match="give one of them, where clips have frames"):
        means.predict({"rgb": np.zeros(8, np.uint8), "audio": np.zeros(4)}, lengths=[1])
    with pytest.raises(BundleError, match="a batch has its own"):
        frames.predict(batch_of(*padded()), lengths=LENGTHS)
    with pytest.raises(BundleError, match=r"clips: a list; give arrays by stream: \{'rgb': \(8,\)"):
        means.predict([])  # type: ignore[arg-type]
