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


def is_of_path(error: OSError) -> bool:
    """Whether a path is wrong, so that the user can put it right; else the machine failed."""
    return error.errno in _OF_PATHS


def describe(error: OSError) -> str:
    """The path and the cause on one line.

    Example:
        >>> describe(FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b"))
        'a/b: No such file or directory'
    """
    cause = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
    text = cause if error.filename is None else f"{error.filename}: {cause}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
