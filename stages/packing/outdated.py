"""What of a run goes when another bundle is packed: nothing of the old one looks like the new."""

import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from common.errors import UserError
from common.files import read_json
from runs.marker import DONE_NAME
from runs.store import LOCK_NAME

REPORT_NAME = "report.html"
_BUNDLES = "bundle"
# Of what is packed, beside the bundle.
_FIGURES = ("members.csv", "curve.png")


def submission_names(split: str) -> tuple[str, str]:
    """The files of a split's submission, and of what it was made from."""
    return f"submission-{split}.csv", f"submission-{split}.json"


def remove_other_bundles(root: Path, kept: Collection[str]) -> None:
    """Removes every bundle of a run's folder but those of the tasks `kept`, and what they left.

    A task whose folder is within that of another is kept alone there.
    """
    folder = root / _BUNDLES
    whole = _BUNDLES in kept
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.is_dir():
            goes = f"{_BUNDLES}/{path.name}" not in kept
        else:
            goes = not whole and path.name != LOCK_NAME
        if goes:
            remove_what_follows(root)
            _remove(path)


def remove_what_follows(root: Path) -> None:
    """Removes submissions of the run's own bundles, its page, and tables of what was packed."""
    for name in (REPORT_NAME, *_FIGURES):
        (root / name).unlink(missing_ok=True)
    for split in ("train", "search", "report", "test"):
        submission, record = (root / name for name in submission_names(split))
        if _is_of_own(record):
            submission.unlink(missing_ok=True)
            record.unlink(missing_ok=True)


def _is_of_own(record: Path) -> bool:
    """Whether a submission was made of a bundle of the run; one without a record was not ended."""
    with suppress(UserError, TypeError, KeyError):
        return bool(read_json(record)["own"])
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        # Cut short, it is no finished task.
        (path / DONE_NAME).unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink()
