"""A killed run: the same command finishes it, redoes nothing, and ends at the same bytes."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.line import Line, frames_line, killed_at_checkpoint, processes_on, wait_for
from training.checkpoint import CHECKPOINT_NAME

# Files that appear in a run, and at which it is killed: in the middle of a teacher's training,
# between two stages, in a student's training, while 8-bit members are scored, and while the
# bundle stands without its receipt.
MOMENTS = (
    f"teachers/vlad/{CHECKPOINT_NAME}",
    "ensemble/ensemble.json",
    f"students/vlad/{CHECKPOINT_NAME}",
    "quantized/plain/job.json",
    "bundle/bundle.safetensors",
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


def kill_when(line: Line, moment: str, *overrides: str) -> None:
    """Starts the whole line and kills its process, not its workers, when a file appears."""
    process = line.start("stage=all", *overrides)
    try:
        assert wait_for((line.run / moment).exists, process), process.communicate()
    finally:
        process.kill()
        process.communicate()
    wait_for(lambda: not processes_on(line.run))


@pytest.mark.slow
def test_killed_again_and_again_the_run_ends_at_the_same_bytes(
    undisturbed: Line, tmp_path: Path
) -> None:
    line = undisturbed.fresh(tmp_path)
    finished: dict[str, int] = {}
    for moment in MOMENTS:
        # A checkpoint at every step, as a long training would have them.
        kill_when(line, moment, "train.checkpoint_seconds=0")
        now = line.done()
        assert finished.items() <= now.items(), f"{moment}: a finished task was done again"
        finished = now
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    assert "started" not in outcome.err  # all that was left is done without a worker
    assert finished.items() <= line.done().items()
    assert_same_results(line, undisturbed)


def assert_same_results(line: Line, undisturbed: Line) -> None:
    assert line.done().keys() == undisturbed.done().keys()
    for name in ("teachers/vlad", "teachers/plain", "students/vlad", "students/plain"):
        weights = f"{name}/weights.safetensors"
        assert (line.run / weights).read_bytes() == (undisturbed.run / weights).read_bytes(), name
    assert line.bundle.read_bytes() == undisturbed.bundle.read_bytes()
    submission = "submission-test.csv"
    assert (line.run / submission).read_bytes() == (undisturbed.run / submission).read_bytes()


def test_data_workers_end_with_a_killed_run(undisturbed: Line, tmp_path: Path) -> None:
    """Grandchildren, which hold the pipes and locks of the workers that forked them."""
    line = undisturbed.copy(tmp_path, "students", "quantized", "selection", "bundle")
    settings = ("train.checkpoint_seconds=0", "data.workers=1")
    kill_when(line, f"students/vlad/{CHECKPOINT_NAME}", *settings)
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    assert_same_results(line, undisturbed)


def test_terminated_run_stops_its_workers_and_goes_on(undisturbed: Line, tmp_path: Path) -> None:
    line = undisturbed.copy(tmp_path, "students", "quantized", "selection", "bundle")
    before = line.done()
    process = line.start("stage=all")
    assert wait_for((line.run / "students/vlad/job.json").exists, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGTERM
    assert "Traceback" not in err
    assert not processes_on(line.run)
    assert not line.bundle.exists()
    assert line.call("stage=all").status == 0
    assert before.items() <= line.done().items()
    assert_same_results(line, undisturbed)


def test_killed_worker_is_named_and_the_others_finish(undisturbed: Line, tmp_path: Path) -> None:
    line = undisturbed.fresh(tmp_path)
    victim = line.run / "teachers" / "vlad"
    with killed_at_checkpoint(victim):
        outcome = line.call("stage=teachers", "jobs=2", "train.checkpoint_seconds=0")
    assert outcome.status == 1
    assert "onegig: teachers/vlad was killed by SIGKILL" in outcome.err
    assert "Traceback" not in outcome.err
    assert set(line.done()) == {"teachers/plain"}

    finished = line.done()
    outcome = line.call("stage=teachers", "jobs=2")
    assert outcome.status == 0, outcome.err
    assert "teachers/vlad: started" in outcome.err
    assert "teachers/plain" not in outcome.err
    assert finished.items() <= line.done().items()
    weights = "teachers/vlad/weights.safetensors"
    assert (line.run / weights).read_bytes() == (undisturbed.run / weights).read_bytes()


def test_second_command_on_a_running_run_is_refused(undisturbed: Line, tmp_path: Path) -> None:
    line = undisturbed.fresh(tmp_path)
    first: subprocess.Popen[str] = line.start("stage=teachers")
    try:
        wait_for((line.run / "teachers").exists, first)
        refusal = line.call("stage=teachers").refusal()
        assert str(first.pid) in refusal
    finally:
        first.kill()
        first.communicate()
    wait_for(lambda: not processes_on(line.run))
