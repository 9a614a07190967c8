"""The exception of this room."""

from common.errors import UserError


class FamilyError(UserError):
    """A family's name, configuration or input is wrong; the message is one line that says which."""
