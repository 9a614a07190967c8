"""Progress in a notebook: one text below the cell, which is replaced and does not grow."""

import sys
import time
from typing import Any

_SECONDS = 1.0


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows no bars of a terminal."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class NotebookDisplay:
    """Lines by name, shown together at most once a second; of those that are over the last."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._over = ""
        self._handle: Any = None
        self._shown = 0.0
        self._is_shown = True

    def update(self, name: str, line: str, is_over: bool) -> None:
        """Sets a line."""
        if is_over:
            self._lines.pop(self._over, None)
            self._over = name
        self._lines[name] = line
        self._is_shown = False
        if time.monotonic() - self._shown >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Shows the lines as they are."""
        if self._is_shown:
            return
        from IPython.display import display

        self._shown, self._is_shown = time.monotonic(), True
        text = {"text/plain": "\n".join(self._lines.values())}
        if self._handle is None:
            self._handle = display(text, raw=True, display_id=True)
        else:
            self._handle.update(text, raw=True)
