"""The error that every room's own errors derive from."""


class UserError(ValueError):
    """The user's input is wrong: configuration, data, a file, a budget.

    The message is one line; it names the key, the file or the number and says what to do. The
    program then ends with status 2. Any other exception is a defect of ours, with a traceback.
    """

    def __str__(self) -> str:
        # Names of files and ids are hostile text: in a terminal they could do what they like.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in super().__str__())


class ConfigError(UserError):
    """A value of the configuration is wrong; the message names its key."""
