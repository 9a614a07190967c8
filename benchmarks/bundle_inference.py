"""A bundle's inference against that of the same members in float32, never quantized.

    python -m benchmarks.bundle_inference

Builds one member of each family for frames, with random weights, writes them to a bundle, reads it
back, and lets both score the same batch in turn, several times over. Compared are the best times,
with the dequantization of the input and the mix in both; first with the bundle in float32, then in
bfloat16. A third contender does what Skalic & Austin 2018 did, 6.5 % slower there: it turns the
codes into floats at every step.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import families
from benchmarks.generated import generate_split
from benchmarks.harness import best_times, print_figures, ratios, timed
from ensemble import mix
from families import FamilyModule
from quantize import Bundle, BundleMember, quantize_state, read_bundle, write_bundle
from records import Batch, iterate_batches, load_schema
from training.config import Precision

CONFIGS: dict[str, dict[str, Any]] = {
    "dbof": {"clusters": 1024, "hidden": 512},
    "netfv": {"clusters": 32, "hidden": 512},
    "netvlad": {"clusters": 64, "hidden": 512},
    "rnn": {"hidden": 256},
}
CLIPS, FRAMES, REPEATS = 32, 60, 9
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
TITLE = f"inference of {', '.join(CONFIGS)}, {CLIPS} clips a batch"


def measure(
    clips: int = CLIPS,
    frames: int = FRAMES,
    repeats: int = REPEATS,
    precision: Precision = "float32",
) -> dict[str, Any]:
    """Times the three on one batch; what `compare` returns, and the sizes and seconds of loading.

    The float32 members' `ratio` is to be at least about 1, and 2 in bfloat16 where the processor
    has it.
    """
    with make_bundle(clips, frames) as (modules, path, batch):
        load_seconds, bundle = timed(lambda: Bundle.load(path, precision=precision))
        slow = Bundle.load(path)
        states = [member.state for member in read_bundle(path).members]

        @torch.no_grad()
        def in_float(batch: Batch) -> Tensor:
            batch = batch.to("cpu")
            scores = [module(batch.features, batch.mask) for module in modules.values()]
            return mix(torch.stack(scores), bundle.weights, "probability")

        def at_each_step(batch: Batch) -> Tensor:
            for member, state in zip(slow.members, states, strict=True):
                member.module.load_state_dict(state.dequantize(), assign=True)
            return slow.predict(batch)

        rivals = {"float32 members": in_float, "dequantized at each step": at_each_step}
        tensors = [t for module in modules.values() for t in module.state_dict().values()]
        return {
            **compare(bundle, rivals, batch, repeats),
            "load_seconds": load_seconds,
            "bundle_bytes": path.stat().st_size,
            "float_bytes": sum(4 * tensor.numel() for tensor in tensors),
        }


@contextmanager
def make_bundle(clips: int, frames: int) -> Iterator[tuple[dict[str, FamilyModule], Path, Batch]]:
    """The modules by family, the file of them all with equal weights, and a batch.

    Its longest clip has as many `frames` as that, the others half as many or more.
    """
    schema = load_schema("yt8m_frame")
    torch.manual_seed(0)
    modules = {name: families.build(name, told, schema).eval() for name, told in CONFIGS.items()}
    members = []
    for name, module in modules.items():
        config, state = families.config_to_dict(module.config), quantize_state(module.state_dict())
        members.append(BundleMember(name, name, config, 1 / len(modules), state))
    with tempfile.TemporaryDirectory() as folder:
        split = generate_split(Path(folder), schema, clips, (frames // 2, frames))
        path = Path(folder) / "bundle.safetensors"
        write_bundle(path, schema, members, {})
        yield modules, path, next(iterate_batches(split, clips))


def compare(
    bundle: Bundle, rivals: Mapping[str, Callable[[Batch], Tensor]], batch: Batch, repeats: int
) -> dict[str, Any]:
    """Lets a bundle and its rivals score a batch in turn.

    Returns:
        `seconds` a batch and `clips_per_second` by contender, `ratio` of each rival's time to the
        bundle's, and `difference`, the largest between the first rival's log-odds and the bundle's.
    """
    contenders = {"bundle": bundle.predict, **rivals}
    calls = {name: partial(predict, batch) for name, predict in contenders.items()}
    # It warms them up, too.
    ours, theirs, *_ = [call() for call in calls.values()]
    seconds = best_times(calls, repeats)
    return {
        "seconds": seconds,
        "clips_per_second": {name: len(batch) / took for name, took in seconds.items()},
        "ratio": ratios(seconds, to="bundle"),
        "difference": float((ours - theirs).abs().max()),
    }


if __name__ == "__main__":
    for precision in PRECISIONS:
        print_figures(f"{TITLE}, {precision}", measure(precision=precision))
