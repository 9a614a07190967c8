"""A member's whole state as it is stored: large tensors as codes, small ones as they are."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from common.tensors import THRESHOLD
from families.size import is_large
from quantize.errors import BundleError
from quantize.precision import (
    FLOAT32,
    INTEGERS,
    UNIFORM8,
    Codes,
    check_finite,
    dequantize,
    get_precision,
    quantize,
)


@dataclass(frozen=True)
class QuantizedState:
    """A module's state, each tensor at its precision.

    Attributes:
        codes: The tensors that are stored as codes, by name.
        plain: Those that are stored as they are, by name.
    """

    codes: Mapping[str, Codes]
    plain: Mapping[str, Tensor]

    def dequantized(self, name: str) -> Tensor:
        """One of its tensors, in float32."""
        return dequantize(self.codes[name]) if name in self.codes else self.plain[name]

    def dequantize(self) -> dict[str, Tensor]:
        """The state, to be given to `load_state_dict`."""
        return {name: dequantize(codes) for name, codes in self.codes.items()} | dict(self.plain)


def quantize_state(
    state: Mapping[str, Tensor],
    threshold: int = THRESHOLD,
    precision: str = UNIFORM8,
    overrides: Mapping[str, str] | None = None,
    ready: Mapping[tuple[str, str], Codes] | None = None,
) -> QuantizedState:
    """Quantizes every large tensor; same state, same bytes.

    Tensors of at most `threshold` elements, and all of one dimension (biases, statistics of batch
    normalization), stay float32; integers stay as they are.

    Args:
        state: What `Module.state_dict()` returns; float32 and `INTEGERS`.
        threshold: Elements up to which a tensor stays float32, at least 0.
        precision: Of the large tensors.
        overrides: The precisions of single tensors by name; on those that are not large they have
            no effect.
        ready: Codes by tensor and precision that are taken as they are, where they are wanted.

    Raises:
        BundleError: A tensor is of another type, or holds NaN or an infinity; it is named. Or there
            is no such precision, or no tensor of an override's name.
    """
    if threshold < 0:
        raise BundleError(f"threshold={threshold}: at least 0 is needed")
    chosen = dict.fromkeys(state, precision) | dict(overrides or {})
    for name in chosen.keys() - state.keys():
        raise BundleError(f"{name}: a precision is given, but there is no such tensor")
    codes: dict[str, Codes] = {}
    plain: dict[str, Tensor] = {}
    for name, tensor in sorted(state.items()):
        if tensor.dtype not in (torch.float32, *INTEGERS):
            raise BundleError(f"{name}: {tensor.dtype}; a bundle holds float32 weights only")
        get_precision(chosen[name])
        is_float = tensor.is_floating_point()
        if is_float and is_large(tensor.shape, threshold) and chosen[name] != FLOAT32:
            found = (ready or {}).get((name, chosen[name]))
            codes[name] = found or quantize(tensor, name, chosen[name])
        else:
            check_finite(tensor, name)
            plain[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return QuantizedState(codes, plain)
