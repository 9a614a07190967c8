"""What every process of its own is told, whatever its job: as plain JSON, in its task's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from common.registry import Extension
from runs import ResourceConfig, RunError, Task
from runs.marker import Marker


@dataclass(frozen=True)
class Upstream:
    """A finished task whose files a job reads.

    Attributes:
        folder: the task's.
        digest: of its files; the content key has this, and not where they lie.
    """

    folder: Path
    digest: str

    @classmethod
    def of(cls, task: Task) -> Upstream:
        return cls(task.folder.resolve(), task.digest())

    def file(self, name: str) -> Path:
        """The path of one of its files, shown to be as it was when the job was given.

        Raises:
            UserError: it is not.
        """
        marker = Marker.read(self.folder)
        if marker is None or marker.digest != self.digest:
            raise RunError(f"{self.folder}: changed while this job waited; give the command again")
        return marker.file(self.folder, name)


@dataclass(frozen=True)
class Needs:
    """What a job has to find where it runs.

    Attributes:
        device: "auto", "cpu" or "cuda".
        extensions: the files of the user's own that it uses.
        resources: what it takes of a machine.
    """

    device: str
    extensions: tuple[Extension, ...]
    resources: ResourceConfig


@dataclass(frozen=True)
class Job:
    """What a process of its own does.

    Attributes:
        task: the task's name within the run, such as "teachers/netvlad-64".
        work: the modules of `stages` that do it.
    """

    work: ClassVar[tuple[str, ...]]
    task: str

    @property
    def needs(self) -> Needs:
        """What it has to find where it runs."""
        raise NotImplementedError

    def thread_count(self) -> int:
        """How many threads it computes with in all its processes."""
        raise NotImplementedError

    def takes(self, task: Task) -> bool:
        """Whether what a finished task of these inputs holds is what the job is to make."""
        return True

    def inputs(self) -> dict[str, Any]:
        """What the content key covers: all that changes the result, and no path."""
        raise NotImplementedError

    @property
    def modules(self) -> tuple[str, ...]:
        """Those whose code, with what they import, makes the result."""
        raise NotImplementedError


def paths_in(value: object) -> Iterator[Path]:
    """All paths in what a job says."""
    seen: list[Path] = []

    def see(path: Path) -> Path:
        seen.append(path)
        return path

    with_paths(value, see)
    yield from seen


def with_paths(value: Any, change: Callable[[Path], Path]) -> Any:
    """A job, or a part of one, with each path in it changed."""
    if isinstance(value, Path):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        found = {part.name: getattr(value, part.name) for part in fields(value)}
        return replace(value, **{name: with_paths(own, change) for name, own in found.items()})
    if isinstance(value, Mapping):
        return {key: with_paths(own, change) for key, own in value.items()}
    if isinstance(value, tuple):
        return tuple(with_paths(own, change) for own in value)
    return value


def run_folder(folder: Path, task: str) -> Path:
    """The folder of the run that the folder of a task of this name is in."""
    return folder.parents[task.count("/")]
