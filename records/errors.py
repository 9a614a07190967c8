"""The one exception of this room, and how it quotes a file."""

from collections.abc import Iterable

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
