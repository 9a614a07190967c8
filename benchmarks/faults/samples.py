"""Small sound files that trials and the fuzzer damage."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import families
from families.registry import meta_module
from quantize import BundleMember, quantize_state, write_bundle
from records import Clip, Schema, SplitSpec, Stream, encode_clip, open_split, write_shards
from records.census import take_census
from training.checkpoint import Progress, TrainingState, save_checkpoint

FRAMES = Schema("frames", "frame", (Stream("rgb", 6), Stream("audio", 3)), num_labels=12)
# For the families that have a task for each vertical.
TASKS = replace(
    FRAMES,
    label_verticals=tuple((label % 3,) for label in range(12)),
    vertical_names=("first", "second", "third"),
)
MEANS = Schema(
    "means", "video", (Stream("mean", 5, "float32"), Stream("more", 2, "float32")), num_labels=12
)
# Of several kinds of layers, small enough for thousands of loads.
MEMBERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bag": ("dbof", {"clusters": 4, "hidden": 3}),
    "near": ("neighbors", {"clips": 5, "of": "plain", "width": 8, "labels": 2}),
    "plain": ("perceptron", {"hidden": [8]}),
    "vlad": ("netvlad", {"clusters": 2, "hidden": 3}),
}
_THRESHOLD = 20


def clips(schema: Schema, count: int, seed: int = 0) -> Iterator[Clip]:
    """Random clips of up to four frames and three labels."""
    random = np.random.default_rng(seed)
    for number in range(count):
        frames = (int(random.integers(1, 5)),) if schema.level == "frame" else ()
        features = {
            stream.name: (
                random.integers(0, 256, (*frames, stream.size)).astype(np.uint8)
                if stream.encoding == "uint8"
                else random.normal(size=(*frames, stream.size)).astype(np.float32)
            )
            for stream in schema.streams
        }
        labels = np.unique(random.integers(0, schema.num_labels, 3))
        yield Clip(f"clip-{number}", labels, features)


def write_clips(folder: Path, schema: Schema, count: int, seed: int = 0) -> Path:
    """One shard of random clips, in a folder of its own."""
    records = [encode_clip(clip, schema) for clip in clips(schema, count, seed)]
    (path,) = write_shards(folder, "clips", records, per_shard=count)
    return path


def indexed(folder: Path, cache: Path) -> list[object]:
    """All that is read of a part of the clips in a folder, by way of what `cache` keeps of them."""
    spec = SplitSpec("*.tfrecord", hash_to=0.8)
    split = open_split(folder, "clips", spec, FRAMES, cache=cache)
    found = [list(split.places(slice(None))), split.fingerprint, split.skipped]
    census = vars(take_census(split, cache))
    return [
        *found,
        *(value.tolist() if isinstance(value, np.ndarray) else value for value in census.values()),
        *(content(clip) for clip in split.clips()),
    ]


def content(clip: Clip) -> tuple[object, ...]:
    """What can be compared of a clip."""
    features = {name: (v.shape, v.tobytes()) for name, v in clip.features.items()}
    return clip.id, clip.labels.tolist(), features


def random_state(
    family: str, config: dict[str, Any], schema: Schema, generator: torch.Generator
) -> dict[str, Tensor]:
    """Weights that a bundle may have: variances are above 0, and integers name labels."""
    shapes = meta_module(family, config, schema).state_dict()
    return {
        # Much of it is 0.5, so that compression wins something.
        name: torch.randn(t.shape, generator=generator).abs().clamp(0.5, 2)
        if t.is_floating_point()
        else torch.randint(schema.num_labels, t.shape, generator=generator, dtype=t.dtype)
        for name, t in shapes.items()
    }


def write_small_bundle(
    path: Path,
    members: dict[str, tuple[str, dict[str, Any]]] | None = None,
    precision: str = "uniform8",
    entropy: bool = False,
    schema: Schema = FRAMES,
) -> Path:
    """A bundle of random weights."""
    generator = torch.Generator().manual_seed(0)
    chosen = []
    for name, (family, config) in (members or MEMBERS).items():
        state = random_state(family, config, schema, generator)
        quantized = quantize_state(state, _THRESHOLD, precision)
        weight = 1 / len(members or MEMBERS)
        chosen.append(BundleMember(name, family, config, weight, quantized))
    write_bundle(path, schema, chosen, {"note": "random"}, entropy=entropy)
    return path


def fresh_state(seed: int) -> TrainingState:
    """A model and its optimizer, one step taken."""
    torch.manual_seed(seed)
    model = families.build("perceptron", {"hidden": [4]}, FRAMES)
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return TrainingState(model, optimizer, Progress(step=seed))


def write_small_checkpoint(path: Path) -> Path:
    """A checkpoint of `fresh_state(7)`."""
    save_checkpoint(path, fresh_state(7))
    return path
