"""Bundles taken apart and put together again, with whatever a maker of hostile files likes."""

import json
from dataclasses import dataclass
from typing import Any

import google_crc32c

_METADATA, _SUMS, _MANIFEST = "__metadata__", "crc32c", "onegig"
_START = f'{{"{_METADATA}":{{"{_SUMS}":"'.encode()
_DIGITS = 8
# The widest first, as the format wants it.
_WIDTHS = {"F32": 4, "F16": 2}


@dataclass
class Parts:
    """A bundle's file.

    Attributes:
        manifest: The JSON value of the metadata.
        tensors: By name what the header says of each, and its bytes.
    """

    manifest: Any
    tensors: dict[str, tuple[dict[str, Any], bytes]]

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        header, body = split(data)
        manifest = json.loads(header.pop(_METADATA)[_MANIFEST])
        tensors = {
            name: (entry, body[slice(*entry["data_offsets"])]) for name, entry in header.items()
        }
        return cls(manifest, tensors)

    def to_bytes(self) -> bytes:
        """The file, its offsets and checksums made to fit what there is."""
        names = sorted(self.tensors, key=self._place)
        parts = [self.tensors[name] for name in names]
        header: dict[str, Any] = {}
        at = 0
        for name, (entry, data) in zip(names, parts, strict=True):
            header[name] = {**entry, "data_offsets": [at, at + len(data)]}
            at += len(data)
        sums = "".join(checksum(data) for _, data in parts)
        texts = {_SUMS: "0" * _DIGITS + sums, _MANIFEST: json.dumps(self.manifest)}
        return summed({_METADATA: texts, **header}, b"".join(data for _, data in parts))

    def _place(self, name: str) -> tuple[int, str]:
        return -_WIDTHS.get(str(self.tensors[name][0].get("dtype")), 1), name


def split(data: bytes) -> tuple[Any, bytes]:
    """The header of a file, and what is behind it."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(header: Any, body: bytes) -> bytes:
    """A file of any header, which may be a text already."""
    text = header
    if not isinstance(header, bytes):
        text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def summed(header: Any, body: bytes) -> bytes:
    """The same, with the header's own checksum where there is a place for it."""
    whole = with_header(header, b"")
    place = 8 + len(_START)
    if whole[8:place] != _START:
        return whole + body
    before, after = whole[:place], whole[place + _DIGITS :]
    return before + checksum(before, after).encode() + after + body


def checksum(*parts: bytes) -> str:
    value = 0
    for part in parts:
        value = google_crc32c.extend(value, part)
    return f"{value:0{_DIGITS}x}"
