"""What is said on standard error beside errors and results: less with `-q`, more with `-v`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Literal, TextIO

Verbosity = Literal["quiet", "normal", "verbose"]

_LEVELS = {"quiet": logging.WARNING, "normal": logging.INFO, "verbose": logging.DEBUG}
_FLAGS = {
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what is standard error at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


_LOG = logging.getLogger("onegig")
_LOG.propagate = False
_LOG.addHandler(_StandardError())
_LOG.setLevel(logging.INFO)


def set_verbosity(verbosity: Verbosity) -> None:
    """From now on, in this process: `quiet` leaves warnings, `verbose` adds details."""
    _LOG.setLevel(_LEVELS[verbosity])


def is_quiet() -> bool:
    """Whether only warnings are said."""
    return not _LOG.isEnabledFor(logging.INFO)


def is_verbose() -> bool:
    """Whether details are said."""
    return _LOG.isEnabledFor(logging.DEBUG)


def warn(text: str) -> None:
    """Says what may change what a result is worth, `-q` or not."""
    _LOG.warning("%s", text)


def say(text: str) -> None:
    """Says where things stand, unless it is to be quiet."""
    _LOG.info("%s", text)


def say_more(text: str) -> None:
    """Says what only `-v` asks for."""
    _LOG.debug("%s", text)


def as_overrides(arguments: Sequence[str]) -> list[str]:
    """A command line with the flags as the key that they stand for.

    Example:
        >>> as_overrides(["stage=all", "-q"])
        ['stage=all', 'verbosity=quiet']
    """
    return [
        f"verbosity={_FLAGS[argument]}" if argument in _FLAGS else argument
        for argument in arguments
    ]
