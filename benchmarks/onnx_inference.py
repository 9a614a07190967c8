"""onnxruntime's inference of a bundle's ONNX file beside that of the bundle.

    python -m benchmarks.onnx_inference

Exports the bundle of `benchmarks.bundle_inference`, and compares as there, with as many threads.
onnxruntime computes in float32.
"""

from typing import Any

import onnxruntime
import torch
from torch import Tensor

from benchmarks.bundle_inference import (
    CLIPS,
    FRAMES,
    PRECISIONS,
    REPEATS,
    TITLE,
    compare,
    make_bundle,
)
from benchmarks.harness import print_figures, timed
from quantize import Bundle, read_bundle
from quantize.onnx.graph import onnx_bytes
from records import Batch
from training.config import Precision


def measure(
    clips: int = CLIPS,
    frames: int = FRAMES,
    repeats: int = REPEATS,
    precision: Precision = "float32",
) -> dict[str, Any]:
    """Times both on one batch; what `compare` returns, the sizes, and seconds of export and load.

    A `ratio` below 1 says that onnxruntime is faster.
    """
    with make_bundle(clips, frames) as (_, path, batch):
        bundle = Bundle.load(path, precision=precision)
        export_seconds, file = timed(lambda: onnx_bytes(read_bundle(path)))
        bundle_bytes = path.stat().st_size
    load_seconds, session = timed(lambda: _session(file))

    def predict(batch: Batch) -> Tensor:
        batch = batch.to("cpu")
        assert batch.mask is not None
        inputs = {**batch.features, "mask": batch.mask}
        (log_odds,) = session.run(["log_odds"], {name: x.numpy() for name, x in inputs.items()})
        return torch.from_numpy(log_odds)

    return {
        **compare(bundle, {"onnxruntime": predict}, batch, repeats),
        "export_seconds": export_seconds,
        "load_seconds": load_seconds,
        "bundle_bytes": bundle_bytes,
        "onnx_bytes": len(file),
    }


def _session(file: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads would wait for the next batch on the cores that the other contender needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(file, options)


if __name__ == "__main__":
    for precision in PRECISIONS:
        print_figures(f"{TITLE}, {precision}", measure(precision=precision))
