"""A state as the tensors of a file: what stands under which name.

Tensor `t` at precision `p` stands under `t/p`, compressed under `t/p.zst`, and its codebook under
`t/codebook`; a tensor in float32 stands under `t`. So a file says itself what is stored how.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from quantize.entropy import compress_codes, decompress_codes
from quantize.errors import BundleError
from quantize.precision import (
    CODEBOOK,
    FLOAT32,
    Codes,
    Precision,
    Shape,
    check_finite,
    get_precision,
)
from quantize.state import QuantizedState

# What stands behind a tensor's name: this, or a slash and a precision; nothing in float32.
_CODEBOOK = f"/{CODEBOOK}"
_COMPRESSED = ".zst"


def to_tensors(state: QuantizedState, entropy: bool) -> dict[str, Tensor]:
    """The tensors to be stored, by name.

    Args:
        state: Of one member.
        entropy: Whether codes are compressed, where that makes them smaller.
    """
    tensors = dict(state.plain)
    for name, quantized in state.codes.items():
        place = f"{name}/{quantized.precision}"
        frame = _compressed(quantized) if entropy else None
        if frame is None:
            tensors[place] = quantized.codes
        else:
            tensors[place + _COMPRESSED] = torch.frombuffer(bytearray(frame), dtype=torch.uint8)
        if quantized.codebook is not None:
            tensors[name + _CODEBOOK] = quantized.codebook
    return tensors


def from_tensors(tensors: Mapping[str, Tensor], shapes: Mapping[str, Shape]) -> QuantizedState:
    """Inverse of `to_tensors`, checking everything.

    Args:
        tensors: By name; those of codes are not copied.
        shapes: Those that the state has to have, by name.

    Raises:
        BundleError: A tensor is missing or too many, or is not what its name and shape want.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for place, tensor in tensors.items():
        name, slash, kind = place.partition("/")
        if name not in shapes:
            raise BundleError(f"no place for tensor {place[:100]!r}")
        groups.setdefault(name, {})[slash + kind] = tensor
    codes: dict[str, Codes] = {}
    plain: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if name not in groups:
            raise BundleError(f"tensor {name} is missing")
        kind = _kind(name, groups[name])
        if kind:
            codes[name] = _codes(name, shape, kind, groups[name])
        else:
            plain[name] = _checked(name, groups[name][kind], torch.float32, shape)
    return QuantizedState(codes, plain)


def tensor_count(tensors: Mapping[str, Tensor]) -> int:
    """How many tensors a state has that is stored so."""
    return len({place.partition("/")[0] for place in tensors})


def _compressed(quantized: Codes) -> bytes | None:
    if quantized.codes.dtype != torch.uint8:
        return None
    packed = quantized.codes.reshape(-1).numpy()
    return compress_codes(packed, *_symbols(get_precision(quantized.precision), quantized.shape))


def _symbols(precision: Precision, shape: Shape) -> tuple[int, int]:
    """What entropy coding counts: bits of one, and how many a tensor of this shape has."""
    if precision.bits < 8:
        return precision.bits, math.prod(shape)
    return 8, math.prod(precision.stored(shape)[1])


def _kind(name: str, group: Mapping[str, Tensor]) -> str:
    """The one way in which a tensor is stored: what stands behind its name."""
    kinds = sorted(kind for kind in group if kind != _CODEBOOK)
    if not kinds or (kinds == [""] and _CODEBOOK in group):
        raise BundleError(f"tensor {name}: a codebook without codes")
    if len(kinds) > 1:
        raise BundleError(f"tensor {name}: stored twice, as {_say(kinds[0])} and {_say(kinds[1])}")
    return kinds[0]


def _say(kind: str) -> str:
    return repr(kind[1:50]) if kind else FLOAT32


def _codes(name: str, shape: Shape, kind: str, group: Mapping[str, Tensor]) -> Codes:
    found = kind[1:].removesuffix(_COMPRESSED)
    if found == FLOAT32:
        raise BundleError(f"tensor {name}: unknown precision {found!r} of codes")
    try:
        precision = get_precision(found)
    except BundleError as error:
        raise BundleError(f"tensor {name}: {error}") from None
    dtype, stored = precision.stored(shape)
    codes = group[kind]
    if kind.endswith(_COMPRESSED):
        codes = _decompressed(name, codes, dtype, *_symbols(precision, shape)).reshape(stored)
    return Codes(
        found,
        shape,
        _checked(name, codes, dtype, stored),
        _codebook(name, group.get(_CODEBOOK), precision.codebook(shape)),
    )


def _codebook(name: str, codebook: Tensor | None, shape: Shape | None) -> Tensor | None:
    if codebook is None and shape is None:
        return None
    if codebook is None or shape is None:
        raise BundleError(f"tensor {name}: {'no' if codebook is None else 'an unwanted'} codebook")
    return _checked(name + _CODEBOOK, codebook, torch.float32, shape)


def _decompressed(name: str, frame: Tensor, dtype: torch.dtype, bits: int, count: int) -> Tensor:
    if dtype != torch.uint8 or frame.dtype != torch.uint8 or frame.dim() != 1:
        raise BundleError(f"tensor {name}: no compressed codes")
    try:
        packed: np.ndarray = decompress_codes(frame.numpy().data, bits, count)
    except BundleError as error:
        raise BundleError(f"tensor {name}: {error}") from None
    return torch.from_numpy(packed)


def _checked(name: str, tensor: Tensor, dtype: torch.dtype, shape: Shape) -> Tensor:
    if tuple(tensor.shape) != shape:
        raise BundleError(
            f"tensor {name} has shape {list(tensor.shape)}, its configuration wants {list(shape)}"
        )
    if tensor.dtype != dtype:
        raise BundleError(f"tensor {name} is {tensor.dtype}, {dtype} is needed")
    if dtype.is_floating_point:
        check_finite(tensor, f"tensor {name}")
    return tensor
