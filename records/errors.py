"""The one exception of this room, and how it quotes and names files."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UserError

_MAX_QUOTED = 200


class DataError(UserError):
    """Input data, or its description, that cannot be used.

    The message is one line; it names the file, field or number and says what to do.
    """


def listed(names: Iterable[str]) -> str:
    """Names that a file has, in at most 200 characters."""
    text = ", ".join(names)
    return text if len(text) <= _MAX_QUOTED else f"{text[: _MAX_QUOTED - 1]}…"


@contextmanager
def calling(place: str | Path, name: str) -> Iterator[None]:
    """An error that names a place on this machine calls it by another name.

    Raises:
        UserError: In place of what was raised, and of the same class.
    """
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).replace(str(place), name)) from error
