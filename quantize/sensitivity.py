"""What a model loses by each of its large tensors, stored at one precision or another."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from families import FamilyModule
from quantize.moments import drawn
from quantize.precision import Codes, dequantize
from records import Batch, Split, iterate_batches
from training.device import device_of

CLIPS = 128


@torch.inference_mode()
def tensor_losses(
    model: FamilyModule,
    split: Split,
    batch_size: int,
    codes: Mapping[tuple[str, str], Codes],
    moments: Mapping[str, Tensor],
) -> dict[tuple[str, str], float]:
    """How far each tensor moves the model's predictions at each precision, all else in float32.

    At one precision, the one in the middle by its error, it is measured: as the divergence of
    Kullback and Leibler from the float model's probabilities, summed over the labels, the mean of
    a clip. At the others it is taken to grow with the squared error: of the layer's outputs where
    the moments of its inputs are known, otherwise of the weights.

    Args:
        model: With its weights in float32, on its device; it is left so, in evaluation mode.
        split: Clips to draw from.
        batch_size: Clips a forward pass.
        codes: By tensor and precision.
        moments: As `input_moments` returns them.

    Returns:
        By tensor and precision, at least 0.
    """
    model.eval()
    device = device_of(model)
    batches = [batch.to(device) for batch in iterate_batches(drawn(split, CLIPS), batch_size)]
    unmoved = _log_odds(model, batches)
    state = model.state_dict()
    losses: dict[tuple[str, str], float] = {}
    for name in dict.fromkeys(name for name, _ in codes):
        weight = state[name].clone()
        errors = {
            precision: _squared_error(weight.cpu(), found, moments.get(name))
            for (other, precision), found in codes.items()
            if other == name
        }
        middle = sorted(errors, key=lambda precision: errors[precision])[len(errors) // 2]
        state[name].copy_(dequantize(codes[name, middle]))
        moved = _divergence(unmoved, _log_odds(model, batches))
        state[name].copy_(weight)
        scale = moved / errors[middle] if errors[middle] > 0 else 0.0
        losses |= {(name, precision): scale * error for precision, error in errors.items()}
    return losses


def _log_odds(model: FamilyModule, batches: Sequence[Batch]) -> Tensor:
    """(clips, V) float64 on the CPU."""
    return torch.cat([model(batch.features, batch.mask).cpu() for batch in batches]).double()


def _squared_error(weight: Tensor, codes: Codes, moments: Tensor | None) -> float:
    off = (dequantize(codes) - weight).double()
    return float(((off @ moments) * off).sum() if moments is not None else off.square().sum())


def _divergence(true: Tensor, found: Tensor) -> float:
    """Of the labels' probabilities, from log-odds (clips, V): the mean over clips."""
    by_label = torch.sigmoid(true) * (true - found)
    by_label += functional.softplus(found) - functional.softplus(true)
    return max(0.0, float(by_label.sum(1).mean()))
