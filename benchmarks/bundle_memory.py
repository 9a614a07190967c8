"""Memory that a bundle takes to predict: all of its members decoded, and one at a time.

    python -m benchmarks.bundle_memory

Writes a bundle of 1 GiB of perceptrons with random codes, and has it score clips in a process of
its own: first with `resident=` as little as its largest member needs, and then with all members
decoded. Shown is the most memory that the process held by then, the mapped file included, and what
of it came after the imports.
"""

import json
import math
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import families
from benchmarks.faults.children import in_memory
from benchmarks.harness import print_figures, timed
from quantize import Bundle, BundleMember, Codes, QuantizedState, write_bundle
from quantize.precision import UNIFORM8
from records import load_schema

# 1,152 inputs, twice 8,192, and 3,862 labels: 108 million weights each, as the winners' nine have.
MEMBERS, HIDDEN, CLIPS = 10, (8192, 8192), 256
SCHEMA = "yt8m_video"
_ROOT = Path(__file__).resolve().parents[1]


def measure(
    members: int = MEMBERS, hidden: tuple[int, ...] = HIDDEN, clips: int = CLIPS
) -> dict[str, Any]:
    """What a process held.

    Returns:
        `bundle_bytes`; `member_bytes`, those of a member decoded; `imported`, what the process held
        before; `same`, whether scores are; and under `resident` and `all decoded` the `peak` and
        `grown` bytes, and `seconds` of loading and scoring.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.safetensors"
        resident = _write(path, members, hidden)
        command = [sys.executable, "-m", "benchmarks.bundle_memory", str(path), str(clips)]
        made = subprocess.run(
            [*command, str(resident)], stdout=subprocess.PIPE, check=True, text=True, cwd=_ROOT
        )
        sizes = {"bundle_bytes": path.stat().st_size, "member_bytes": resident}
    return sizes | json.loads(made.stdout)


def _write(path: Path, members: int, hidden: tuple[int, ...]) -> int:
    """Writes the bundle; bytes of a member decoded."""
    schema = load_schema(SCHEMA)
    config = {"hidden": list(hidden)}
    with torch.device("meta"):
        shapes = families.build("perceptron", config, schema).state_dict()
    made = [
        BundleMember(str(number), "perceptron", config, 1 / members, _random(shapes, number))
        for number in range(members)
    ]
    write_bundle(path, schema, made, {})
    return sum(tensor.nbytes for tensor in shapes.values())


def _random(shapes: dict[str, torch.Tensor], seed: int) -> QuantizedState:
    """Weights as small as those of a network, at 8 bits where they are large."""
    generator = np.random.default_rng(seed)
    codebook = torch.linspace(-0.05, 0.05, 256)
    codes, plain = {}, {}
    for name, tensor in shapes.items():
        shape = tuple(tensor.shape)
        if len(shape) > 1:
            drawn = np.frombuffer(generator.bytes(math.prod(shape)), np.uint8).reshape(shape)
            codes[name] = Codes(UNIFORM8, shape, torch.from_numpy(drawn.copy()), codebook)
        elif tensor.is_floating_point():
            plain[name] = torch.full(shape, 0.5)
        else:
            plain[name] = torch.zeros(shape, dtype=tensor.dtype)
    return QuantizedState(codes, plain)


def _predict(path: str, clips: int, resident: int) -> dict[str, Any]:
    """In a process of its own: the figures, less the sizes."""
    schema, generator = load_schema(SCHEMA), np.random.default_rng(0)
    given = {s.name: generator.normal(size=(clips, s.size)) for s in schema.streams}
    before = in_memory("VmHWM")
    figures: dict[str, Any] = {"imported": before}
    scores = []
    for name, limit in {"resident": resident, "all decoded": None}.items():
        seconds, log_odds = timed(partial(_scored, path, limit, given))
        scores.append(log_odds)
        figures[name] = {
            "peak": in_memory("VmHWM"),
            "grown": in_memory("VmHWM") - before,
            "seconds": seconds,
        }
    return {**figures, "same": torch.equal(*scores)}


def _scored(path: str, resident: int | None, given: dict[str, Any]) -> torch.Tensor:
    return Bundle.load(path, resident=resident).predict(given)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_predict(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
    else:
        print_figures(f"{MEMBERS} perceptrons, {CLIPS} clips", measure())
