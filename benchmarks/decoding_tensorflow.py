"""The tf.data side of `benchmarks.decoding`: a process that prints its best seconds a pass."""

from __future__ import annotations

import sys
from collections import deque
from functools import partial
from typing import Any

import tensorflow as tf

from benchmarks.harness import best_times


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


def main() -> None:
    """Parses the shard in parallel, as often as it is told."""
    shard, repeats = sys.argv[1:]
    dataset = (
        tf.data.TFRecordDataset(shard)
        .map(_parse, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    one_pass: partial[Any] = partial(deque, dataset, maxlen=0)
    print(best_times({"tf.data": one_pass}, int(repeats))["tf.data"])


if __name__ == "__main__":
    main()
