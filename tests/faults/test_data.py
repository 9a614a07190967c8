"""Data that looks right: said or refused, through the command line, before a training begins."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from records import Clip, DemoSpec, encode_clip, generate, write_shards
from records.tfrecord.framing import HEADER_BYTES, masked_crc
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import Line, means_line, write_schema


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A finished run on means. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


def on_copy(line: Line, folder: Path) -> Line:
    """The finished run on a copy of its data."""
    shutil.copytree(line.data, folder / "data")
    return dataclasses.replace(line.copy(folder), data=folder / "data")


def rewrite(line: Line, change: Callable[[Clip], Clip], split: str = "train") -> None:
    """Writes a split's clips again, each changed."""
    seed = ("train", "search", "report", "test").index(split)
    count = len(list(line.data.glob(f"{split}-*"))) * 40
    clips = map(change, make_clips(SMALL_MEANS, count, seed))
    write_shards(line.data, split, [encode_clip(clip, SMALL_MEANS) for clip in clips], 40)


def multi_hot(clip: Clip) -> Clip:
    vector = np.isin(np.arange(SMALL_MEANS.num_labels), clip.labels)
    return dataclasses.replace(clip, labels=vector.astype(np.int64))


def always_the_same(clip: Clip) -> Clip:
    return dataclasses.replace(clip, labels=np.array([2, 5]))


def unlabeled(clip: Clip) -> Clip:
    return dataclasses.replace(clip, labels=np.array([], np.int64))


@pytest.mark.parametrize(
    ("change", "split", "said"),
    [
        (multi_hot, "train", "the labels are 30 numbers that are all 0 or 1: a multi-hot vector"),
        (always_the_same, "train", "all 160 clips have the same labels under 'labels', [2, 5]"),
        (unlabeled, "report", "none of its 80 clips has a label under 'labels'"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(
    means: Line, tmp_path: Path, change: Callable[[Clip], Clip], split: str, said: str
) -> None:
    line = dataclasses.replace(on_copy(means, tmp_path), outputs=tmp_path / "fresh")
    rewrite(line, change, split)
    assert said in line.call("stage=teachers").refusal()
    assert not line.done()


def test_labels_under_another_key_are_found_before_a_training(means: Line, tmp_path: Path) -> None:
    line = means.fresh(tmp_path)
    schema = dataclasses.replace(SMALL_MEANS, labels_key="tags")
    line = dataclasses.replace(line, schema=write_schema(tmp_path / "tags.yaml", schema))
    refusal = line.call("stage=all").refusal()
    assert "'train': none of its 160 clips has a label under 'tags'" in refusal
    assert "id (bytes), labels (int64), mean_audio (float), mean_rgb (float)" in refusal
    assert not line.done()


def test_a_clip_of_two_splits_is_named_with_both_shards(means: Line, tmp_path: Path) -> None:
    line = dataclasses.replace(on_copy(means, tmp_path), outputs=tmp_path / "fresh")
    shutil.copy(line.data / "train-00001.tfrecord", line.data / "report-00009.tfrecord")
    refusal = line.call("stage=teachers").refusal()
    assert "clip 'clip0-00040' is there twice" in refusal
    assert f"{line.data}/train-00001.tfrecord (train)" in refusal
    assert f"{line.data}/report-00009.tfrecord (report), and 40 ids are" in refusal


def test_a_run_says_how_many_labels_its_clips_have(means: Line, tmp_path: Path) -> None:
    outcome = means.copy(tmp_path).call("stage=all")
    assert outcome.status == 0, outcome.err
    (said,) = (row for row in outcome.err.splitlines() if row.startswith("labels a clip: "))
    assert "train 1 to 2, median 2 (160 clips, 0 without); search 1 to 2" in said
    assert "report 1 to 2, median 2 (60 clips, 0 without)" in said


def test_a_damaged_index_is_made_again_and_nothing_else(means: Line, tmp_path: Path) -> None:
    line = means.copy(tmp_path)
    before, damaged = line.done(), sorted((line.run / "index").iterdir())
    assert {path.suffix for path in damaged} == {".index", ".census"}
    for number, path in enumerate(damaged):
        content = bytearray(path.read_bytes())
        if number % 2:
            del content[len(content) // 3 :]
        else:
            content[len(content) // 3] ^= 16
        path.write_bytes(content)
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    for path in damaged:
        assert outcome.err.count(f"{path.resolve()}: damaged; it is made anew") == 1
    assert line.done() == before


def test_copied_data_retrains_nothing_and_changed_data_does(means: Line, tmp_path: Path) -> None:
    """`rsync -t` brings both with the size and the time of the shards that are there."""
    line = on_copy(means, tmp_path)
    shutil.rmtree(line.run / "index")
    before = line.done()
    assert line.call("stage=all").status == 0
    shard = line.data / "train-00000.tfrecord"
    stat = shard.stat()
    shutil.copy2(shard, tmp_path / "copy")
    (tmp_path / "copy").replace(shard)
    assert line.call("stage=all").status == 0
    assert line.done() == before
    content = bytearray(shard.read_bytes())
    (length,) = struct.unpack_from("<Q", content)
    content[HEADER_BYTES + length - 1] ^= 1
    record = bytes(content[HEADER_BYTES : HEADER_BYTES + length])
    struct.pack_into("<I", content, HEADER_BYTES + length, masked_crc(record))
    shard.write_bytes(content)
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    outcome = line.call("stage=teachers")
    assert outcome.status == 0, outcome.err
    assert "teachers/plain: started" in outcome.err


def test_two_that_generate_in_one_folder_end_with_the_same_data(tmp_path: Path) -> None:
    """They deleted each other's files."""
    spec = DemoSpec(400, 20, 20, 20, 30, 4, 8, 16, 4, clips_per_shard=1)
    script = (
        "import sys; from pathlib import Path\n"
        "from records import DemoSpec, generate\n"
        f"generate(Path(sys.argv[1]), {spec!r})"
    )
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(shared)], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    generate(alone, spec)
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err.decode()
    one, other = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (shared, alone)
    )
    assert one == other
