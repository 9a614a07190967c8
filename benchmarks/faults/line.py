"""The command line as a process, on a small run that all trials share."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import orchestrate

PROGRAM = (sys.executable, orchestrate.__file__)
# Logs, clocks and locks differ from run to run, and so do the places that a job is told.
_RESULTS = ("*.safetensors", "solutions.json", "ensemble.json", "receipt.json", "submission-*.csv")
_TIMEOUT = 1200.0


@dataclass(frozen=True)
class Line:
    """A run of the experiment `smoke` in a folder of its own, with its data."""

    folder: Path

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    @property
    def run(self) -> Path:
        return self.outputs / "smoke"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def bundle(self) -> Path:
        return self.run / "bundle" / "bundle.safetensors"

    def command(self, *more: str) -> list[str]:
        """The command's words, without the stage."""
        places = (f"outputs={self.outputs}", f"data.root={self.data}")
        return [*PROGRAM, "experiment=smoke", *places, *more]

    def start(
        self,
        *more: str,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> subprocess.Popen[str]:
        """The command as a process; `before` are words that stand in front of it."""
        return subprocess.Popen(
            [*before, *self.command(*more)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *more: str, before: Sequence[str] = ()) -> tuple[int, str]:
        """Exit status, and what was said on standard error."""
        process = self.start(*more, before=before)
        _, err = process.communicate(timeout=_TIMEOUT)
        return process.returncode, err

    @cached_property
    def finished(self) -> "Line":
        """The same run, through `stage=all` the first time that it is asked for.

        Raises:
            RuntimeError: It did not get through.
        """
        if not self.bundle.is_file():
            status, err = self.call("stage=all")
            if status:
                raise RuntimeError(f"the undisturbed run ended with {status}: {err[-500:]}")
        return self

    def copy(self, folder: Path, *without: str) -> "Line":
        """The run elsewhere, on the same data, as if the tasks `without` had not been started."""
        shutil.copytree(self.folder, folder, copy_function=shutil.copy2)
        line = Line(folder)
        for name in without:
            shutil.rmtree(line.run / name)
        return line

    def results(self) -> dict[str, str]:
        """The hashes of everything that the same command has to make alike."""
        paths = {path for pattern in _RESULTS for path in self.run.rglob(pattern)}
        return {
            str(path.relative_to(self.run)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(paths)
            if path.name != "checkpoint.safetensors"
        }


def difference(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The names under which two runs do not have the same; empty where all are alike."""
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
