"""Compressed codes: every claim of a frame is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from torch import Tensor

from quantize import Bundle, BundleError, BundleMember, QuantizedState, write_bundle
from quantize.bundle.container import read_container, write_container
from quantize.entropy import compress_codes, decompress_codes
from quantize.packing import pack_codes
from records import Schema
from tests.quantize.bundle.changed import CODES, refused, rewritten

MakeMember = Callable[..., BundleMember]


def compressed(data: bytes, **options: Any) -> Tensor:
    frame = zstandard.ZstdCompressor(**options).compress(data)
    return torch.frombuffer(bytearray(frame), dtype=torch.uint8)


# As many codes as the tensor has, so even that they are stored in a fraction of the bytes.
FRAME = compressed(bytes(range(16)) * 17)


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (FRAME[:-1], "damaged"),
        (torch.cat([FRAME, FRAME[:1]]), "damaged"),
        (torch.cat([FRAME, FRAME]), "damaged"),
        (FRAME[:3], "damaged"),
        (torch.zeros(0, dtype=torch.uint8), "damaged"),
        (torch.zeros(40, dtype=torch.uint8), "damaged"),
        (FRAME.reshape(1, -1), "no compressed codes"),
        (compressed(bytes(16 * 17 - 1)), "codes of 271 bytes, 272 are needed"),
        (compressed(bytes(2**30)), "codes of 1073741824 bytes in tensors"),
        (
            compressed(bytes(16 * 17), write_content_size=False),
            "codes of 18446744073709551615 bytes",
        ),
    ],
)
def test_compressed_codes_are_not_believed(
    tmp_path: Path, schema: Schema, make_member: MakeMember, frame: Tensor, match: str
) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors[CODES]
        tensors[f"{CODES}.zst"] = frame

    refused(rewritten(tmp_path, schema, [make_member()], tensors=change), match)


def test_a_frame_with_a_byte_changed_is_refused(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    member = make_member()
    name = "hidden.0.layers.0.weight"
    entry = member.state.codes[name]
    even = dataclasses.replace(entry, codes=(torch.arange(16 * 17) % 16).byte().reshape(16, 17))
    codes = {**member.state.codes, name: even}
    state = QuantizedState(codes, member.state.plain)
    path = tmp_path / "b"
    member = dataclasses.replace(member, state=state)
    write_bundle(path, schema, [member], {}, entropy=True)
    assert any(key.endswith(".zst") for key in read_container(path).tensors)
    Bundle.load(path)
    container = read_container(path)
    frame = container.tensors[f"{CODES}.zst"].clone()
    for place in range(1, 12):
        changed = frame.clone()
        changed[-place] ^= 1
        # With the checksum of what it is now.
        tensors = {**container.tensors, f"{CODES}.zst": changed}
        write_container(tmp_path / "changed", container.metadata, tensors)
        refused(tmp_path / "changed", "compressed codes")


def test_a_small_file_cannot_ask_for_much_memory() -> None:
    zeros = np.zeros(2**20, dtype=np.uint8)
    assert compress_codes(zeros, 8, len(zeros)) is None, "a reader would not take it"
    with pytest.raises(BundleError, match="more than 32 times"):
        decompress_codes(zstandard.compress(zeros.tobytes()), 8, len(zeros))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("count", [5_000, 5_001, 5_003])
def test_codes_come_back_from_about_their_entropy(bits: int, count: int) -> None:
    generator = np.random.default_rng(0)
    drawn = generator.normal(2 ** (bits - 1) - 0.5, 2**bits / 12, count)
    codes = np.clip(np.rint(drawn), 0, 2**bits - 1).astype(np.uint8)
    packed = pack_codes(codes, bits)
    frame = compress_codes(packed, bits, count)
    assert frame is not None
    assert decompress_codes(frame, bits, count).tobytes() == packed.tobytes()
    shares = np.unique(codes, return_counts=True)[1] / count
    entropy = -(shares * np.log2(shares)).sum()
    # Of so few codes, the table of Huffman's is a part.
    assert 8 * len(frame) < 1.15 * count * entropy + 1_500
