"""What a run says beside its result: where it stands, less with -q, more with -v; and its logs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.line import Line, frames_line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Two members on frames. Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


def test_a_finished_run_says_that_all_was_done(finished: Line, tmp_path: Path) -> None:
    outcome = finished.copy(tmp_path).call("stage=all")
    assert outcome.status == 0, outcome.err
    lines = outcome.err.splitlines()
    stages = [line for line in lines if line.startswith("stage ")]
    assert stages[0] == "stage 1 of 6: plan"
    names = ["teachers", "distill", "pack", "predict", "report"]
    for number, (line, name) in enumerate(zip(stages[1:], names, strict=True), start=2):
        assert re.fullmatch(rf"stage {number} of 6: {name}, \d+:\d\d elapsed", line)
    assert "teachers: 2 of 2 were done" in lines and "students: 2 of 2 were done" in lines
    assert lines.index("teachers: 2 of 2 were done") < lines.index(stages[2])


def test_quiet_leaves_the_result(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    loud, quiet = line.call("stage=pack"), line.call("stage=pack", "-q")
    assert loud.err and not quiet.err
    assert quiet.out == loud.out and "GAP on report" in quiet.out
    # And errors: what is said of the data before is not said.
    refused = line.call("stage=pack", "--quiet", "budget=1")
    assert refused.status == 2 and len(refused.err.splitlines()) == 1


def test_trainings_are_shown_together_and_their_logs_with_v(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path, "teachers/plain", "teachers/vlad")
    outcome = line.call("stage=teachers", "-v")
    assert outcome.status == 0, outcome.err
    together = [own for own in outcome.err.splitlines() if own.startswith("teachers: ")]
    assert re.match(r"teachers: 0/2 elapsed \d+:\d\d", together[0])
    assert re.match(r"teachers: 2/2 done, elapsed \d+:\d\d", together[-1])
    assert re.search(r"^teachers/plain: .* trains perceptron, ", outcome.err, re.MULTILINE)
    # The next call has nothing to do, and no details unless it is asked for them.
    again = line.call("stage=teachers")
    assert "teachers: 2 of 2 were done" in again.err and "perceptron" not in again.err


@pytest.mark.parametrize("task", ["teachers/vlad", "students/plain"])
def test_the_log_of_a_training_says_what_it_did(finished: Line, task: str) -> None:
    folder = finished.run / task
    log = (folder / "log.txt").read_text()
    summary = json.loads((folder / "DONE").read_text())["summary"]
    assert f"trains {summary['family']}, {summary['parameters']:,} parameters, on 160 " in log
    assert f"main: GAP {summary['gap_search_main']:.5f} on search" in log
    assert f"kept {summary['kept']}; trained at " in log
    assert re.search(r"begins: [\d,]+ steps of 8 clips", log)
