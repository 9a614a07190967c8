"""Loading a bundle against reading its file.

    python -m benchmarks.bundle_loading

Writes bundles of one perceptron with 300 million random weights, at several precisions, and times
three things on each: reading the file into memory, as `cat` would; `read_bundle`, which maps the
codes, and checks everything that it is told of them; and `Bundle.load`, which also turns them into
float32 weights. The file has just been written, so that it comes from memory and not from a disk:
what is compared is work, and reading has none.
"""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import families
from benchmarks.harness import best_times, print_table
from quantize import Bundle, BundleMember, quantize_state, read_bundle, write_bundle
from records import load_schema

# 1,152 inputs, four times 8,192 x 8,192, and 3,862 labels: 309 million.
HIDDEN = (8192,) * 5
REPEATS = 3
# By what is shown: the precision, and whether its codes are compressed.
FORMS = {
    "uniform8": ("uniform8", False),
    "uniform8, compressed": ("uniform8", True),
    "channel8": ("channel8", False),
    "uniform4": ("uniform4", False),
    "float16": ("float16", False),
}


def measure(hidden: tuple[int, ...] = HIDDEN, repeats: int = REPEATS) -> dict[str, dict[str, Any]]:
    """By form `megabytes` of the file, best seconds of `reading`, `mapping` and `loading` it."""
    schema = load_schema("yt8m_video")
    config = {"hidden": list(hidden)}
    with torch.device("meta"):
        shapes = families.build("perceptron", config, schema).state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(t.shape, generator=generator).abs() for name, t in shapes.items()}
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.safetensors"
        calls = {
            "reading": lambda: _read(path),
            "mapping": lambda: read_bundle(path),
            "loading": lambda: Bundle.load(path),
        }
        for form, (precision, entropy) in FORMS.items():
            quantized = quantize_state(state, precision=precision)
            member = BundleMember("perceptron", "perceptron", config, 1.0, quantized)
            size = write_bundle(path, schema, [member], {}, entropy=entropy)
            del quantized, member
            results[form] = {"megabytes": size / 1e6, **best_times(calls, repeats)}
    return results


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


if __name__ == "__main__":
    print_table("perceptron of 309 million weights, seconds", pd.DataFrame(measure()).T)
