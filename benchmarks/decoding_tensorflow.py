"""The tf.data side of `benchmarks.decoding`: a process that prints its seconds as JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import tensorflow as tf


def _parse(record: Any) -> tuple[Any, Any, Any, Any]:
    context, lists = tf.io.parse_single_sequence_example(
        record,
        context_features={
            "id": tf.io.FixedLenFeature([], tf.string),
            "labels": tf.io.VarLenFeature(tf.int64),
        },
        sequence_features={
            "rgb": tf.io.FixedLenSequenceFeature([], tf.string),
            "audio": tf.io.FixedLenSequenceFeature([], tf.string),
        },
    )
    rgb = tf.io.decode_raw(lists["rgb"], tf.uint8, fixed_length=1024)
    audio = tf.io.decode_raw(lists["audio"], tf.uint8, fixed_length=128)
    return context["id"], context["labels"].values, rgb, audio


def seconds(shard: Path, repeats: int) -> float:
    """The best time of several passes over one shard, parsing in parallel."""
    dataset = (
        tf.data.TFRecordDataset(str(shard))
        .map(_parse, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _clip in dataset:
            pass
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    print(json.dumps({"seconds": seconds(Path(sys.argv[1]), int(sys.argv[2]))}))
