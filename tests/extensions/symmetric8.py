"""A user's own precision: whole numbers of steps up to 127 either way, so that zero stays zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from quantize import Codes, Precision, register_precision

Shape = tuple[int, ...]


class Symmetric8(Precision):
    """A value is off by half a step at most, a step being 1/127 of the greatest magnitude."""

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        step = (values.abs().max() / 127).clamp(min=torch.finfo(torch.float32).tiny)
        return (torch.round(values / step) + 128).byte(), step.reshape(1)

    def decode(self, quantized: Codes) -> Tensor:
        assert quantized.codebook is not None
        return (quantized.codes.float() - 128) * quantized.codebook[0]

    def stored(self, shape: Shape) -> tuple[torch.dtype, Shape]:
        return torch.uint8, shape

    def codebook(self, shape: Shape) -> Shape | None:
        return (1,)

    def onnx(self, graph: Any, name: str, codes: Codes) -> Any:
        assert codes.codebook is not None
        numbers = graph.cast(graph.stored(f"{name}/codes", codes.codes), np.float32)
        centered = graph.node("Sub", numbers, np.float32(128))
        return graph.node("Mul", centered, graph.stored(f"{name}/step", codes.codebook))


register_precision("symmetric8", Symmetric8())
