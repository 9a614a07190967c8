"""Shards to batches: formats of files, schemas, splits."""

from typing import TYPE_CHECKING

from common.on_demand import exports_of

if TYPE_CHECKING:
    from records.arrow.datasets import DatasetFile
    from records.arrow.parquet import ParquetFile
    from records.batches import Batch, FrameSampling, collate, iterate_batches
    from records.census import check_census, check_ids
    from records.clip import Clip
    from records.config import SplitSpec, id_number
    from records.demo.synthesize import generate
    from records.demo.world import DemoSpec
    from records.errors import DataError
    from records.formats import Listing, ShardFile, register_format
    from records.numpy.shards import NumpyShard
    from records.schema import Schema, Stream, load_schema, with_vocabulary
    from records.splits import Split, check_disjoint, open_split, read_truth, with_frames
    from records.tfrecord.example import TFRecordFile, encode_clip
    from records.tfrecord.framing import write_shards
else:
    __getattr__ = exports_of(__name__, __file__)

__all__ = [
    "Batch",
    "Clip",
    "DataError",
    "DatasetFile",
    "DemoSpec",
    "FrameSampling",
    "Listing",
    "NumpyShard",
    "ParquetFile",
    "Schema",
    "ShardFile",
    "Split",
    "SplitSpec",
    "Stream",
    "TFRecordFile",
    "check_census",
    "check_disjoint",
    "check_ids",
    "collate",
    "encode_clip",
    "generate",
    "id_number",
    "iterate_batches",
    "load_schema",
    "open_split",
    "read_truth",
    "register_format",
    "with_frames",
    "with_vocabulary",
    "write_shards",
]
