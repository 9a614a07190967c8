"""Entropy coding of codes: zstandard, of which Huffman's codes do the work.

Codes of weights have no repetitions, but those around zero are more frequent than those at the ends
of the range. Level 1 comes within one percent of their entropy; higher levels look for repetitions,
take long, and win nothing.
"""

import numpy as np
import zstandard

from common.problems import one_line
from quantize.codebooks import CHUNK, pieces
from quantize.errors import BundleError
from quantize.packing import pack_codes, packed_bytes, unpack_codes

# A reader takes no frame that grows more, so that a small file cannot ask for much memory.
MAX_GROWTH = 32
_LEVEL = 1


def compress_codes(packed: np.ndarray, bits: int, count: int) -> bytes | None:
    """One frame with its checksum, the same for the same codes.

    Args:
        packed: (bytes,) uint8, as `pack_codes` leaves them.
        bits: Of a code.
        count: How many codes there are.

    Returns:
        None where that would win nothing, or grow more than a reader takes.
    """
    symbols = _symbols(packed, *_symbol(bits, count))
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    frame = compressor.compress(symbols.data)
    grows = len(symbols) > MAX_GROWTH * len(frame)
    return None if grows or len(frame) >= len(packed) else frame


def claimed_bytes(frame: bytes | memoryview) -> int:
    """How many bytes a frame says that it becomes; nothing is spent on it.

    Raises:
        BundleError: It is no frame.
    """
    try:
        return zstandard.get_frame_parameters(frame).content_size
    except zstandard.ZstdError as error:
        raise BundleError(f"compressed codes are damaged: {one_line(error)[:200]}") from None


def decompress_codes(frame: bytes | memoryview, bits: int, count: int) -> np.ndarray:
    """The packed codes of a frame, every claim of which is checked.

    Args:
        frame: What `compress_codes` returned.
        bits: Of a code.
        count: How many codes there have to be; memory is spent on as many, and only if the frame is
            not far too small for them.

    Raises:
        BundleError: The frame is damaged, cut short or too long, or holds another number.
    """
    width, size = _symbol(bits, count)
    claimed = claimed_bytes(frame)
    try:
        if claimed != size:
            raise BundleError(f"compressed codes of {claimed} bytes, {size} are needed")
        if size > MAX_GROWTH * len(frame):
            raise BundleError(f"compressed codes grow to more than {MAX_GROWTH} times their size")
        data = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BundleError(f"compressed codes are damaged: {one_line(error)[:200]}") from None
    if width == 8:
        # Torch wants memory that it could write to.
        return np.frombuffer(bytearray(data), dtype=np.uint8)
    symbols = np.frombuffer(data, dtype=np.uint8)
    if symbols.size and symbols.max() >= 2**width:
        raise BundleError(f"compressed codes need more than {width} bits")
    return pack_codes(symbols, width)[: packed_bytes(count, bits)]


def _symbol(bits: int, count: int) -> tuple[int, int]:
    """Bits of what is counted, and how many there are of it: as many codes as fill a byte best.

    A symbol takes a bit at least, and a code of few bits is worth less.
    """
    codes = 8 // bits
    if codes * bits == 8:
        return 8, packed_bytes(count, bits)
    return codes * bits, -(-count // codes)


def _symbols(packed: np.ndarray, width: int, count: int) -> np.ndarray:
    if width == 8:
        return packed
    symbols = np.empty(count, dtype=np.uint8)
    for part in pieces(count, CHUNK):
        symbols[part] = unpack_codes(packed, width, part.start, part.stop)
    return symbols
