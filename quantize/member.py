"""A member's whole state at 8 bits: large tensors as codes, small ones as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from families import THRESHOLD
from families.size import CENTROIDS
from quantize.errors import BundleError
from quantize.uniform import Codes, check_finite, dequantize, quantize


@dataclass(frozen=True)
class QuantizedState:
    """A module's state at 8 bits.

    Attributes:
        codes: The large tensors, by name.
        plain: The small tensors, by name, float32.
    """

    codes: Mapping[str, Codes]
    plain: Mapping[str, Tensor]

    def dequantize(self) -> dict[str, Tensor]:
        """The float32 state, to be given to `load_state_dict`."""
        large = {name: dequantize(entry) for name, entry in self.codes.items()}
        return {**large, **self.plain}

    def tensor_bytes(self) -> int:
        """Bytes of the codes, the codebooks and the small tensors."""
        large = sum(entry.codes.numel() + 4 * CENTROIDS for entry in self.codes.values())
        return large + sum(4 * tensor.numel() for tensor in self.plain.values())


def quantize_state(state: Mapping[str, Tensor], threshold: int = THRESHOLD) -> QuantizedState:
    """Quantizes every tensor of more than `threshold` elements; same state, same bytes.

    Args:
        state: What `Module.state_dict()` returns; float32.
        threshold: Elements up to which a tensor stays float32, at least 0.

    Raises:
        BundleError: A tensor is not float32, or holds NaN or an infinity; it is named.
    """
    if threshold < 0:
        raise BundleError(f"threshold={threshold}: at least 0 is needed")
    codes: dict[str, Codes] = {}
    plain: dict[str, Tensor] = {}
    for name, tensor in sorted(state.items()):
        if tensor.dtype != torch.float32:
            raise BundleError(f"{name}: {tensor.dtype}; a bundle holds float32 weights only")
        if tensor.numel() > threshold:
            codes[name] = quantize(tensor, name)
        else:
            check_finite(tensor, name)
            plain[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return QuantizedState(codes, plain)
