"""A run's folder and its tasks: what is done, from what it was made, and what has to be redone."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from common.codec import to_plain
from common.errors import UserError
from common.files import TEMPORARY_SUFFIX, read_json, sha256_file, sync, write_json
from runs.errors import RunError
from runs.keys import content_key
from runs.marker import DONE_NAME, CoveredFile, Marker

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LOCK_NAME = "LOCK"
TASK_NAME = "task.json"
LOG_NAME = "log.txt"
PROGRESS_NAME = "progress.jsonl"

# What the executor and the locks have open while a task prepares its folder.
_KEPT = frozenset({LOCK_NAME, LOG_NAME, PROGRESS_NAME})
# A bundle takes as much of a member's name.
_NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
# An orphan dies with its parent at once; its forked data workers notice within five seconds.
ORPHAN_SECONDS = 15.0


def is_name(name: str) -> bool:
    """Whether a folder of tasks, or a task in it, may have this name."""
    return _NAME_PATTERN.fullmatch(name) is not None


class Run:
    """One run: a folder such as `outputs/demo`, with a subfolder for each task.

    It is made when the first task prepares. One in object storage is a `runs.remote.run.RemoteRun`.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def task(self, name: str, inputs: Mapping[str, Any]) -> Task:
        """The task `name`, made from `inputs` (configs, fingerprints, digests of other tasks).

        Raises:
            RunError: The name is no plain relative path, or an input has no content key.
        """
        if not all(map(is_name, name.split("/"))):
            raise RunError(f"task {name!r}: use letters, digits and ._+- (and / between folders)")
        return Task(name, self.root / name, inputs)

    def lock(self) -> AbstractContextManager[None]:
        """Holds the run, so that no second process works on it.

        Raises:
            RunError: On entering, when another process holds it; the message names that process.
        """
        return locked(self.root, f"run {self.root}")

    def publish(self) -> None:
        """Hands on what was finished since; in a folder it is where it belongs."""


class Task:
    """One subfolder of a run, complete when and only when its `DONE` stands.

    `DONE` is a JSON file written last: the key of the inputs, the size and sha256 of every file
    that it covers, a summary, and a checksum of all this. What it covers is used as it was written,
    or not at all.

    Attributes:
        name: The task's name within the run, such as `teachers/netvlad-0`.
        folder: Where its files lie. It holds no other task.
        key: The content key of the inputs.
    """

    def __init__(self, name: str, folder: Path, inputs: Mapping[str, Any]) -> None:
        self.name = name
        self.folder = folder
        self.key = content_key(inputs)
        self._inputs = to_plain(inputs, "inputs", RunError)

    def is_done(self) -> bool:
        """Whether `DONE` stands, for these inputs, and all that it covers is as it was written."""
        marker = self._marker()
        return marker is not None and marker.damaged(self.folder) is None

    def damaged(self) -> str | None:
        """The first file of a finished task that is not as it was written, `DONE` included.

        None where there is none, and where the task has not been finished for these inputs.
        """
        try:
            Marker.read(self.folder)
        except UserError:
            return DONE_NAME
        marker = self._marker()
        return marker.damaged(self.folder) if marker else None

    def file(self, name: str) -> Path:
        """The path of a file that the task wrote, shown to be as it was written.

        Raises:
            RunError: It is not, or the task is not done.
        """
        return self._finished().file(self.folder, name)

    def digest(self) -> str:
        """One hash of the covered files' names and contents, for the keys of what follows.

        Raises:
            RunError: The task is not done.
        """
        return self._finished().digest

    def summary(self) -> dict[str, Any]:
        """What `finish` was given as summary.

        Raises:
            RunError: The task is not done.
        """
        return self._finished().summary

    def lock(self, timeout: float = ORPHAN_SECONDS) -> AbstractContextManager[None]:
        """Holds the task's folder, so that an orphan and its successor never write together.

        Take it around `prepare`, the work and `finish`. For a dying predecessor it waits `timeout`
        seconds.

        Raises:
            RunError: On entering, when another process still holds it.
        """
        return locked(self.folder, f"task {self.name}", timeout)

    def prepare(self) -> None:
        """Makes the folder fit to work in: removes `DONE` and whatever other inputs left.

        Files of the same inputs (checkpoints) stay, temporary files of a killed writer go.
        `task.json` then names the key and the inputs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / DONE_NAME).unlink(missing_ok=True)
        sync(self.folder)
        same = self._is_prepared()
        for path in _leftovers(self.folder, temporary_only=same):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not same:
            write_json(self.folder / TASK_NAME, {"key": self.key, "inputs": self._inputs})

    def finish(self, files: Sequence[str], summary: Mapping[str, Any] | DataclassInstance) -> None:
        """Writes `DONE` over `files`, the last act of a task.

        Args:
            files: Names relative to the folder; each is hashed.
            summary: A few figures for tables, a mapping or a dataclass.

        Raises:
            RunError: A file is missing or outside the folder, or the folder was prepared for
                other inputs, or the summary is not JSON.
        """
        if not self._is_prepared():
            raise RunError(f"task {self.name}: {self.folder} was not prepared for these inputs")
        covered = {name: self._covered(name) for name in sorted(set(files))}
        sync(self.folder)
        Marker(self.key, covered, to_plain(summary, "summary", RunError)).write(self.folder)

    def _covered(self, name: str) -> CoveredFile:
        path = self.folder / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file():
            raise RunError(f"task {self.name}: {name} is no file of {self.folder}")
        # Not every writer flushes; DONE must not outlive what it vouches for.
        sync(path)
        return CoveredFile(path.stat().st_size, sha256_file(path))

    def _is_prepared(self) -> bool:
        try:
            return read_json(self.folder / TASK_NAME)["key"] == self.key
        except (UserError, KeyError, TypeError):
            return False

    def _marker(self) -> Marker | None:
        """What `DONE` says, if it stands for these inputs."""
        try:
            marker = Marker.read(self.folder)
        except UserError:
            return None
        return marker if marker and marker.key == self.key else None

    def _finished(self) -> Marker:
        marker = self._marker()
        if marker is None:
            place = self.folder / DONE_NAME
            raise RunError(f"task {self.name} is not done: {place} does not stand")
        return marker


@contextmanager
def locked(folder: Path, holder: str, timeout: float = 0.0) -> Iterator[None]:
    """Holds an exclusive lock in `folder`; the kernel ends it when this process dies.

    The file keeps the process number of its last holder and is never removed, since a removed
    lock file would let two processes lock two files of one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    lock = FileLock(path, timeout)
    try:
        lock.acquire()
    except Timeout:
        number = path.read_text(errors="replace").strip() or "unknown"
        raise RunError(
            f"{holder} is in use by process {number}: wait for it to end or stop it"
        ) from None
    try:
        path.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()


def _leftovers(folder: Path, *, temporary_only: bool) -> Iterator[Path]:
    """What a task has to remove before it starts; the old `task.json` comes first.

    Without it a folder whose removal was cut short counts as nobody's, and is cleared again.
    """
    if temporary_only:
        yield from sorted(folder.rglob(f".*{TEMPORARY_SUFFIX}"))
        return
    names = sorted(os.listdir(folder), key=lambda name: name != TASK_NAME)
    yield from (folder / name for name in names if name not in _KEPT)
