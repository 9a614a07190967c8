"""What goes wrong with soft targets through no fault of the program."""

from common.errors import UserError


class SoftTargetError(UserError):
    """Soft targets are missing, damaged, or of other clips; the message says which."""
