"""A split in parts: the bytes of the whole, and a kill that costs one part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from common.files import sha256_file
from ensemble.blend import Blend, Blended, Score
from quantize import Bundle
from quantize.bundle.content import read_bundle
from records import SplitSpec
from records.splits import DataSource
from runs import PredictionsWriter, Task
from stages.external.config import BUNDLE
from stages.external.mixed import mixed
from stages.job import Upstream
from stages.jobs import predictions_name
from stages.packing.scored import scored
from stages.parts.part import BundlePart
from stages.parts.rows import write_rows
from stages.parts.work import ROWS_NAME, run_part
from tests.line import blank_means_line, means_line
from tests.parts import AS_HELD, CLIPS, IN_PARTS, Clips, held_at, kill, submission

NAMES = [f"parts/predict-test/{number:04}" for number in range(3)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    bundle = means_line(tmp_path_factory.getbasetemp()).bundle
    return Clips.write(bundle, tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def whole(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The submission without parts."""
    outputs = tmp_path_factory.mktemp("whole")
    outcome = clips.call("predict", outputs)
    assert outcome.status == 0 and "started" not in outcome.err, outcome.err
    return submission(outputs)


def test_a_killed_part_is_the_only_one_that_is_done_again(
    clips: Clips, whole: bytes, tmp_path: Path
) -> None:
    settings = ("predict", tmp_path, IN_PARTS, *AS_HELD)
    with held_at(clips.of_second, kill):
        outcome = clips.call(*settings)
    assert outcome.status == 1 and "Traceback" not in outcome.err
    assert f"onegig: {NAMES[1]} was killed by SIGKILL" in outcome.err
    assert not list(tmp_path.rglob("submission*"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("DONE")}
    assert {path.parent.name for path in before} == {"0000", "0002"}

    outcome = clips.call(*settings)
    assert outcome.status == 0, outcome.err
    assert "predict-test: 2 of 3 were done" in outcome.err
    assert [name for name in NAMES if f"{name}: started" in outcome.err] == [NAMES[1]]
    assert submission(tmp_path) == whole
    # What was made of them stands.
    assert not (tmp_path / "default" / "parts").exists()
    again = clips.call("predict", tmp_path, *AS_HELD)
    assert again.status == 0 and "started" not in again.err


def test_scores_of_parts_are_those_of_the_whole(clips: Clips, tmp_path: Path) -> None:
    alone = clips.call("evaluate", tmp_path / "alone")
    parts = clips.call("evaluate", tmp_path / "parts", IN_PARTS)
    assert alone.status == parts.status == 0, parts.err
    assert "started" not in alone.err and parts.err.count("started") == 3
    assert parts.out == alone.out and f"{CLIPS}" in parts.out
    assert not (tmp_path / "parts" / "default" / "parts").exists()


def test_an_id_that_two_parts_have_leaves_no_submission(clips: Clips, tmp_path: Path) -> None:
    root = tmp_path / "twice"
    twice = Clips.write(clips.bundle, root)
    first, *_, last = sorted(root.iterdir())
    last.write_bytes(first.read_bytes())
    refusal = twice.call("predict", tmp_path / "alone").refusal()
    parts = twice.call("predict", tmp_path / "parts", IN_PARTS)
    assert "is there twice" in refusal
    assert parts.status == 2 and parts.err.splitlines()[-1] == refusal
    assert not list(tmp_path.rglob("submission*"))


def test_a_part_mixes_in_what_others_say_of_its_clips(clips: Clips, tmp_path: Path) -> None:
    """Held against a mix of all clips at once."""
    content = read_bundle(clips.bundle)
    spec = {"test": SplitSpec("test-*.tfrecord")}
    data = DataSource(clips.root, content.schema, spec, tmp_path / "index")
    split = data.open("test")
    writer = PredictionsWriter(content.schema.num_labels, content.schema.num_labels)
    theirs = torch.randn(CLIPS, content.schema.num_labels, generator=torch.Generator())
    writer.append([clip.id for clip in split.clips()], theirs)
    task = Task("external/theirs/test", tmp_path / "theirs", {})
    task.prepare()
    writer.finish().save(task.folder / predictions_name("test"))
    task.finish([predictions_name("test")], {})
    score = Score(0.5, 0.1, True)
    members = {n: Blended(w, score, score, 0, 0) for n, w in ((BUNDLE, 0.75), ("theirs", 0.25))}
    blend = Blend(members, "log_odds", "flat", 1, score, score)
    job = BundlePart(
        *("parts/x/0001", clips.bundle, sha256_file(clips.bundle), ("perceptron",), data, "test"),
        *(split.fingerprint, 256, CLIPS, "top10", "cpu", 2),
        blend=blend,
        external={"theirs": Upstream.of(task)},
    )
    own = Task(job.task, tmp_path / "part", job.inputs())
    own.prepare()
    run_part(job, own)
    expected = tmp_path / "expected.csv"
    batches = scored(Bundle.load(clips.bundle), split)
    with expected.open("w", newline="") as file:
        write_rows(file, mixed(batches, blend, {"theirs": writer.finish()}), "top10")
    rows = expected.read_text().splitlines()
    assert own.file(ROWS_NAME).read_text().splitlines() == rows[256:]
    assert len(set(rows)) == CLIPS
    assert np.load(own.file("ids.npy")).shape == (CLIPS - 256,)


def test_predictions_that_students_learn_from_are_joined_to_the_same_bytes(tmp_path: Path) -> None:
    alone = ("~members.vlad", "~members.bag", "~members.sequence")
    settings = ("train.epochs=1", "train.inference_batch_size=32", *AS_HELD)
    line = blank_means_line(tmp_path / "line", (*alone, *settings))
    assert line.call("stage=teachers").status == 0
    parted = line.copy(tmp_path / "parted")
    assert line.call("stage=distill").status == 0
    # Of 64 clips, 64 and 32; the third of four shards is in the second part alone.
    command = ("stage=distill", "parts.clips=50")
    with held_at(next(line.data.glob("train-00002*")), kill):
        outcome = parted.call(*command)
    second = "parts/training-predictions/teachers-plain.0001"
    assert outcome.status == 1 and f"onegig: {second} was killed by SIGKILL" in outcome.err
    outcome = parted.call(*command)
    assert outcome.status == 0 and outcome.err.count("started") == 2, outcome.err
    assert f"{second}: started" in outcome.err and "students/plain: started" in outcome.err
    for name in ("training-predictions/teachers-plain", "soft/perceptron", "students/plain"):
        files = sorted((line.run / name).glob("*.safetensors"))
        assert files
        for file in files:
            assert (parted.run / name / file.name).read_bytes() == file.read_bytes()
    assert not (parted.run / "parts").exists()
    again = line.call(*command)
    assert again.status == 0 and "started" not in again.err
