"""Stage `import`: the worked example of the docs, and what it writes of other data."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from quantize import Bundle
from records import Clip, Schema, encode_clip, load_schema, write_shards
from records.config import DataConfig
from stages.config import Config
from stages.importing import import_data
from stages.workspace import Workspace
from tests.conftest import SMALL_FRAMES, make_clips
from tests.line import call

DOC = Path(__file__).resolve().parents[2] / "docs" / "own-data.md"
# Instead of the epochs that so few clips ask for.
QUICK = ("train.epochs=3", "ensemble.trials=50")


def test_the_example_of_the_docs_comes_to_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's Parquet with three streams and thirty texts as labels, in two commands."""
    monkeypatch.chdir(tmp_path)
    text = DOC.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    Path("videos").mkdir()
    exec(code, {})
    given = re.findall(r"^    python orchestrate.py (.*)$", text, re.MULTILINE)
    looked, run = (shlex.split(line) for line in given if "/path" not in line)
    outcome = call(*looked)
    assert outcome.status == 0, outcome.err
    (said,) = re.findall(r"says what it assumed:\n\n(.*?)\n\n", text, re.DOTALL)
    assert outcome.out.startswith(re.sub("^    ", "", said, flags=re.MULTILINE))
    assert outcome.out.splitlines()[-1].endswith(" ".join(run))
    outcome = call(*run, *QUICK)
    assert outcome.status == 0, outcome.err
    bundle = Bundle.load("outputs/videos/bundle/bundle.safetensors")
    assert [stream.size for stream in bundle.schema.streams] == [12, 6, 6]
    assert len(bundle.labels) == 30 and bundle.labels[12] == "subject 2"
    with Path("outputs/videos/members.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["member"] for row in rows] == ["length", "gated", "wide"]
    # With the epochs of the experiment it is 0.98; by chance 0.1.
    assert max(float(row["teacher"]) for row in rows) > 0.3


def write_table(path: Path, **columns: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(pa.table(columns), path)
    return path.parent


def imported(root: Path, outputs: Path, *more: str) -> tuple[Schema, dict[str, object]]:
    """Schema and experiment that were written."""
    outcome = call("stage=import", f"data.root={root}", f"outputs={outputs}", *more)
    assert outcome.status == 0, outcome.err
    experiment = Path(outcome.out.rpartition("experiment=")[2].strip())
    return load_schema(experiment.with_name("experiment-schema.yaml")), yaml.safe_load(
        experiment.read_text()
    )


def test_tfrecords_of_frames_become_members_on_frames(small_frames: Path, tmp_path: Path) -> None:
    schema, experiment = imported(small_frames, tmp_path)
    assert (schema.level, schema.num_labels, schema.label_encoding) == ("frame", 30, "indices")
    assert {(s.name, s.size, s.encoding) for s in schema.streams} == {
        (s.name, s.size, s.encoding) for s in SMALL_FRAMES.streams
    }
    families = {name: own["family"] for name, own in experiment["members"].items()}  # type: ignore[attr-defined]
    assert set(families.values()) == {"attention", "dbof", "nextvlad"}
    shards = {name: experiment["data"][name] for name in ("train", "search", "report", "test")}  # type: ignore[index]
    assert shards == {n: {"shards": f"{n}-*.tfrecord"} for n in ("train", "search", "report")} | {
        "test": {"shards": "test-00000.tfrecord"}
    }
    # The run of that command is not begun.
    assert [path.name for path in tmp_path.glob("**/LOCK")] == []


@pytest.mark.parametrize(
    ("data", "member"), [("small_means", "length perceptron"), ("small_frames", "grouped nextvlad")]
)
def test_what_it_writes_is_an_experiment_whose_members_are_sound(
    data: str, member: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root = request.getfixturevalue(data)
    outcome = call("stage=import", f"data.root={root}", f"outputs={tmp_path}", "run=mine")
    path = tmp_path / "mine/import/experiment.yaml"
    assert outcome.out.splitlines()[-1] == (
        f"next        python orchestrate.py stage=all experiment={path}"
    )
    plan = call("stage=plan", f"experiment={path}")
    assert plan.status == 0, plan.err
    assert member in re.sub(" +", " ", plan.out)
    # Laid among the experiments it is one of them.
    assert path.read_text().startswith("# @package _global_\n")


def test_other_labels_are_written_as_they_are(tmp_path: Path) -> None:
    vectors = [[0.5, float(n)] for n in range(4)]
    hot = [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1]]
    root = write_table(tmp_path / "hot/a.parquet", key=[1, 2, 3, 4], on=hot, x=vectors)
    schema, _ = imported(root, tmp_path)
    assert (schema.num_labels, schema.label_encoding, schema.id_keys) == (3, "multi_hot", ("key",))
    root = write_table(tmp_path / "one/a.parquet", id=[*"abcd"], label=[0, 7, 7, 2], x=vectors)
    schema, experiment = imported(root, tmp_path)
    assert (schema.num_labels, schema.label_encoding) == (8, "indices")
    assert "vocabulary" not in experiment["data"]  # type: ignore[operator]


def test_names_are_written_as_a_csv_reader_finds_them(tmp_path: Path) -> None:
    names = ['a "b", c', "=1+1", "\x1b[2J", "é"]
    root = write_table(
        tmp_path / "in/a.parquet",
        id=[*"abcd"],
        tags=[[name] for name in names],
        x=[[0.5, 1.5]] * 4,
    )
    outcome = call("stage=import", f"data.root={root}", f"outputs={tmp_path}")
    assert outcome.status == 0 and "\x1b" not in outcome.out
    config = Config(
        data=DataConfig(
            root=str(root),
            schema=str(tmp_path / "in/import/experiment-schema.yaml"),
            vocabulary=str(tmp_path / "in/import/experiment-vocabulary.csv"),
        )
    )
    assert Workspace(config).schema.label_names == tuple(sorted(names))


def test_nothing_is_written_over(tmp_path: Path, small_means: Path) -> None:
    mine = tmp_path / "mine.yaml"
    arguments = (
        "stage=import",
        f"data.root={small_means}",
        f"outputs={tmp_path}",
        f"output={mine}",
    )
    assert call(*arguments).status == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("mine*")}
    assert len(before) == 2
    assert call(*arguments).status == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("mine*")} == before
    mine.unlink()
    assert call(*arguments).status == 0
    mine.write_text("members: {}\n")
    assert f"output: {mine} is there already" in call(*arguments).refusal()
    assert mine.read_text() == "members: {}\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            (),
            "columns.labels: tags, classes may each be the labels; say which, columns.labels=NAME",
        ),
        (("columns.labels=x",), "columns.labels: column 'x' is 'list<"),
        (("columns.lables=x",), "columns: unknown key 'lables'; known are id, labels, streams"),
        (("columns.labels=tags", "columns.id=z"), "columns.id: no column 'z'; there are id"),
        (("output=mine.csv",), "output: mine.csv; an experiment's file ends in .yaml"),
        (("data.format=tfrecord",), "data.root: no file under"),
        (("data.root=/no/such",), "data.root: /no/such is no folder"),
    ],
)
def test_what_is_in_doubt_is_asked_for(given: tuple[str, ...], said: str, tmp_path: Path) -> None:
    root = write_table(
        tmp_path / "in/a.parquet",
        id=[*"ab"],
        tags=[["p"], ["q"]],
        classes=[[3], [4, 5]],
        x=[[0.5, 1.5]] * 2,
    )
    outcome = call("stage=import", f"data.root={root}", f"outputs={tmp_path}", *given)
    assert said in outcome.refusal()
    assert not list(tmp_path.rglob("*.yaml"))


def test_labels_of_all_files_count(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "test")):
        clips = make_clips(SMALL_FRAMES, 5, seed)
        if split == "test":
            clips = [Clip(c.id, c.labels[:0], c.features) for c in clips]
        records = [encode_clip(clip, SMALL_FRAMES) for clip in clips]
        write_shards(tmp_path / "in", split, records, 5)
    config = Config(data=DataConfig(root=str(tmp_path / "in")), outputs=str(tmp_path))
    found = import_data(Workspace(config))
    # What has no labels is to be predicted.
    assert found.assumed["test"] == "'test-00000.tfrecord'"
    most = max(int(clip.labels.max()) for clip in make_clips(SMALL_FRAMES, 5, 0))
    assert f" {most + 1} by index" in found.assumed["labels"]
