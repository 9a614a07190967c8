"""A quasi-recurrent layer of width 1 against torch's LSTM: `python -m benchmarks.qrnn`.

Forward and backward of one layer over all frames, gradients of weights and inputs, in float32, on
two cores or on the GPU where there is one (with its reduced float32 products for both). Counting
multiplications alone, the LSTM has 2.5 times as many. The family's own last layer does less: it
computes the output gate for each clip's last frame only; that is the second figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from families.qrnn import QRNNLayer
from training.device import choose_device

CLIPS, FRAMES, SIZE, HIDDEN, REPEATS = 64, 300, 1152, 1024, 5


def measure(
    clips: int = CLIPS,
    frames: int = FRAMES,
    size: int = SIZE,
    hidden: int = HIDDEN,
    repeats: int = REPEATS,
) -> dict[str, dict[str, float]]:
    """Times the layers on the same frames, in turn.

    Args:
        clips: B.
        frames: T.
        size: D.
        hidden: H.
        repeats: Of each; the best counts. One more goes before, to warm up.

    Returns:
        `seconds` of a forward and backward by contender; `ratio` of the LSTM's to each of ours.
    """
    device = choose_device("auto")
    torch.manual_seed(0)
    with torch.device(device):
        ours, rival = QRNNLayer(size, hidden, width=1), nn.LSTM(size, hidden)
        x = torch.randn(frames, clips, size, requires_grad=True)
        all_gradient, last_gradient = torch.randn(frames, clips, hidden), torch.randn(clips, hidden)
    contenders: dict[str, tuple[Callable[[], Tensor], Tensor]] = {
        "lstm": (lambda: rival(x)[0], all_gradient),
        "qrnn": (lambda: ours(x, None), all_gradient),
        "qrnn, last output": (lambda: ours.last(x, None), last_gradient),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats + 1):
        for name, (forward, gradient) in contenders.items():
            seconds[name].append(_timed(forward, gradient, device))
            for tensor in (x, *ours.parameters(), *rival.parameters()):
                tensor.grad = None
    best = {name: min(values[1:]) for name, values in seconds.items()}
    return {
        "seconds": best,
        "ratio": {name: best["lstm"] / value for name, value in best.items() if name != "lstm"},
    }


def _timed(forward: Callable[[], Tensor], gradient: Tensor, device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    forward().backward(gradient)
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Prints the table."""
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.set_flush_denormal(True)
    figures = measure()
    device = choose_device("auto").type
    sizes = f"{CLIPS} clips, {FRAMES} frames, {SIZE:,} -> {HIDDEN:,}"
    print(f"{device}, {torch.get_num_threads()} threads: {sizes}")
    for name, seconds in figures["seconds"].items():
        print(f"  {name:<20}{seconds:9.4f} s")
    for name, ratio in figures["ratio"].items():
        print(f"  {name:<20}{ratio:9.2f} times as fast as the LSTM")


if __name__ == "__main__":
    main()
