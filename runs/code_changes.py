"""What becomes of tasks that other code made: `on_code_change`."""

from collections.abc import Sequence
from typing import Literal

from runs.code import changed_code
from runs.errors import RunError
from runs.store import Task

OnCodeChange = Literal["keep", "redo", "error"]
# A line names this many tasks and files.
_MOST_NAMED = 4


class CodeChanges:
    """The tasks of one call that other code made.

    Args:
        choice: `keep`: they stay as they are. `redo`: they are made again. `error`: refused.
    """

    def __init__(self, choice: OnCodeChange) -> None:
        self._choice = choice
        self._files: dict[str, set[str]] = {}

    def calls_for_redoing(self, task: Task, modules: Sequence[str]) -> bool:
        """Whether a task, finished or begun, has to be made anew; takes note of it in any case.

        Args:
            task: One of this call.
            modules: Those whose code makes it.
        """
        files = changed_code(task, modules)
        if files:
            self._files[task.name] = files
        return bool(files) and self._choice == "redo"

    def check(self) -> None:
        """Refuses what was noted so far.

        Raises:
            RunError: There is any, and the choice is `error`.
        """
        if self._files and self._choice == "error":
            raise RunError(f"{self._said()}; on_code_change=keep keeps them, redo makes them again")

    def line(self) -> str | None:
        """What the user is told at the end of a call, if anything."""
        if not self._files or self._choice == "error":
            return None
        kept = "they are kept, on_code_change=redo makes them again"
        return f"{self._said()}; {'they were made again' if self._choice == 'redo' else kept}"

    def _said(self) -> str:
        files = sorted(set().union(*self._files.values()))
        return (
            f"code changed since {len(self._files)} tasks were made "
            f"({_first(list(self._files))}): {_first(files)}"
        )


def _first(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
