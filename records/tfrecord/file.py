"""TFRecord files of serialized examples, as a format of data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from records.clip import Clip
from records.formats import Listing, ShardFile, register_format
from records.schema import Schema
from records.tfrecord.example import parse_clip, parse_id_and_labels
from records.tfrecord.framing import open_file, read_record, scan


@register_format("tfrecord", suffixes=(".tfrecord", ".tfrecords", ".tfrec"))
class TFRecordFile(ShardFile):
    """A file of ``tf.SequenceExample`` (frame level) or ``tf.Example`` (video level).

    A position is the byte at which a record's header starts, a length that of its data.
    """

    unit = "byte"

    def __init__(self, path: Path, schema: Schema) -> None:
        super().__init__(path, schema)
        self._descriptor = open_file(path)

    def list_records(self) -> Listing:
        return scan(self.path)

    def read(self, position: int, length: int) -> Clip:
        return parse_clip(read_record(self._descriptor, position, length), self.schema)

    clip = read  # `parse_clip` holds it against the schema.

    def id_and_labels(self, position: int, length: int) -> tuple[str, NDArray[np.int64]]:
        return parse_id_and_labels(read_record(self._descriptor, position, length), self.schema)

    def close(self) -> None:
        os.close(self._descriptor)
