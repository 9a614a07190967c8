"""A run in object storage: the bundle of a run in a folder, and machines that go on with it."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from runs.remote.folder import ObjectFolder
from tests.line import Line, Outcome, means_line, wait_for
from tests.object_storage import SECRET, ObjectServer
from training.checkpoint import CHECKPOINT_NAME


def call(line: Line, server: ObjectServer, copies: Path, *more: str) -> Outcome:
    """The command on a machine that has its copies there."""
    return line.call(f"outputs={server.url}/runs", f"local_outputs={copies}", *more)


def test_a_run_in_object_storage_is_the_run_in_a_folder(
    object_server: ObjectServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With one request in twenty that fails; then on a machine that has nothing of it."""
    line = means_line(tmp_path_factory.getbasetemp())
    object_server.failures = 0.05
    begun = call(line, object_server, tmp_path / "here", "stage=teachers")
    assert begun.status == 0, begun.err
    ended = call(line, object_server, tmp_path / "there", "stage=all")
    assert ended.status == 0, ended.err
    assert "teachers: 1 of 1 were done" in ended.err
    assert object_server.failed > 5
    object_server.failures = 0.0
    objects = ObjectFolder(f"{object_server.url}/runs/smoke")
    there = objects.list()
    assert objects.read("bundle/bundle.safetensors") == line.bundle.read_bytes()
    assert "smoke: not on this machine yet" in call(line, object_server, tmp_path / "third").out
    again = call(line, object_server, tmp_path / "third", "stage=all")
    assert again.status == 0, again.err
    done = {name: each.version for name, each in there.items() if name.endswith("/DONE")}
    assert len(done) > 5
    assert done == {n: each.version for n, each in objects.list().items() if n.endswith("/DONE")}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]


def says(log: Path, what: str) -> bool:
    return log.exists() and what in log.read_text()


def test_a_machine_goes_on_from_where_another_was_told_to_end(
    object_server: ObjectServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By Ctrl-C or by SIGTERM: the checkpoint is put first, however long that takes."""
    line = means_line(tmp_path_factory.getbasetemp())
    outputs = f"outputs={object_server.url}/runs"
    keys = (outputs, "stage=teachers", "train.checkpoint_seconds=0", "train.epochs=1000")
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
        copies = tmp_path / number.name
        log = copies / "s3" / object_server.bucket / "runs/smoke/teachers/plain/log.txt"
        process = line.start(*keys, f"local_outputs={copies}")
        said = "goes on at step" if number == signal.SIGTERM else "begins"
        assert wait_for(partial(says, log, said), process)
        assert wait_for(log.with_name(CHECKPOINT_NAME).exists, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=300)
        assert process.returncode == status, err
        assert "putting what is done" in err and "all that is done is there" in err
    found = ObjectFolder(f"{object_server.url}/runs/smoke")
    assert "goes on at step" in str(found.read("teachers/plain/log.txt"))
    assert f"teachers/plain/{CHECKPOINT_NAME}" in found.list()


def test_a_bucket_that_is_not_there_is_said_in_a_line(
    object_server: ObjectServer, tmp_path: Path
) -> None:
    line = Line(tmp_path, tmp_path / "none.yaml", tmp_path / "outputs")
    keys = "outputs=s3://nowhere/runs", f"local_outputs={tmp_path}"
    refusal = line.call(*keys, "stage=plan").refusal()
    assert refusal == "onegig: s3://nowhere/runs/smoke/LOCK: no such object or bucket"


def test_an_experiment_to_be_edited_is_no_object(tmp_path: Path) -> None:
    line = Line(tmp_path, tmp_path / "none.yaml", tmp_path / "outputs")
    refusal = line.call("outputs=s3://bucket/runs", "stage=import").refusal()
    assert "output=/path/to/mine.yaml" in refusal
