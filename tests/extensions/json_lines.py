"""A format of data from one file: text files with a clip on each line.

{"id": "a", "labels": [3], "rgb": [[0, 255], [1, 2]]}
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from common.codec import parse_json
from records import Clip, DataError, Listing, Schema, ShardFile, register_format


@register_format("json_lines", suffixes=(".jsonl",))
class JsonLines(ShardFile):
    """A position is the number of a line, from 0; a length its bytes."""

    unit = "line"

    def __init__(self, path: Path, schema: Schema) -> None:
        super().__init__(path, schema)
        self._lines = path.read_bytes().splitlines()

    def list_records(self) -> Listing:
        lengths = [len(line) for line in self._lines]
        checksums = [zlib.crc32(line) for line in self._lines]
        return Listing(
            np.arange(len(lengths), dtype=np.uint64),
            np.array(lengths, np.uint32),
            np.array(checksums, np.uint32),
        )

    def read(self, position: int, length: int) -> Clip:
        record = parse_json(self._lines[position], "", DataError)
        try:
            features = {s.name: np.array(record[s.name], s.encoding) for s in self.schema.streams}
            return Clip(record["id"], np.array(record["labels"], np.int64), features)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"not a clip: {error!r}") from None
