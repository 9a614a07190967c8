"""What a precision is, all of them by name, and the two ways between a tensor and its codes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from common.registry import Registry
from quantize.errors import BundleError

if TYPE_CHECKING:
    # The packages of the extra `onnx` need not be installed.
    from onnx_ir import Value

    from quantize.onnx.weights import WeightGraph

Shape = tuple[int, ...]
FLOAT32 = "float32"
UNIFORM8 = "uniform8"  # the winners'
LARGEST = 1e18  # of a value in a file: products of two are still float32, and none is that large
CODEBOOK = "codebook"  # stands in a file where a precision's name might
STORABLE = (torch.float32, torch.float16, torch.uint8)
INTEGERS = (torch.uint8, torch.int16, torch.int32)  # stored as they are, never as codes
# Names of files and of tensors are made of it.
_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")


@dataclass(frozen=True)
class Codes:
    """A tensor as it is stored.

    Attributes:
        precision: The precision's name.
        shape: Of the tensor.
        codes: Of a type and shape that the precision says.
        codebook: float32, of a shape that the precision says; None without a codebook.
    """

    precision: str
    shape: Shape
    codes: Tensor
    codebook: Tensor | None


class Precision(ABC):
    """A way to store a tensor.

    Attributes:
        bits: A value, without the codebook. Below 8 codes are packed as by `pack_codes`, which
            entropy coding undoes; from 8 on they are whole bytes to it.
    """

    bits: int = 8

    @abstractmethod
    def encode(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        """Codes and codebook, as in `Codes`, of a contiguous finite float32 tensor on the CPU."""

    @abstractmethod
    def decode(self, quantized: Codes) -> Tensor:
        """The float32 tensor that codes stand for."""

    @abstractmethod
    def stored(self, shape: Shape) -> tuple[torch.dtype, Shape]:
        """Type and shape of the codes of a tensor of this shape."""

    @abstractmethod
    def codebook(self, shape: Shape) -> Shape | None:
        """Shape of the codebook of a tensor of this shape; None where there is none."""

    def onnx(self, graph: WeightGraph, name: str, codes: Codes) -> Value:
        """Nodes that decode: what they put out is `decode(codes)`, up to float32 rounding.

        Args:
            graph: Takes stored tensors and nodes.
            name: Of the tensor; those stored for it are called `<name>/...`.
            codes: To be decoded.

        Raises:
            BundleError: Such codes cannot be decoded in ONNX.
        """
        raise BundleError(f"export: precision {codes.precision} does not say its ONNX form")


def _own() -> None:
    from quantize import precisions  # noqa: F401


PRECISIONS: Registry[Precision] = Registry("precision", BundleError, _own)
get_precision = PRECISIONS.get
list_precisions = PRECISIONS.names


def register_precision(name: str, precision: Precision) -> None:
    """Adds a precision under a name: up to 40 letters, digits and underscores.

    Raises:
        BundleError: The name is taken, or has other characters.
    """
    if not _NAME.fullmatch(name) or name == CODEBOOK:
        raise BundleError(
            f"precision {name[:50]!r}: use up to 40 letters, digits and underscores, and not "
            f"{CODEBOOK!r}"
        )
    PRECISIONS.add(name, precision)


def quantize(tensor: Tensor, name: str, precision: str = UNIFORM8) -> Codes:
    """A tensor at a precision; how far a value may be off is said where the precision is defined.

    Uniform codes are off by half a step at most, a step being a part of the range of the tensor, or
    of its channel. A constant tensor keeps its value exactly, save in float16.

    Args:
        tensor: float32, of any shape with at least one element.
        name: What the tensor is called, for the message.
        precision: The precision's name.

    Raises:
        BundleError: The tensor is empty, not float32, or holds NaN or an infinity, or what does not
            fit float16; or there is no such precision, or its codes are not as it says.
    """
    if tensor.dtype != torch.float32 or tensor.numel() == 0:
        raise BundleError(f"{name}: {tensor.dtype} of shape {tuple(tensor.shape)}, not float32")
    check_finite(tensor, name)
    shape, form = tuple(tensor.shape), get_precision(precision)
    codes, codebook = form.encode(tensor.detach().cpu().contiguous())
    found = codes.dtype, tuple(codes.shape)
    if found != form.stored(shape) or codes.dtype not in STORABLE:
        raise BundleError(
            f"{name}: precision {precision} makes codes of {found}, but says {form.stored(shape)}; "
            "they have to be uint8, float16 or float32"
        )
    if codes.dtype == torch.float16 and codes.isinf().any():
        raise BundleError(f"{name}: values beyond 65504 do not fit float16")
    return Codes(precision, shape, codes, codebook)


def dequantize(quantized: Codes) -> Tensor:
    """The float32 tensor that the codes stand for."""
    return get_precision(quantized.precision).decode(quantized)


def check_finite(tensor: Tensor, name: str) -> None:
    """Refuses NaN and infinities.

    Raises:
        BundleError: There are some; the message has their number and the tensor's name.
    """
    # NaN and infinities survive a maximum of magnitudes, which needs no mask of the whole tensor.
    if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
        bad = tensor.numel() - int(torch.isfinite(tensor).sum())
        raise BundleError(f"{name}: {bad} of {tensor.numel()} values are NaN or infinite")
