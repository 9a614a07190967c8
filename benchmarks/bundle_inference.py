"""A bundle's inference against that of the same members in float32, never quantized.

    python -m benchmarks.bundle_inference

Builds one member of each family for frames, with random weights, writes them to a bundle, reads it
back, and lets both score the same batches in turn, several times over. Compared are the best times
a batch, with the dequantization of the input and the mix in both. A third column is what Skalic &
Austin 2018 did, 6.5 % slower there: turn the codes into floats at every step.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import families
from ensemble import mix
from families import FamilyModule
from quantize import Bundle, BundleMember, quantize_state, read_bundle, write_bundle
from records import Batch, Schema, load_schema

CONFIGS: dict[str, dict[str, Any]] = {
    "dbof": {"clusters": 1024, "hidden": 512},
    "netfv": {"clusters": 32, "hidden": 512},
    "netvlad": {"clusters": 64, "hidden": 512},
    "rnn": {"hidden": 256},
}
CLIPS, FRAMES, REPEATS = 32, 60, 9


def measure(clips: int = CLIPS, frames: int = FRAMES, repeats: int = REPEATS) -> dict[str, Any]:
    """Times the three on one generated batch.

    Args:
        clips: In the batch.
        frames: Of the longest clip.
        repeats: Of each; the best counts.

    Returns:
        `seconds` a batch by contender, `ratio` of the float32 members' time to the bundle's (not
        slower: at least about 1), `load_seconds`, `bundle_bytes`, `float_bytes`, and `difference`,
        the largest between the log-odds of both.
    """
    schema = load_schema("yt8m_frame")
    modules = make_modules(schema)
    members = make_members(modules)
    batch = make_batch(schema, clips, frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.safetensors"
        size = write_bundle(path, schema, members, {})
        began = time.perf_counter()
        bundle = Bundle.load(path)
        load_seconds = time.perf_counter() - began
        in_float = _FloatMembers(list(modules.values()), bundle.weights)
        at_each_step = _Redequantized(path, bundle)
        contenders = {
            "bundle": bundle.predict,
            "float32 members": in_float.predict,
            "dequantized at each step": at_each_step.predict,
        }
        seconds = best_times(contenders, batch, repeats)
    return {
        "seconds": seconds,
        "ratio": seconds["float32 members"] / seconds["bundle"],
        "load_seconds": load_seconds,
        "bundle_bytes": size,
        "float_bytes": sum(
            4 * t.numel() for m in modules.values() for t in m.state_dict().values()
        ),
        "difference": float((bundle.predict(batch) - in_float.predict(batch)).abs().max()),
    }


class _FloatMembers:
    def __init__(self, modules: Sequence[FamilyModule], weights: Tensor) -> None:
        self._modules = modules
        self._weights = weights

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        batch = batch.to("cpu")
        scores = torch.stack([module(batch.features, batch.mask) for module in self._modules])
        return mix(scores, self._weights, "probability")


class _Redequantized:
    def __init__(self, path: Path, bundle: Bundle) -> None:
        self._states = [member.state for member in read_bundle(path).members]
        self._bundle = bundle

    def predict(self, batch: Batch) -> Tensor:
        for member, state in zip(self._bundle.members, self._states, strict=True):
            member.module.load_state_dict(state.dequantize(), assign=True)
        return self._bundle.predict(batch)


def make_modules(schema: Schema) -> dict[str, FamilyModule]:
    torch.manual_seed(0)
    return {name: families.build(name, config, schema).eval() for name, config in CONFIGS.items()}


def make_members(modules: Mapping[str, FamilyModule]) -> list[BundleMember]:
    """The modules, by family, as members of equal weight."""
    return [
        BundleMember(
            name,
            name,
            families.config_to_dict(module.config),
            1 / len(modules),
            quantize_state(module.state_dict()),
        )
        for name, module in modules.items()
    ]


def make_batch(schema: Schema, clips: int, frames: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(frames // 2, frames + 1, (clips,), generator=generator)
    lengths[0] = frames
    features = {
        stream.name: torch.randint(0, 256, (clips, frames, stream.size), generator=generator).byte()
        for stream in schema.streams
    }
    return Batch(
        ids=[str(i) for i in range(clips)],
        features=features,
        mask=torch.arange(frames) < lengths[:, None],
        labels=torch.zeros(0, 2, dtype=torch.int64),
        num_labels=schema.num_labels,
        quantized_min=schema.quantized_min,
        quantized_max=schema.quantized_max,
    )


def best_times(
    contenders: Mapping[str, Callable[[Batch], Tensor]], batch: Batch, repeats: int
) -> dict[str, float]:
    """Seconds a call; the contenders take turns, so that a busy machine slows them alike."""
    best = dict.fromkeys(contenders, float("inf"))
    for predict in contenders.values():
        predict(batch)
    for _ in range(repeats):
        for name, predict in contenders.items():
            began = time.perf_counter()
            predict(batch)
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def main() -> None:
    """Prints the table."""
    result = measure()
    print(f"{'inference of ' + ', '.join(CONFIGS):44} {'ms a batch':>10} {'clips/s':>9}")
    for name, seconds in result["seconds"].items():
        print(f"{name:44} {1000 * seconds:10.1f} {CLIPS / seconds:9.1f}")
    print(f"float32 members' time / bundle's time: {result['ratio']:.3f}")
    print(
        f"bundle {result['bundle_bytes'] / 1e6:.1f} MB, float32 {result['float_bytes'] / 1e6:.1f} "
        f"MB, loaded in {result['load_seconds']:.2f} s; log-odds differ by "
        f"{result['difference']:.4f} at most"
    )


if __name__ == "__main__":
    main()
