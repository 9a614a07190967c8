"""A quasi-recurrent layer of width 1 against torch's LSTM: `python -m benchmarks.qrnn`.

Forward and backward of one layer over all frames, gradients of weights and inputs, in float32, on
two cores or on the GPU where there is one (with its reduced float32 products for both). Counting
multiplications alone, the LSTM has 2.5 times as many. The family's own last layer does less: it
computes the output gate for each clip's last frame only; that is the second figure.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.harness import best_times, print_figures
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

    Returns:
        `seconds` of a forward and backward by contender; `ratio` of the LSTM's to each of ours.
    """
    device = choose_device("auto")
    torch.manual_seed(0)
    with torch.device(device):
        ours, rival = QRNNLayer(size, hidden, width=1), nn.LSTM(size, hidden)
        x = torch.randn(frames, clips, size, requires_grad=True)
        gradient = torch.randn(frames, clips, hidden)

    def both_ways(layer: nn.Module, output: Tensor, gradient: Tensor) -> None:
        torch.autograd.grad(output, (x, *layer.parameters()), gradient)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    contenders: dict[str, Callable[[], None]] = {
        "lstm": lambda: both_ways(rival, rival(x)[0], gradient),
        "qrnn": lambda: both_ways(ours, ours(x, None), gradient),
        "qrnn, last output": lambda: both_ways(ours, ours.last(x, None), gradient[-1]),
    }
    best_times(contenders, 1)  # It warms them up.
    seconds = best_times(contenders, repeats)
    return {
        "seconds": seconds,
        "ratio": {name: seconds["lstm"] / seconds[name] for name in contenders if name != "lstm"},
    }


if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.set_flush_denormal(True)
    sizes = f"{CLIPS} clips, {FRAMES} frames, {SIZE:,} -> {HIDDEN:,}"
    threads = f"{choose_device('auto').type}, {torch.get_num_threads()} threads"
    print_figures(f"{threads}: {sizes}; ratio: times as fast as the LSTM", measure())
