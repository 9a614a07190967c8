"""Bundles taken apart and put together again, with whatever a maker of hostile files likes."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantize.bundle.manifest import METADATA_KEY

_METADATA = "__metadata__"


@dataclass
class Parts:
    """A safetensors file.

    Attributes:
        manifest: The JSON value under the bundle's key of the metadata.
        tensors: By name what the header says of each, and its bytes.
    """

    manifest: Any
    tensors: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "Parts":
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        manifest = json.loads(header.pop(_METADATA)[METADATA_KEY])
        body = data[8 + length :]
        tensors = {
            name: (entry, body[slice(*entry["data_offsets"])]) for name, entry in header.items()
        }
        return cls(manifest, tensors)

    def to_bytes(self) -> bytes:
        """The file, offsets and sums made to fit what there is."""
        header: dict[str, Any] = {}
        at = 0
        for name, (entry, data) in self.tensors.items():
            header[name] = {**entry, "data_offsets": [at, at + len(data)]}
            at += len(data)
        manifest = json.dumps(self.manifest)
        return with_header({_METADATA: {METADATA_KEY: manifest}, **header}, self.body())

    def body(self) -> bytes:
        return b"".join(data for _, data in self.tensors.values())


def with_header(header: Any, body: bytes) -> bytes:
    """A file of any header, which may be a text of its own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body
