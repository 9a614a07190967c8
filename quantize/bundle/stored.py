"""A state as the tensors of a file: what stands under which name.

Tensor `t` at precision `p` stands under `t/p`, compressed under `t/p.zst`, and its codebook under
`t/codebook`; a tensor in float32, or of integers, stands under `t`. So a file says itself what is
stored how.
"""

import math
from collections.abc import Mapping
from contextlib import suppress

import torch
from torch import Tensor

from common.problems import quoted
from quantize.entropy import claimed_bytes, compress_codes, decompress_codes
from quantize.errors import BundleError
from quantize.precision import (
    CODEBOOK,
    FLOAT32,
    INTEGERS,
    LARGEST,
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
# How many bytes compressed codes may become: in any file, and for each byte of its tensors. Those
# of trained weights become one and a half times their size, of 2 or 3 bits up to seven times.
_MAX_CODES, _MAX_CODES_SHARE = 16 * 2**20, 8


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


def from_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> QuantizedState:
    """Inverse of `to_tensors`, checking everything.

    Args:
        tensors: By name; those of codes are not copied.
        expected: Those that the state has to have, by name; on the meta device will do.

    Raises:
        BundleError: A tensor is missing or too many, or is not what its name and shape want.
    """
    groups: dict[str, dict[str, Tensor]] = {name: {} for name in expected}
    for place, tensor in tensors.items():
        name, slash, kind = place.partition("/")
        if name not in expected:
            raise BundleError(f"no place for tensor {quoted(place)}")
        groups[name][slash + kind] = tensor
    codes: dict[str, Codes] = {}
    plain: dict[str, Tensor] = {}
    for name, group in groups.items():
        shape, dtype = tuple(expected[name].shape), expected[name].dtype
        try:
            kind = _kind(group)
            if not kind:
                tensor = _checked("it", group[kind], dtype, shape)
                # Integers may be views of the file, which may go.
                plain[name] = tensor.clone() if dtype in INTEGERS else tensor
            elif dtype in INTEGERS:
                raise BundleError("codes in the place of integers")
            else:
                codes[name] = _codes(shape, kind, group)
        except BundleError as error:
            raise BundleError(f"tensor {name}: {error}") from None
    return QuantizedState(codes, plain)


def check_growth(tensors: Mapping[str, Tensor]) -> None:
    """Makes sure that compressed codes do not grow beyond what all tensors of a file allow.

    Single ones may grow more; none is decompressed here.

    Args:
        tensors: All of a file, by name.

    Raises:
        BundleError: They do.
    """
    stored = sum(tensor.nbytes for tensor in tensors.values())
    claimed = 0
    for name, tensor in tensors.items():
        if name.endswith(_COMPRESSED) and not tensor.is_floating_point():
            # What is no frame will be refused with the name of what it stands for.
            with suppress(BundleError):
                claimed += claimed_bytes(_frame(tensor))
    most = _MAX_CODES + _MAX_CODES_SHARE * stored
    if claimed > most:
        raise BundleError(
            f"compressed codes of {claimed} bytes in tensors of {stored}; {most} is the limit"
        )


def _frame(tensor: Tensor) -> memoryview:
    if tensor.dtype != torch.uint8 or tensor.dim() != 1:
        raise BundleError("no compressed codes")
    return tensor.numpy().data


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


def _kind(group: Mapping[str, Tensor]) -> str:
    """The one way in which a tensor is stored: what stands behind its name."""
    if not group:
        raise BundleError("is missing")
    kinds = sorted(kind for kind in group if kind != _CODEBOOK)
    if not kinds or (kinds == [""] and _CODEBOOK in group):
        raise BundleError("a codebook without codes")
    if len(kinds) > 1:
        raise BundleError(f"stored twice, as {_say(kinds[0])} and {_say(kinds[1])}")
    return kinds[0]


def _say(kind: str) -> str:
    return repr(kind[1:50]) if kind else FLOAT32


def _codes(shape: Shape, kind: str, group: Mapping[str, Tensor]) -> Codes:
    found = kind[1:].removesuffix(_COMPRESSED)
    if found == FLOAT32:
        raise BundleError(f"unknown precision {quoted(found)} of codes")
    precision = get_precision(found)
    dtype, stored = precision.stored(shape)
    codes = group[kind]
    if kind.endswith(_COMPRESSED):
        if dtype != torch.uint8:
            raise BundleError("no compressed codes")
        packed = decompress_codes(_frame(codes), *_symbols(precision, shape))
        codes = torch.from_numpy(packed).reshape(stored)
    codes = _checked(found, codes, dtype, stored)
    codebook, wanted = group.get(_CODEBOOK), precision.codebook(shape)
    if codebook is not None and wanted is not None:
        codebook = _checked(CODEBOOK, codebook, torch.float32, wanted)
    elif codebook is not None or wanted is not None:
        raise BundleError(f"{'no' if codebook is None else 'an unwanted'} codebook")
    return Codes(found, shape, codes, codebook)


def _checked(name: str, tensor: Tensor, dtype: torch.dtype, shape: Shape) -> Tensor:
    if tuple(tensor.shape) != shape:
        raise BundleError(
            f"{name} has shape {list(tensor.shape)}, its configuration wants {list(shape)}"
        )
    if tensor.dtype != dtype:
        raise BundleError(f"{name} has type {tensor.dtype}, {dtype} is needed")
    if dtype.is_floating_point:
        check_finite(tensor, name)
        if tensor.numel() and max(map(abs, torch.aminmax(tensor))) > LARGEST:
            raise BundleError(f"{name} has values beyond {LARGEST:g}, whose products overflow")
    return tensor
