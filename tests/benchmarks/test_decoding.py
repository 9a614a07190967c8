from __future__ import annotations

from pathlib import Path

from benchmarks import decoding
from records import encode_clip, load_schema, write_shards


def test_readers_hand_out_the_same_values(tmp_path: Path) -> None:
    schema = load_schema("yt8m_frame")
    clips = list(decoding._generate(3, schema))
    (shard,) = write_shards(tmp_path, "x", (encode_clip(clip, schema) for clip in clips))
    values = sum(frames.size for clip in clips for frames in clip.features.values())
    assert decoding._decode(shard, schema) == values
    assert decoding._decode_with_tfrecord(shard) == values


def test_measure_reports_a_ratio_for_each_rival() -> None:
    figures = decoding.measure(clips=2, repeats=1)
    assert figures["clips"] == 2
    assert figures["ratio"]["tfrecord"] > 0
    assert figures["clips_per_second"].keys() == {"onegig", "tfrecord", "tf.data"}
