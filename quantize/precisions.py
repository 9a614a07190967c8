"""The project's own precisions.

`uniform`, `quantile` and `kmeans` have one codebook a tensor; `channel` is uniform with a range of
its own for every output channel, the first dimension. Each comes with 8, 6, 5, 4, 3 or 2 bits a
value, `quantile` with 1 as well: remembered clips bear that.
`float16` and `float32` have no codebook.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from quantize.codebooks import CHUNK, encode_kmeans, encode_quantile, encode_uniform, pieces
from quantize.packing import pack_codes, packed_bytes, unpack_codes, unpacked_in_onnx
from quantize.precision import FLOAT32, Codes, Precision, Shape, register_precision

if TYPE_CHECKING:
    from onnx_ir import Value

    from quantize.onnx.weights import WeightGraph


class CodedPrecision(Precision):
    """uint8 codes: of the tensor's shape where a code is a byte, otherwise packed (bytes,)."""

    @abstractmethod
    def levels(self, codebook: Tensor) -> Tensor:
        """What the codes stand for, float32, ascending: (1, 2**bits), or (C, 2**bits) by channel.

        Args:
            codebook: As `encode` returns it.
        """

    def pack(self, codes: np.ndarray, shape: Shape) -> Tensor:
        """Codes (N,) uint8 of a tensor of this shape as they are stored."""
        return torch.from_numpy(pack_codes(codes, self.bits)).reshape(self.stored(shape)[1])

    def stored(self, shape: Shape) -> tuple[torch.dtype, Shape]:
        count = math.prod(shape)
        return torch.uint8, shape if self.bits == 8 else (packed_bytes(count, self.bits),)

    def _unpack(self, quantized: Codes, start: int, stop: int) -> np.ndarray:
        return unpack_codes(quantized.codes.reshape(-1).numpy(), self.bits, start, stop)

    def _unpacked(self, graph: WeightGraph, name: str, codes: Codes) -> Value:
        """The codes in ONNX, uint8 of the tensor's shape."""
        if self.bits == 8:
            return graph.stored(f"{name}/codes", codes.codes)
        return unpacked_in_onnx(graph, f"{name}/codes", codes.codes.numpy(), self.bits, codes.shape)


@dataclass(frozen=True)
class _OneCodebook(CodedPrecision):
    """One codebook for the whole tensor: what each code stands for, (2**bits,) ascending.

    Its makers in `quantize.codebooks` state the bounds.
    """

    make: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
    bits: int

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        codes, codebook = self.make(values.reshape(-1).numpy(), 2**self.bits)
        return self.pack(codes, tuple(values.shape)), torch.from_numpy(codebook)

    def decode(self, quantized: Codes) -> Tensor:
        assert quantized.codebook is not None
        codebook = quantized.codebook.numpy()
        # Torch's own memory, aligned as its kernels like it.
        values = torch.empty(quantized.shape, dtype=torch.float32)
        out = values.reshape(-1).numpy()
        # One thread of numpy does it; threads that meet after every piece are slower on a busy
        # machine.
        for part in pieces(len(out), CHUNK):
            codes = self._unpack(quantized, part.start, part.stop)
            # No code is out of range; "clip" lets numpy write straight into `out`.
            np.take(codebook, codes, out=out[part], mode="clip")
        return values

    def levels(self, codebook: Tensor) -> Tensor:
        return codebook[None]

    def codebook(self, shape: Shape) -> Shape | None:
        return (2**self.bits,)

    def onnx(self, graph: WeightGraph, name: str, codes: Codes) -> Value:
        assert codes.codebook is not None
        indices = self._unpacked(graph, name, codes)
        codebook = graph.stored(f"{name}/codebook", codes.codebook)
        return graph.node("Gather", codebook, graph.cast(indices, np.int32))


@dataclass(frozen=True)
class _ByChannel(CodedPrecision):
    """Equal steps from the lowest to the highest value of each channel, both included.

    The codebook is (C, 2), these two values. A value is off by half a step of its channel at most.
    """

    bits: int

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        table = _by_channel(values)
        codebook = torch.stack(torch.aminmax(table, dim=1), dim=1)
        lows, steps = self._lows_and_steps(codebook)
        # A constant channel has code 0 throughout.
        steps[steps == 0] = 1
        codes = np.empty(tuple(table.shape), dtype=np.uint8)
        for rows, columns in _blocks(*table.shape):
            part = table.numpy()[rows, columns].astype(np.float64)
            codes[rows, columns] = np.rint((part - lows[rows]) / steps[rows])
        return self.pack(codes.reshape(-1), tuple(values.shape)), codebook

    def decode(self, quantized: Codes) -> Tensor:
        assert quantized.codebook is not None
        lows, steps = self._lows_and_steps(quantized.codebook)
        values = torch.empty(quantized.shape, dtype=torch.float32)
        out = _by_channel(values).numpy()
        width = out.shape[1]
        for rows, columns in _blocks(*out.shape):
            # Whole rows, or a part of a single one: either way one stretch of codes.
            start = rows.start * width + columns.start
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            codes = self._unpack(quantized, start, start + math.prod(shape)).reshape(shape)
            out[rows, columns] = codes * steps[rows] + lows[rows]
        return values

    def levels(self, codebook: Tensor) -> Tensor:
        lows, steps = self._lows_and_steps(codebook)
        return torch.from_numpy(np.arange(2**self.bits) * steps + lows).float()

    def codebook(self, shape: Shape) -> Shape | None:
        return (shape[0] if shape else 1, 2)

    def onnx(self, graph: WeightGraph, name: str, codes: Codes) -> Value:
        assert codes.codebook is not None
        shape = [-1, *[1] * (len(codes.shape) - 1)] if codes.shape else []
        lows, steps = (
            torch.from_numpy(x).float().reshape(shape) for x in self._lows_and_steps(codes.codebook)
        )
        factors = graph.cast(self._unpacked(graph, name, codes), np.float32)
        scaled = graph.node("Mul", factors, graph.stored(f"{name}/steps", steps))
        return graph.node("Add", scaled, graph.stored(f"{name}/lows", lows))

    def _lows_and_steps(self, codebook: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(C, 1) each, in float64: the range of two float32 values may be no float32."""
        ends = codebook.numpy().astype(np.float64)
        return ends[:, :1], (ends[:, 1:] - ends[:, :1]) / (2**self.bits - 1)


@dataclass(frozen=True)
class _Float(Precision):
    """The values as floats; in float16 off by 2**-11 of a value, or by 2**-25, at most."""

    dtype: torch.dtype
    bits: int

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        return values.to(self.dtype), None

    def decode(self, quantized: Codes) -> Tensor:
        return quantized.codes.float()

    def stored(self, shape: Shape) -> tuple[torch.dtype, Shape]:
        return self.dtype, shape

    def codebook(self, shape: Shape) -> Shape | None:
        return None

    def onnx(self, graph: WeightGraph, name: str, codes: Codes) -> Value:
        return graph.cast(graph.stored(f"{name}/codes", codes.codes), np.float32)


def _by_channel(tensor: Tensor) -> Tensor:
    """The tensor as a table with a row an output channel."""
    return tensor.reshape(tensor.shape[0] if tensor.dim() else 1, -1)


def _blocks(rows: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Parts of a table that stay in the cache: several whole rows, or a part of one."""
    for block in pieces(rows, max(1, CHUNK // width)):
        for columns in pieces(width, CHUNK):
            yield block, columns


for _bits in (8, 6, 5, 4, 3, 2):
    register_precision(f"uniform{_bits}", _OneCodebook(encode_uniform, _bits))
    register_precision(f"quantile{_bits}", _OneCodebook(encode_quantile, _bits))
    register_precision(f"kmeans{_bits}", _OneCodebook(encode_kmeans, _bits))
    register_precision(f"channel{_bits}", _ByChannel(_bits))
register_precision("quantile1", _OneCodebook(encode_quantile, 1))
register_precision("float16", _Float(torch.float16, 16))
register_precision(FLOAT32, _Float(torch.float32, 32))
