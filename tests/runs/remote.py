"""What the tests of runs in object storage share."""

from __future__ import annotations

from runs import Task
from runs.remote.folder import ObjectFolder


def make_done(task: Task, content: bytes = b"weights") -> Task:
    task.prepare()
    (task.folder / "weights.bin").write_bytes(content)
    (task.folder / "log.txt").write_text("as it went")
    task.finish(["weights.bin"], {"gap": 0.5})
    return task


def names(url: str) -> list[str]:
    """What is there of the run, without its leases."""
    return [name for name in ObjectFolder(url).list() if not name.startswith("LOCK/")]
