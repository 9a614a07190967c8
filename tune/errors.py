"""The exception of this room."""

from common.errors import UserError


class TuneError(UserError):
    """A space, a setting or a storage of a study is not as it has to be; the message says which."""
