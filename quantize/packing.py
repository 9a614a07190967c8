"""Codes of fewer than eight bits, one behind the other without a gap.

Code number n takes the bits from n x bits on, the lowest first, in bytes whose lowest bit comes
first: eight codes fill as many bytes as a code has bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from quantize.codebooks import CHUNK, pieces

if TYPE_CHECKING:
    from onnx_ir import Value

    from quantize.onnx.weights import WeightGraph


def packed_bytes(count: int, bits: int) -> int:
    """How many bytes `count` codes take.

    Example:
        >>> packed_bytes(3, 6), packed_bytes(8, 5)
        (3, 5)
    """
    return -(-count * bits // 8)


def pack_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Packs codes.

    Args:
        codes: (N,) uint8, each below 2**bits.
        bits: Of a code, 1 to 8.

    Returns:
        uint8, `packed_bytes(N, bits)` of them.
    """
    if bits == 8:
        return codes
    packed = np.empty(packed_bytes(len(codes), bits), dtype=np.uint8)
    for part in pieces(len(codes), CHUNK):
        octets = _filled_up(codes[part], -(-len(codes[part]) // 8), 8)
        words = np.zeros(len(octets), dtype="<u8")
        for place in range(8):
            words |= octets[:, place].astype("<u8") << np.uint64(place * bits)
        filled = words.view(np.uint8).reshape(-1, 8)[:, :bits].reshape(-1)
        begin = part.start * bits // 8
        packed[begin : begin + len(filled)] = filled[: len(packed) - begin]
    return packed


def unpack_codes(packed: np.ndarray, bits: int, start: int, stop: int) -> np.ndarray:
    """The codes from the code `start` up to `stop`: (stop - start,) uint8.

    Takes several times their size in memory, so a large tensor is to be unpacked piece by piece.
    """
    if bits == 8:
        return packed[start:stop]
    first = start // 8
    count = -(-stop // 8) - first
    octets = np.zeros((count, 8), dtype=np.uint8)
    octets[:, :bits] = _filled_up(packed[first * bits : (first + count) * bits], count, bits)
    words = octets.view("<u8").reshape(-1)
    codes = np.empty((count, 8), dtype=np.uint8)
    mask = np.uint64(2**bits - 1)
    for place in range(8):
        codes[:, place] = (words >> np.uint64(place * bits)) & mask
    return codes.reshape(-1)[start - 8 * first : stop - 8 * first]


def _filled_up(values: np.ndarray, rows: int, width: int) -> np.ndarray:
    """The values as a table (rows, width), with zeros behind them."""
    table = np.zeros((rows, width), dtype=np.uint8)
    table.reshape(-1)[: len(values)] = values
    return table


def unpacked_in_onnx(
    graph: WeightGraph, name: str, packed: np.ndarray, bits: int, shape: tuple[int, ...]
) -> Value:
    """Codes of one to six bits as ONNX unpacks them: uint8 of this shape.

    A code lies in one byte or in two neighbours: the first shifted down and the second shifted up,
    it stands in the lowest bits of their union.

    Args:
        graph: Takes the nodes.
        name: For the packed codes.
        packed: What `pack_codes` returned.
        bits: Of a code.
        shape: Of the tensor.
    """
    count = math.prod(shape)
    octets = -(-count // 8)
    table = graph.stored(name, torch.from_numpy(_filled_up(packed, octets, bits)))
    starts = np.arange(8) * bits
    first, offset = starts // 8, starts % 8
    # Shifted up by 7, a byte leaves nothing among the lowest six bits: a code that lies in one
    # byte stays alone.
    parts = (
        (first, "RIGHT", offset),
        (np.minimum(first + 1, bits - 1), "LEFT", np.minimum(8 - offset, 7)),
    )
    low, high = (
        graph.node(
            "BitShift",
            graph.node("Gather", table, places, axis=1),
            shifts.astype(np.uint8),
            direction=direction,
        )
        for places, direction, shifts in parts
    )
    union = graph.node("BitwiseOr", low, high)
    codes = graph.node("BitwiseAnd", union, np.array(2**bits - 1, dtype=np.uint8))
    flat = graph.node("Reshape", codes, np.array([-1]))
    flat = graph.node("Slice", flat, np.array([0]), np.array([count]))
    return graph.node("Reshape", flat, np.array(shape, dtype=np.int64))
