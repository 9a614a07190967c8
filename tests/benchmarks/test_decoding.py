from __future__ import annotations

from pathlib import Path

from benchmarks import decoding
from benchmarks.generated import generate_clips, generate_split
from records import load_schema


def test_readers_hand_out_the_same_values(tmp_path: Path) -> None:
    schema = load_schema("yt8m_frame")
    clips = list(generate_clips(schema, 3, (2, 5)))
    (shard,) = generate_split(tmp_path, schema, 3, (2, 5)).shards
    values = sum(frames.size for clip in clips for frames in clip.features.values())
    assert decoding._decode(shard, schema) == values
    assert decoding._decode_with_tfrecord(shard) == values


def test_measure_reports_a_ratio_for_each_rival() -> None:
    figures = decoding.measure(clips=2, repeats=1)
    assert figures["clips"] == 2
    assert figures["ratio"]["tfrecord"] > 0
    assert figures["clips_per_second"].keys() == {"onegig", "tfrecord", "tf.data"}
