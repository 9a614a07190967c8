"""A student measured by a few recipes at a time leaves the same bytes."""

from pathlib import Path

import pytest

from runs import Task
from stages.job_files import read_job
from stages.jobs import Measurement
from stages.packing import measurement_work
from stages.packing.measurement_work import LAYOUTS_NAME, measure
from tests.line import means_line


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_byte_depends_on_how_many_predict_at_once(
    at_once: int,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (measured,) = (means_line(tmp_path_factory.getbasetemp()).run / "quantized").iterdir()
    job = read_job(measured)
    assert isinstance(job, Measurement)
    monkeypatch.setattr(measurement_work, "models_at_once", lambda *_: at_once)
    task = Task(job.task, tmp_path, job.inputs())
    with task.lock():
        task.prepare()
        measure(job, task)
    names = {path.name for path in measured.glob("*.safetensors")} | {LAYOUTS_NAME}
    assert len(names) > 5
    for name in names:
        assert (tmp_path / name).read_bytes() == (measured / name).read_bytes()
    assert task.summary() == Task(job.task, measured, job.inputs()).summary()
