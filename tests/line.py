"""What the end-to-end tests share: the command, small data, one finished run, processes."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import yaml

import orchestrate
from common.codec import to_plain
from records import Schema
from tests.conftest import SMALL_FRAMES, SMALL_MEANS, write_small_data
from training.checkpoint import CHECKPOINT_NAME

PROGRAM = Path(orchestrate.__file__)
DONE = "DONE"
# Hydra then looks for conf/ beside the file, as it does when the file is run.
_AS_MAIN = {"HYDRA_MAIN_MODULE": "__main__"}
_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """How a call ended, and what it wrote."""

    status: int
    out: str
    err: str

    def refusal(self) -> str:
        """The one line that a user's mistake is answered with."""
        assert self.status == 2, self
        # What a run says of its data, and of where it stands, comes before.
        before = re.compile(r"labels a clip: |split |stage \d+ of |\S+: \d+ of \d+ were done")
        lines = [row for row in self.err.splitlines() if not before.match(row)]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("onegig: "), self.err
        return lines[0]


def call(*overrides: str) -> Outcome:
    """The command line in this process, which saves an import of torch."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", [str(PROGRAM), *overrides]),
        patch.dict(os.environ, _AS_MAIN),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        status = orchestrate.main()
    return Outcome(status, out.getvalue(), err.getvalue())


def start(*overrides: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *overrides],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Line:
    """A run of two members (or one, on means) on small data, and how to call it.

    Attributes:
        data: the shards.
        schema: the schema's YAML.
        outputs: the folder of runs.
        changes: further overrides.
    """

    data: Path
    schema: Path
    outputs: Path
    changes: tuple[str, ...] = ("~members.bag", "~members.sequence")

    @property
    def run(self) -> Path:
        return self.outputs / "smoke"

    @property
    def bundle(self) -> Path:
        return self.run / "bundle" / "bundle.safetensors"

    @property
    def receipt(self) -> Path:
        return self.run / "bundle" / "receipt.json"

    def overrides(self, *more: str) -> list[str]:
        return [
            "experiment=smoke",
            "data.generated=false",
            "data.vocabulary=null",
            f"data.schema={self.schema}",
            f"data.root={self.data}",
            f"outputs={self.outputs}",
            # Small batches: trainings of some hundred milliseconds, so that one can be killed.
            "train.batch_size=8",
            *self.changes,
            *more,
        ]

    def call(self, *more: str) -> Outcome:
        return call(*self.overrides(*more))

    def start(self, *more: str) -> subprocess.Popen[str]:
        return start(*self.overrides(*more))

    def copy(self, folder: Path, *without: str) -> Line:
        """The same run elsewhere, as if the tasks below `without` had not been started yet."""
        shutil.copytree(self.outputs, folder / "outputs")
        line = Line(self.data, self.schema, folder / "outputs", self.changes)
        for name in without:
            shutil.rmtree(line.run / name)
        return line

    def fresh(self, folder: Path) -> Line:
        """The same configuration with nothing done."""
        return Line(self.data, self.schema, folder / "outputs", self.changes)

    def done(self) -> dict[str, int]:
        """When each task was finished, by its name."""
        markers = self.run.rglob(DONE)
        return {str(m.parent.relative_to(self.run)): m.stat().st_mtime_ns for m in markers}


def write_schema(path: Path, schema: Schema) -> Path:
    path.write_text(yaml.safe_dump(to_plain(schema)))
    return path


@cache
def frames_line(base: Path) -> Line:
    """A run of two members on frames that has been through `stage=all`; not to be changed."""
    folder = base / "frames-line"
    data = write_small_data(folder / "data", SMALL_FRAMES)
    line = Line(data, write_schema(folder / "frames.yaml", SMALL_FRAMES), folder / "outputs")
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    return line


def blank_means_line(folder: Path, changes: tuple[str, ...]) -> Line:
    """A run on video-level means of which nothing is done yet."""
    data = write_small_data(folder / "data", SMALL_MEANS)
    schema = write_schema(folder / "means.yaml", SMALL_MEANS)
    return Line(data, schema, folder / "outputs", changes)


def finished_means_line(folder: Path, changes: tuple[str, ...]) -> Line:
    """Such a run that has been through undisturbed."""
    line = blank_means_line(folder, changes)
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    return line


@cache
def means_line(base: Path) -> Line:
    """A run of one perceptron on video-level means that has been through; not to be changed."""
    changes = ("~members.vlad", "~members.bag", "~members.sequence")
    return finished_means_line(base / "means-line", changes)


def wait_for(what: Callable[[], object], process: subprocess.Popen[str] | None = None) -> bool:
    """Waits until something is true; False when the process ended before.

    Raises:
        TimeoutError: it never was.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while not what():
        if process is not None and process.poll() is not None:
            return bool(what())
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.002)
    return True


@contextmanager
def killed_at_checkpoint(training: Path) -> Iterator[None]:
    """Meanwhile the process of a training is killed, as soon as there is a checkpoint."""

    def kill() -> None:
        with suppress(TimeoutError):
            wait_for((training / CHECKPOINT_NAME).exists)
            os.kill(int((training / "LOCK").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


def processes_on(folder: Path) -> list[int]:
    """Numbers of the processes that were started on a folder: the workers name theirs."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows: Sequence[list[str]] = [line.split(None, 2) for line in listing.stdout.splitlines()]
    return [
        int(row[0])
        for row in rows
        if len(row) == 3 and row[1][0] != "Z" and str(folder.resolve()) in row[2]
    ]
