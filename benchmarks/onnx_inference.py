"""onnxruntime's inference of a bundle's ONNX file beside that of the bundle.

    python -m benchmarks.onnx_inference

Builds the bundle of `benchmarks.bundle_inference`, one member of each family for frames at full
width with random weights, exports it, and lets torch and onnxruntime score the same batch in turn
with as many threads, several times over. Compared are the best times a batch, with the
dequantization of the input and the mix in both.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from benchmarks.bundle_inference import (
    CLIPS,
    CONFIGS,
    FRAMES,
    REPEATS,
    best_times,
    make_batch,
    make_members,
    make_modules,
)
from quantize import Bundle, read_bundle, write_bundle
from quantize.onnx.graph import onnx_bytes
from records import Batch, load_schema


def measure(clips: int = CLIPS, frames: int = FRAMES, repeats: int = REPEATS) -> dict[str, Any]:
    """Times both on one generated batch.

    Args:
        clips: In the batch.
        frames: Of the longest clip.
        repeats: Of each; the best counts.

    Returns:
        `seconds` a batch by contender, `ratio` of the bundle's time to onnxruntime's (above 1:
        onnxruntime is faster), `bundle_bytes`, `onnx_bytes`, `export_seconds`, `load_seconds` of
        onnxruntime's session, and `difference`, the largest between the log-odds of both.
    """
    schema = load_schema("yt8m_frame")
    modules = make_modules(schema)
    members = make_members(modules)
    batch = make_batch(schema, clips, frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.safetensors"
        size = write_bundle(path, schema, members, {})
        bundle = Bundle.load(path)
        began = time.perf_counter()
        file = onnx_bytes(read_bundle(path))
        exported = time.perf_counter()
        session = _Session(file)
        loaded = time.perf_counter()
    seconds = best_times({"bundle": bundle.predict, "onnxruntime": session.predict}, batch, repeats)
    return {
        "seconds": seconds,
        "ratio": seconds["bundle"] / seconds["onnxruntime"],
        "bundle_bytes": size,
        "onnx_bytes": len(file),
        "export_seconds": exported - began,
        "load_seconds": loaded - exported,
        "difference": float((bundle.predict(batch) - session.predict(batch)).abs().max()),
    }


class _Session:
    def __init__(self, file: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would wait for the next batch on the cores that the other contender needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(file, options)

    def predict(self, batch: Batch) -> Tensor:
        batch = batch.to("cpu")
        assert batch.mask is not None
        inputs: dict[str, np.ndarray] = {n: x.numpy() for n, x in batch.features.items()}
        (log_odds,) = self._session.run(["log_odds"], {**inputs, "mask": batch.mask.numpy()})
        return torch.from_numpy(log_odds)


def main() -> None:
    """Prints the table."""
    result = measure()
    print(f"{'inference of ' + ', '.join(CONFIGS):44} {'ms a batch':>10} {'clips/s':>9}")
    for name, seconds in result["seconds"].items():
        print(f"{name:44} {1000 * seconds:10.1f} {CLIPS / seconds:9.1f}")
    print(f"bundle's time / onnxruntime's time: {result['ratio']:.3f}")
    print(
        f"bundle {result['bundle_bytes'] / 1e6:.1f} MB, ONNX {result['onnx_bytes'] / 1e6:.1f} MB, "
        f"exported in {result['export_seconds']:.1f} s, loaded by onnxruntime in "
        f"{result['load_seconds']:.1f} s; log-odds differ by {result['difference']:.1e} at most"
    )


if __name__ == "__main__":
    main()
