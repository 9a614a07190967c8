"""The errors of this room."""

from common.errors import UserError


class BundleError(UserError):
    """A bundle, or what is to become one, is not as it has to be; the message is one line."""


class BudgetError(UserError):
    """A budget cannot be read or met; the message is one line."""
