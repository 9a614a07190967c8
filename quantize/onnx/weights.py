"""Stored tensors as part of an ONNX graph: codes as they are in the bundle, and what decodes them.

All of it depends on nothing but constants, so that onnxruntime works it out once, when it loads the
file (tensors of more than 2**28 values if it is told to): it then runs on float32 weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from quantize.precision import PRECISIONS, Codes


class WeightNodes:
    """Adds weights to a graph.

    Args:
        graph: Whose nodes use them; not empty.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._first = graph[0]

    def plain(self, name: str, tensor: Tensor) -> ir.Value:
        """A tensor as it is."""
        stored = ir.tensor(tensor.numpy(), name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(tensor.shape),
            type=ir.TensorType(stored.dtype),
            const_value=stored,
        )
        self._graph.register_initializer(value)
        return value

    def coded(self, name: str, codes: Codes) -> ir.Value:
        """The float32 tensor that codes stand for; those of a byte or more keep its shape."""
        bits = PRECISIONS[codes.precision].bits
        if bits < 8:
            stored = self._unpacked(f"{name}/codes", codes, bits)
        else:
            stored = self.plain(f"{name}/codes", codes.codes)
        if codes.codebook is None:
            weight = self._cast(stored, ir.DataType.FLOAT)
        elif codes.codebook.dim() == 1:
            codebook = self.plain(f"{name}/codebook", codes.codebook)
            weight = self._node("Gather", [codebook, self._cast(stored, ir.DataType.INT32)])
        else:
            weight = self._by_channel(name, stored, codes, 2**bits - 1)
        weight.name = name
        weight.shape, weight.type = ir.Shape(codes.shape), ir.TensorType(ir.DataType.FLOAT)
        return weight

    def _by_channel(self, name: str, stored: ir.Value, codes: Codes, steps: int) -> ir.Value:
        """low + code * step, both of the channel's own."""
        assert codes.codebook is not None
        # In float64: the range of two float32 values may be no float32.
        low, high = codes.codebook.double().unbind(dim=1)
        shape = [-1, *[1] * (len(codes.shape) - 1)] if codes.shape else []
        lows, sizes = (x.float().reshape(shape) for x in (low, (high - low) / steps))
        scaled = self._node(
            "Mul", [self._cast(stored, ir.DataType.FLOAT), self.plain(f"{name}/steps", sizes)]
        )
        return self._node("Add", [scaled, self.plain(f"{name}/lows", lows)])

    def _unpacked(self, name: str, codes: Codes, bits: int) -> ir.Value:
        """Codes of four to six bits, of which eight fill as many bytes as one has bits.

        A code lies in one byte or in two neighbours: the first shifted down and the second shifted
        up, it stands in the lowest bits of their union.
        """
        count = math.prod(codes.shape)
        octets = -(-count // 8)
        held = np.zeros(octets * bits, dtype=np.uint8)
        held[: codes.codes.numel()] = codes.codes.numpy()
        table = self.plain(name, torch.from_numpy(held).reshape(octets, bits))
        starts = np.arange(8) * bits
        first, offset = starts // 8, starts % 8
        # Shifted up by 7, a byte leaves nothing among the lowest six bits: a code that lies in one
        # byte stays alone.
        parts = (
            (first, "RIGHT", offset),
            (np.minimum(first + 1, bits - 1), "LEFT", np.minimum(8 - offset, 7)),
        )
        low, high = (
            self._node(
                "BitShift",
                [
                    self._node("Gather", [table, self._constant(places)], axis=1),
                    self._constant(shifts.astype(np.uint8)),
                ],
                direction=direction,
            )
            for places, direction, shifts in parts
        )
        lowest = self._constant(np.array(2**bits - 1, dtype=np.uint8))
        union = self._node("BitwiseOr", [low, high])
        flat = self._node(
            "Reshape",
            [self._node("BitwiseAnd", [union, lowest]), self._constant(np.array([-1]))],
        )
        ends = (self._constant(np.array([end])) for end in (0, count))
        shape = self._constant(np.array(codes.shape, dtype=np.int64))
        return self._node("Reshape", [self._node("Slice", [flat, *ends]), shape])

    def _cast(self, value: ir.Value, to: ir.DataType) -> ir.Value:
        return self._node("Cast", [value], to=to)

    def _constant(self, values: np.ndarray) -> ir.Value:
        return self._node("Constant", [], value=ir.tensor(values))

    def _node(self, operator: str, inputs: Sequence[ir.Value], **attributes: Any) -> ir.Value:
        node = ir.node(operator, inputs, attributes)
        self._graph.insert_before(self._first, node)
        return node.outputs[0]
