"""The one exception of this room."""

from common.errors import UserError


class DataError(UserError):
    """Input data, or its description, that cannot be used.

    The message is one line; it names the file, field or number and says what to do.
    """
