"""Jobs as JSON and back, and what their content keys cover."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import UserError
from records import Schema, SplitSpec, load_schema
from records.folds import HELD, Part
from records.splits import DataSource
from runs import RunError, Task, content_key
from stages.job import Job, Upstream
from stages.job_files import prepare_job, read_job
from stages.jobs import Measurement, ModelJob, Prediction, Setting, SoftLabels, Training
from stages.parts.part import BundlePart
from tests.conftest import SMALL_FRAMES
from training.config import TrainConfig

SETTING = Setting(
    family="netvlad",
    config={"clusters": 4, "head": {"kind": "mixture"}},
    data=DataSource(
        Path("/data"), SMALL_FRAMES, {"train": SplitSpec(("a-*", "b-*"), 0.1)}, Path("/index")
    ),
    fingerprints={"train": "1", "search": "2", "report": "3", "held": "4"},
    device="cpu",
    stored_labels=20,
)
UPSTREAM = Upstream(Path("/run/soft/all"), "abc")
TRAINING = Training("teachers/a", SETTING, TrainConfig(), seed=1)
PREDICTION = Prediction("training-predictions/a", SETTING, UPSTREAM, 256, 1)
MEASUREMENT = Measurement(
    "quantized/a",
    SETTING,
    UPSTREAM,
    256,
    1,
    "a",
    "search",
    True,
    17_000,
    ("channel4",),
    (),
    (),
    (),
    True,
)
JOBS: list[ModelJob] = [
    TRAINING,
    replace(
        TRAINING,
        setting=replace(SETTING, data=replace(SETTING.data, part=Part(3))),
        predicted=("report",),
        phase="average",
        soft=SoftLabels(UPSTREAM, 0.5),
    ),
    PREDICTION,
    replace(PREDICTION, start=256, end=512),
    MEASUREMENT,
]

PART = BundlePart(
    *("parts/predict-test/0001", Path("/a.safetensors"), "abc", ("netvlad",), SETTING.data, "test"),
    *("1", 256, 512, "kaggle", "cpu", 4),
    external={"theirs": UPSTREAM},
)


def key(job: Job) -> str:
    return content_key(job.inputs())


@pytest.mark.parametrize("job", [*JOBS, PART])
def test_job_is_read_as_it_was_written(job: Job, tmp_path: Path) -> None:
    prepare_job(job, Task(job.task, tmp_path, job.inputs()))
    read = read_job(tmp_path)
    assert read == job
    assert key(read) == key(job)


@pytest.mark.parametrize("job", JOBS)
def test_damaged_job_is_refused(job: Job, tmp_path: Path) -> None:
    prepare_job(job, Task(job.task, tmp_path, job.inputs()))
    place = tmp_path / "job.json"
    sound = place.read_bytes()
    for at in range(0, len(sound), 7):
        place.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        with pytest.raises(UserError, match=r"job\.json.*(damaged|not JSON|unknown key)"):
            read_job(tmp_path)


def test_upstream_gives_only_files_that_are_as_they_were(tmp_path: Path) -> None:
    task = Task("soft/all", tmp_path, {})
    task.prepare()
    (tmp_path / "one").write_bytes(b"sound")
    task.finish(["one"], {})
    upstream = Upstream.of(task)
    assert upstream.file("one") == tmp_path / "one"
    (tmp_path / "one").write_bytes(b"other")
    with pytest.raises(RunError, match="/one: missing or damaged; give the command again"):
        upstream.file("one")
    task.finish(["one"], {})
    for gone in (False, True):
        if gone:
            (tmp_path / "DONE").unlink()
        with pytest.raises(RunError, match="changed while this job waited; give the command"):
            upstream.file("one")


def test_job_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"kind": "training", "task": "teachers/a"}')
    with pytest.raises(RunError, match=r"job\.json.*setting"):
        read_job(tmp_path)


def test_every_job_has_a_key_of_its_own() -> None:
    assert len({key(job) for job in JOBS}) == len(JOBS)


@pytest.mark.parametrize("job", JOBS)
def test_key_has_no_path(job: ModelJob) -> None:
    moved = replace(
        SETTING,
        data=replace(SETTING.data, root=Path("/moved"), cache=Path("/elsewhere"), workers=2),
    )
    assert key(replace(job, setting=moved)) == key(job)
    named = replace(SMALL_FRAMES, label_names=tuple(map(str, range(SMALL_FRAMES.num_labels))))
    moved = replace(SETTING, data=replace(SETTING.data, schema=named))
    assert key(replace(job, setting=moved)) == key(job)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"bundle": Path("/moved"), "threads": 1, "families": ()}, True),
        ({"data": replace(SETTING.data, root=Path("/moved"))}, True),
        ({"external": {"theirs": replace(UPSTREAM, folder=Path("/moved"))}}, True),
        ({"digest": "abd"}, False),
        ({"fingerprint": "2"}, False),
        ({"start": 0}, False),
        ({"end": 500}, False),
        ({"made": "top10"}, False),
        ({"device": "auto"}, False),
        ({"external": {"theirs": replace(UPSTREAM, digest="abd")}}, False),
    ],
)
def test_key_of_a_part(changed: dict[str, object], same: bool) -> None:
    assert (key(replace(PART, **changed)) == key(PART)) is same  # type: ignore[arg-type]


@pytest.mark.parametrize("job", [PREDICTION, MEASUREMENT])
def test_key_has_the_digest_of_what_is_read(job: Prediction | Measurement) -> None:
    assert key(replace(job, trained=replace(UPSTREAM, folder=Path("/moved")))) == key(job)
    assert key(replace(job, trained=replace(UPSTREAM, digest="abd"))) != key(job)


def test_key_of_a_measurement_has_the_clips_that_it_rounds_by() -> None:
    for split in ("train", "search", "report"):
        other = replace(SETTING, fingerprints={**SETTING.fingerprints, split: "9"})
        assert key(replace(MEASUREMENT, setting=other)) != key(MEASUREMENT)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"train": TrainConfig(checkpoint_seconds=1, evaluate_every=2, evaluate_clips=9)}, True),
        ({"train": TrainConfig(batch_size=7)}, False),
        ({"train": TrainConfig(time_limit=9)}, True),
        ({"train": TrainConfig(devices=2)}, False),
        ({"train": TrainConfig(micro_batch=64)}, False),
        ({"in_time": True}, True),
        ({"train": TrainConfig(patience=1)}, False),
        ({"stop": 2.5}, False),
        ({"seed": 2}, False),
        ({"predicted": ("search", HELD)}, False),
        ({"phase": "main"}, False),
        ({"soft": SoftLabels(UPSTREAM, 0.5)}, False),
        ({"setting": replace(SETTING, config={"clusters": 5})}, False),
        ({"setting": replace(SETTING, fingerprints={**SETTING.fingerprints, "train": "9"})}, False),
        ({"setting": replace(SETTING, sources={"family netvlad": "1"})}, False),
    ],
)
def test_key_of_a_training(changed: dict[str, object], same: bool) -> None:
    assert (key(replace(TRAINING, **changed)) == key(TRAINING)) is same  # type: ignore[arg-type]
    soft = replace(TRAINING, soft=SoftLabels(UPSTREAM, 0.5))
    assert key(replace(soft, soft=SoftLabels(UPSTREAM, 0.25))) != key(soft)


def test_scores_on_the_way_count_where_something_heeds_them() -> None:
    patient = replace(TRAINING, train=TrainConfig(patience=1))
    for changed in ({"evaluate_every": 2.0}, {"evaluate_clips": 9}, {"patience": 2.0}):
        other = replace(patient, train=replace(patient.train, **changed))  # type: ignore[arg-type]
        assert key(other) != key(patient)
    # Those who have none of this keep the keys that they had before there was.
    covered = TRAINING.inputs()
    assert not {"stop", "in_time"} & covered.keys()
    unset = {"patience", "time_limit", "evaluate_every", "devices", "micro_batch"}
    assert not unset & covered["train"].keys()


@pytest.mark.parametrize("shortened", [False, True])
def test_a_shortened_training_is_taken_as_long_as_there_is_a_limit(
    shortened: bool, tmp_path: Path
) -> None:
    task = Task(TRAINING.task, tmp_path, TRAINING.inputs())
    task.prepare()
    task.finish([], {"shortened": shortened})
    assert TRAINING.takes(task) is not shortened
    assert replace(TRAINING, in_time=True).takes(task)
    assert replace(TRAINING, train=TrainConfig(time_limit=5)).takes(task)


def test_a_schema_without_later_keys_has_the_key_of_before() -> None:
    """What was trained before there were these stays trained."""
    inputs = replace(TRAINING, setting=_of(load_schema("audioset"))).inputs()
    before = "6b9266de9139bc5ab843306f1659c2585477b04ecee0c9a4c903569bdca382e7"
    assert content_key({"schema": inputs["schema"]}) == before


def test_how_labels_are_read_is_in_the_key() -> None:
    schemas = [
        SMALL_FRAMES,
        replace(SMALL_FRAMES, unknown_labels_key="unrated"),
        replace(SMALL_FRAMES, segments=True),
        replace(SMALL_FRAMES, label_encoding="multi_hot"),
        # By name, the vocabulary says which label is which.
        replace(SMALL_FRAMES, label_encoding="names", label_names=tuple(map(str, range(30)))),
        replace(SMALL_FRAMES, label_encoding="names", label_names=tuple(map(str, range(1, 31)))),
    ]
    keys = {key(replace(TRAINING, setting=_of(schema))) for schema in schemas}
    assert len(keys) == len(schemas)


def _of(schema: Schema) -> Setting:
    return replace(SETTING, data=replace(SETTING.data, schema=schema))
