"""Shards to batches: TFRecord files, examples, schemas, splits."""

from __future__ import annotations

from records.batches import Batch, FrameSampling, iterate_batches, num_batches
from records.clip_reader import ClipReader
from records.demo.synthesize import generate
from records.demo.world import DemoSpec
from records.errors import DataError
from records.schema import Schema, Stream, dequantize, load_schema, with_vocabulary
from records.splits import (
    Split,
    SplitSpec,
    Truth,
    check_disjoint,
    id_hash,
    open_split,
    read_truth,
    with_frames,
)
from records.tfrecord.encoding import encode_clip
from records.tfrecord.example import Clip, parse_clip
from records.tfrecord.framing import RecordWriter, read_records, scan, write_shards

__all__ = [
    "Batch",
    "Clip",
    "ClipReader",
    "DataError",
    "DemoSpec",
    "FrameSampling",
    "RecordWriter",
    "Schema",
    "Split",
    "SplitSpec",
    "Stream",
    "Truth",
    "check_disjoint",
    "dequantize",
    "encode_clip",
    "generate",
    "id_hash",
    "iterate_batches",
    "load_schema",
    "num_batches",
    "open_split",
    "parse_clip",
    "read_records",
    "read_truth",
    "scan",
    "with_frames",
    "with_vocabulary",
    "write_shards",
]
