"""What a stage is, and all of them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common.errors import ConfigError
from common.registry import Registry
from runs.marker import DONE_NAME

if TYPE_CHECKING:
    from stages.workspace import Workspace

Run = TypeVar("Run", bound="Callable[[Workspace], object]")


@dataclass(frozen=True)
class Done:
    """How much of a stage is done, in tasks."""

    tasks: int
    of: int

    @property
    def whole(self) -> bool:
        """Whether nothing is left."""
        return 0 < self.of <= self.tasks

    @classmethod
    def below(cls, folder: Path, names: Iterable[str] | None = None) -> Done:
        """How many of the tasks `names`, by default of all that there are, of a folder are done."""
        if names is None:
            names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        marks = [(folder / name / DONE_NAME).exists() for name in names]
        return cls(sum(marks), len(marks))


@dataclass(frozen=True)
class Stage:
    """A part of the work on a run; its attributes are those of `stage`."""

    name: str
    help: str
    needs: tuple[str, ...]
    run: Callable[[Workspace], object]
    done: Callable[[Workspace], Done] | None
    of_run: bool = True


def _own() -> None:
    from stages import builtin  # noqa: F401


STAGES: Registry[Stage] = Registry("stage", ConfigError, _own)


def stage(
    name: str,
    *,
    help: str,
    needs: tuple[str, ...] = (),
    done: Callable[[Workspace], Done] | None = None,
    of_run: bool = True,
) -> Callable[[Run], Run]:
    """Registers the decorated function as a stage.

    The function takes the workspace and does what is not done yet. A text or a path that it returns
    is printed, the results of the project's own stages are shown as tables.

    Args:
        name: What `stage=` is to be.
        help: What it does, in a line.
        needs: Stages that come before it.
        done: How much of it is done; None where that cannot be said.
        of_run: Whether it works on the run, which then no other command may.

    Example:
        @stage("count", help="how many teachers there are", needs=("teachers",))
        def count(workspace: Workspace) -> str:
            return f"{len(load_teachers(workspace))} teachers"
    """

    def add(run: Run) -> Run:
        STAGES.add(name, Stage(name, help, needs, run, done, of_run))
        return run

    return add


def list_stages() -> list[Stage]:
    """All stages, each behind those that it needs, otherwise in the order of their registration.

    Raises:
        ConfigError: One needs a stage that there is not.
    """
    ordered: list[Stage] = []
    visited: set[str] = set()

    def visit(names: Iterable[str]) -> None:
        for name in names:
            if name not in visited:
                visited.add(name)
                visit(STAGES.get(name).needs)
                ordered.append(STAGES.get(name))

    visit(STAGES.names())
    return ordered
