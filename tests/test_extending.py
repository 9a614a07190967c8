"""One file a thing: a family, a precision, a stage, a format of data, each through a whole run."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from common.registry import restored
from quantize import Bundle
from records import SplitSpec, iterate_batches, open_split
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import Line, means_line

FOLDER = Path(__file__).parent / "extensions"
FILES = sorted(FOLDER.glob("*.py"))
DOCUMENT = FOLDER.parents[1] / "docs" / "extending.md"


@pytest.fixture(autouse=True)
def registry_of_its_own() -> Iterator[None]:
    with restored():
        yield


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A finished run of a perceptron on means. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


def named(name: str) -> str:
    return f"extensions=[{FOLDER / name}]"


def whole_run(line: Line, *more: str) -> None:
    outcome = line.call("stage=all", *more)
    assert outcome.status == 0, outcome.err
    assert line.bundle.stat().st_size == json.loads(line.receipt.read_text())["bytes"]
    assert (line.run / "submission-test.csv").exists()


def test_the_page_shows_the_four_files_whole() -> None:
    page = DOCUMENT.read_text()
    assert [file.stem for file in FILES] == ["best_teacher", "json_lines", "mean_max", "symmetric8"]
    for file in FILES:
        assert f"```python\n{file.read_text()}```" in page, file.name


def test_a_family(means: Line, tmp_path: Path) -> None:
    line = means.copy(tmp_path)
    member = "members={mine: {family: mean_max, config: {hidden: 8}}}"
    whole_run(line, named("mean_max.py"), member, "~members.plain")
    receipt = json.loads(line.receipt.read_text())
    assert [(m["name"], m["family"]) for m in receipt["members"]] == [("mine", "mean_max")]


def test_a_precision(means: Line, tmp_path: Path) -> None:
    """Also in ONNX, equal to torch."""
    line = means.copy(tmp_path)
    settings = (
        named("symmetric8.py"),
        "quantize.threshold=30",
        "quantize.precisions=[symmetric8]",
        "quantize.group_precisions=[]",
        "quantize.tensor_precisions=[]",
    )
    whole_run(line, *settings)
    (recipe,) = (r for r in csv.DictReader((line.run / "curve.csv").open()) if "sym" in str(r))
    outcome = line.call("stage=pack", *settings, f"budget={recipe['bytes']}")
    assert outcome.status == 0, outcome.err
    (member,) = json.loads(line.receipt.read_text())["members"]
    assert member["precision"] == "symmetric8"
    assert line.call("stage=export", *settings).status == 0
    bundle = Bundle.load(line.bundle)
    spec = SplitSpec("test-*.tfrecord")
    split = open_split(line.data, "test", spec, SMALL_MEANS, cache=None)
    (batch,) = iterate_batches(split, 100)
    session = onnxruntime.InferenceSession(line.bundle.with_name("bundle.onnx"))
    inputs = {name: tensor.numpy() for name, tensor in batch.features.items()}
    log_odds, _ = session.run(None, inputs)
    np.testing.assert_allclose(log_odds, bundle.predict(batch).numpy(), atol=1e-5)


def test_a_stage(means: Line, tmp_path: Path) -> None:
    line = means.copy(tmp_path)
    outcome = line.call("stage=mine", named("best_teacher.py"))
    assert outcome.status == 0, outcome.err
    assert outcome.out.strip() == str(line.run / "best.json")
    assert json.loads((line.run / "best.json").read_text()) == {"best": "plain"}


def test_a_format_of_data(means: Line, tmp_path: Path) -> None:
    """The same clips in another format give the same bundle, but for the data's fingerprint."""
    line = Line(tmp_path / "data", means.schema, tmp_path / "outputs", means.changes)
    line.data.mkdir()
    counts = {"train": 160, "search": 60, "report": 60, "test": 20}
    for seed, (split, count) in enumerate(counts.items()):
        rows = [
            {"id": clip.id, "labels": clip.labels.tolist()}
            | {name: values.tolist() for name, values in clip.features.items()}
            for clip in make_clips(SMALL_MEANS, count, seed)
        ]
        # As many shards as the other format's, so that the order of the clips is the same.
        for shard in range(0, count, 40):
            text = "".join(json.dumps(row) + "\n" for row in rows[shard : shard + 40])
            (line.data / f"{split}-{shard // 40:05d}.jsonl").write_text(text)
    shards = [f"data.{split}.shards={split}-*.jsonl" for split in counts]
    whole_run(line, named("json_lines.py"), *shards)
    weights = "students/plain/weights.safetensors"
    assert (line.run / weights).read_bytes() == (means.run / weights).read_bytes()
    ours, theirs = (Bundle.load(each.bundle).receipt for each in (line, means))
    assert ours["gap"] == theirs["gap"] and ours["hashes"]["data"] != theirs["hashes"]["data"]


def test_a_foreign_suffix_is_refused_without_its_file(means: Line, tmp_path: Path) -> None:
    line = Line(tmp_path, means.schema, tmp_path / "outputs", means.changes)
    for split in ("train", "search", "report"):
        (tmp_path / f"{split}.jsonl").write_text("{}\n")
    shards = [f"data.{split}.shards={split}.jsonl" for split in ("train", "search", "report")]
    refusal = line.call("stage=teachers", *shards).refusal()
    assert ".jsonl" in refusal and ".tfrecord" in refusal
