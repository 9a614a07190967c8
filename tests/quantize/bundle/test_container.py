"""The file format: equal to safetensors' own reading, and every lie of a header is refused."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from common.tensors import MAX_HEADER
from quantize.bundle.container import read_container, write_container
from quantize.errors import BundleError

TENSORS = {
    "b/codes": torch.arange(7, dtype=torch.uint8).reshape(7, 1),
    "a/small": torch.randn(3, 2),
    "c/scalar": torch.tensor(2.5),
    "d/empty": torch.zeros(0, 4),
    "e/half": torch.randn(3).half(),
}


def raw(path: Path, header: Any, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        read_container(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert str(caught.value).startswith(str(path))


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    size = write_container(path, {"key": "text “with” quotes"}, TENSORS, slack=3)
    read = load_file(path)
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(read[name], tensor)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        assert len(metadata.pop("crc32c")) == 8 * (1 + len(TENSORS))
        assert metadata == {"key": "text “with” quotes"}
    assert path.stat().st_size == size


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_file(TENSORS, path, metadata={"key": "value"})
    container = read_container(path)
    assert container.metadata == {"key": "value"}
    for name, tensor in TENSORS.items():
        assert torch.equal(container.tensors[name], tensor)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_codes_are_mapped_and_not_copied(tmp_path: Path) -> None:
    """Also under a name that is written to, which leaves the file as it is."""
    path = tmp_path / "file.safetensors"
    write_container(path, {}, TENSORS)
    before = path.read_bytes()
    codes = read_container(path).tensors["b/codes"]
    maps = Path("/proc/self/maps").read_text().splitlines()
    (place,) = (line.split()[0] for line in maps if line.endswith(str(path)))
    low, high = (int(end, 16) for end in place.split("-"))
    assert low <= codes.data_ptr() < high
    codes[0] = 77
    assert path.read_bytes() == before


def test_a_float_at_an_odd_address_is_read(tmp_path: Path) -> None:
    header = {
        "codes": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "value": {"dtype": "F32", "shape": [2], "data_offsets": [3, 11]},
        "half": {"dtype": "F16", "shape": [1], "data_offsets": [11, 13]},
    }
    body = b"\x01\x02\x03" + struct.pack("<2fe", 1.5, -2.0, 0.25)
    container = read_container(raw(tmp_path / "file", header, body))
    assert container.tensors["value"].tolist() == [1.5, -2.0]
    assert container.tensors["half"].tolist() == [0.25]
    assert container.tensors["codes"].tolist() == [1, 2, 3]


def test_no_tensors_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_container(path, {"key": "value"}, {})
    assert read_container(path).tensors == {}


def entry(dtype: Any = "U8", shape: Any = (4,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BODY = b"\0" * 8
WHOLE = json.dumps(entry(shape=[8], offsets=[0, 8]))
HOSTILE: dict[str, tuple[Any, str]] = {
    "not JSON": (b"{", "invalid JSON"),
    "not UTF-8": (b'{"\xff": 1}', "invalid UTF-8"),
    "deep": (b"[" * 100_000, "invalid JSON"),
    "long number": (b'{"a": ' + b"9" * 10_000 + b"}", "number out of range"),
    "NaN": (b'{"a": NaN}', "invalid JSON"),
    "a key twice": (b'{"a": {}, "a": {}}', "missing field"),
    "a tensor twice": (f'{{"a": {WHOLE}, "a": {WHOLE}}}'.encode(), "a key stands twice"),
    "a text twice": (
        f'{{"__metadata__": {{"b": "1", "b": "2"}}, "a": {WHOLE}}}'.encode(),
        "a key stands twice",
    ),
    "a list": (b"[]", "invalid type: sequence"),
    "a tensor that is none": ({"a": 3}, "invalid type: integer `3`"),
    "a tensor that is a list": ({"a": ["U8", [8], [0, 8]]}, "needs dtype"),
    "a field too many": ({"a": {**entry(shape=[8], offsets=[0, 8]), "extra": 1}}, "nothing else"),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, "expected a string"),
    "metadata that is a list": ({"__metadata__": []}, "expected a map"),
    "unknown dtype": ({"a": entry("F65")}, "unknown variant `F65`"),
    "another dtype": ({"a": entry("F64", [1], [0, 8])}, "F32, F16, U8, I16, I32 are known"),
    "dtype of another type": ({"a": entry(["U8"])}, "invalid type: sequence"),
    "negative size": ({"a": entry(shape=[-4])}, "expected usize"),
    "size that is a boolean": ({"a": entry(shape=[True, 4])}, "expected usize"),
    "size that is a float": ({"a": entry(shape=[4.0])}, "expected usize"),
    "huge size": ({"a": entry(shape=[2**62, 2**62, 0])}, "shape"),
    "many dimensions": ({"a": entry(shape=[1] * 1000)}, "shape"),
    "many dimensions that fit": ({"a": entry(shape=[8] + [1] * 8, offsets=[0, 8])}, "dimensions"),
    "falling offsets": ({"a": entry(offsets=[4, 0])}, "invalid offset for tensor `a`"),
    "three offsets": ({"a": entry(offsets=[0, 4, 8])}, "expected 2 elements"),
    "shape larger than the place": ({"a": entry(shape=[5])}, "invalid shape"),
    "dtype wider than the place": ({"a": entry("F32")}, "invalid shape, data type"),
    "beyond the file": ({"a": entry(shape=[2**40], offsets=[0, 2**40])}, "not fully covered"),
    "short of the file": ({"a": entry()}, "not fully covered"),
    "overlap": ({"a": entry(), "b": entry(offsets=[3, 7])}, "invalid offset for tensor `b`"),
    "same place": ({"a": entry(), "b": entry()}, "invalid offset for tensor"),
    "hole": ({"a": entry(shape=[3], offsets=[0, 3]), "b": entry(offsets=[4, 8])}, "tensor `b`"),
    "hole in front": ({"a": entry(offsets=[4, 8])}, "invalid offset for tensor `a`"),
    "a name for the terminal": ({"\x1b[2J\n" * 9_999: entry(offsets=[4, 8])}, "invalid offset"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_lying_header_is_refused(tmp_path: Path, case: str) -> None:
    header, match = HOSTILE[case]
    refused(raw(tmp_path / "file", header, BODY), match)


@pytest.mark.parametrize("length", [17, 2**24, 2**31, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(struct.pack("<Q", length) + b"{}" + b" " * 14)
    refused(path, "invalid header length|claims a header of")


def test_a_header_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MAX_HEADER + 1))
        file.truncate(2**32)
    refused(path, "is the limit")
    with pytest.raises(BundleError, match="is the limit"):
        write_container(tmp_path / "new", {"key": "x" * MAX_HEADER}, {})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_file_too_short_for_a_length_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"\0" * size)
    refused(tmp_path / "file", "header too small")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "missing", "No such file")
    refused(tmp_path, "cannot be read")


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_change_of_a_byte_does_more_than_refuse(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "file"
    write_container(path, {"key": "value"}, TENSORS)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        container = read_container(path)
    except BundleError as error:
        assert "\n" not in str(error)
    else:
        held = sum(t.numel() * t.element_size() for t in container.tensors.values())
        assert held <= path.stat().st_size
