"""A bundle proves itself: no bit of it can be another without a word."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from quantize import Bundle, BundleError

FIXTURE = Path(__file__).parent / "fixtures" / "bundle-v3.safetensors"
PLACES = 1_000


def refusal(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and said.isprintable() and len(said) < len(str(path)) + 400
    return said.removeprefix(f"{path}: ")


def test_every_flipped_bit_is_refused_by_name(tmp_path: Path) -> None:
    content = bytearray(FIXTURE.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    generator = random.Random(20)
    # All of what is before the checksums, whose bits decide how the rest is read.
    places = [*range(8 * 40), *(generator.randrange(8 * len(content)) for _ in range(PLACES))]
    # The spaces at the end of the header count, too.
    places += range(8 * (header - 40), 8 * header, 3)
    assert content[header - 40 : header].isspace()
    path = tmp_path / "bundle"
    for place in places:
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        said = refusal(path)
        assert ("header" if place < 8 * header else "tensor '") in said, (place, said)
        content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    Bundle.load(path)


def test_a_stretch_of_other_bytes_is_refused(tmp_path: Path) -> None:
    content = bytearray(FIXTURE.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    path = tmp_path / "bundle"
    for begin, end in ((header + 100, header + 1_300), (header - 500, header + 500), (200, 900)):
        other = bytes(255 - byte for byte in content[begin:end])
        path.write_bytes(content[:begin] + other + content[end:])
        assert "is damaged" in refusal(path)


def test_version_3_needs_a_checksum_for_each_tensor_where_they_are_looked_for(
    tmp_path: Path,
) -> None:
    content = FIXTURE.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
    checksums = header["__metadata__"].pop("crc32c")
    path = tmp_path / "bundle"

    def write(metadata: dict[str, str]) -> None:
        text = json.dumps(header | {"__metadata__": metadata}, separators=(",", ":")).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)

    write(header["__metadata__"])
    assert "format version 3 without checksums" in refusal(path)
    write({**header["__metadata__"], "crc32c": checksums})
    assert "it needs a checksum for every tensor" in refusal(path)
    write({"crc32c": checksums, **header["__metadata__"]})
    assert "its header is damaged" in refusal(path), "it is in another order now"
