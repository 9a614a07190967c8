"""TFRecord files of serialized examples, as a format of data."""

from __future__ import annotations

from pathlib import Path

from records.clip import Clip
from records.formats import Listing, ShardFile, register_format
from records.schema import Schema
from records.tfrecord.example import parse_clip
from records.tfrecord.framing import open_file, read_record, scan


@register_format("tfrecord", suffixes=(".tfrecord", ".tfrecords", ".tfrec"))
class TFRecordFile(ShardFile):
    """A file of ``tf.SequenceExample`` (frame level) or ``tf.Example`` (video level).

    A position is the byte at which a record's header starts, a length that of its data.
    """

    unit = "byte"

    def __init__(self, path: Path, schema: Schema) -> None:
        super().__init__(path, schema)
        self._file = open_file(path)

    def list_records(self) -> Listing:
        return scan(self.path)

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        record = read_record(self._file.fileno(), position, length)
        return parse_clip(record, self.schema, with_features)

    read = clip

    def close(self) -> None:
        self._file.close()
