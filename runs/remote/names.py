"""Which files of a run go to object storage, and which task each belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from common.files import TEMPORARY_SUFFIX
from runs.marker import DONE_NAME
from runs.remote.agreement import AGREEMENT_NAME
from runs.remote.lease import LEASES
from runs.store import LOCK_NAME, PROGRESS_NAME, TASK_NAME

# An object that says whom a task was handed to last.
GIVEN_NAME = "GIVEN"
# Of one machine alone, or of the storage.
_OWN = {LOCK_NAME, PROGRESS_NAME, AGREEMENT_NAME, GIVEN_NAME}
# What a database has beside it as long as a command works with it.
_BESIDE_DATABASE = ("-journal", "-wal", "-shm")


def is_of_run(name: str) -> bool:
    """Whether a file, or an object, of this name is one that both have."""
    last = name.rpartition("/")[2]
    is_temporary = last.startswith(".") and last.endswith(TEMPORARY_SUFFIX)
    is_own = last in _OWN or name.startswith(f"{LEASES}/") or last.endswith(_BESIDE_DATABASE)
    # Others are no program's, and could do what they like in a terminal.
    return name.isprintable() and not (is_temporary or is_own)


def names_in(root: Path, below: str = "") -> list[str]:
    """The files of a run's folder, or of one in it, in their order."""
    names = (
        path.relative_to(root).as_posix()
        for path in sorted((root / below).rglob("*"))
        if path.is_file()
    )
    return [name for name in names if is_of_run(name)]


def by_task(names: Iterable[str]) -> dict[str, list[str]]:
    """Files by the task in whose folder they lie; below "" those of no task."""
    names = list(names)
    split = [name.rpartition("/") for name in names]
    tasks = {folder for folder, _, last in split if last in (DONE_NAME, TASK_NAME)}
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in tasks:
            folder = folder.rpartition("/")[0]
        found[folder].append(name)
    return found
