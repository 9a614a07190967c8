"""What changes while a job does something, by which one that hangs is told."""

from contextlib import suppress
from pathlib import Path

from runs.store import LOG_NAME, PROGRESS_NAME


def traces_of(folder: Path, pid: int) -> object:
    """Of a job's progress, its log and what it has read: equal as long as none moves.

    What those read that its process started counts too: a training may be several.
    """
    files = [_of_file(folder / name) for name in (PROGRESS_NAME, LOG_NAME)]
    return [*files, *map(_bytes_read, (pid, *_started_by(pid)))]


def _of_file(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written to."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _started_by(pid: int) -> list[int]:
    """The processes that another's main thread started and that are there; on Linux."""
    with suppress(OSError):
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def _bytes_read(pid: int) -> str:
    """What changes while a process goes through its data, of which it may not report; on Linux."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/io").read_text().partition("\n")[0]
    return ""
