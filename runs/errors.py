"""The one error of this room."""

from common.errors import UserError


class RunError(UserError):
    """A run folder, a task or a job is not as it has to be; the message is one line."""
