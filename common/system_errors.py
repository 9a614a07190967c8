"""Errors of the operating system as a user reads them: one line, and whose fault it is."""

import errno
import os

# The path that was given is wrong. All other errors are the machine's: no space, no memory, no
# further open files, a disk that fails.
_OF_PATHS = {
    errno.EACCES,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
    errno.ETXTBSY,
}
OF_PATH, OF_MACHINE = 2, 1


def exit_status(error: OSError) -> int:
    """2 where a path is wrong, 1 where the machine failed."""
    return OF_PATH if error.errno in _OF_PATHS else OF_MACHINE


def describe(error: OSError) -> str:
    """The path and the cause on one line.

    Example:
        >>> describe(FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b"))
        'a/b: No such file or directory'
    """
    cause = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
    text = cause if error.filename is None else f"{error.filename}: {cause}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
