"""Which files a split is made of."""

from collections.abc import Iterator
from pathlib import Path

from common.problems import one_line, quoted
from records.arrow.saved import saved_files
from records.config import SplitSpec
from records.errors import DataError
from records.formats import known_suffixes, shard_of
from records.schema import Schema

LIST = "@"
"""What a pattern begins with that names a list of patterns."""


def find_shards(
    root: Path, name: str, spec: SplitSpec, format: str, schema: Schema
) -> tuple[Path, ...]:
    """The shards of a split, in the order of their names; for the arguments see `open_split`.

    A pattern that matches folders alone stands for the files of a known format in them, or of a
    saved data set of Hugging Face for those that it names as its own.

    Raises:
        DataError: The folder or a list is missing, a pattern matches nothing, or nothing is left.
    """
    if not root.is_dir():
        raise DataError(f"data root {root}: no such folder; set data.root")
    place = f"split {name!r}"
    if spec.shards is None:
        suffixes = known_suffixes(format)
        found = {path for path in _matched(root, "**/*") if path.name.endswith(suffixes)}
        if not found:
            raise DataError(f"{place}: no file under {root} ends in {' or '.join(suffixes)}")
    else:
        found = _named(root, place, spec.patterns, format)
    left = found - _named(root, place, spec.excluded, format)
    if not left:
        raise DataError(f"{place}: no shard is left of {len(found)} under {root}; exclude fewer")
    return tuple(sorted({shard_of(path, format, schema) for path in left}))


def _named(root: Path, place: str, patterns: tuple[str, ...], format: str) -> set[Path]:
    """The files of several patterns."""
    found: set[Path] = set()
    for pattern in patterns:
        lines = _lines(root, place, pattern) if pattern.startswith(LIST) else [(place, pattern)]
        for where, each in lines:
            try:
                files = _matched(root, each) or _in_folders(root, each, format)
            except (OSError, ValueError, NotImplementedError) as error:
                raise DataError(f"{where}: pattern {quoted(each)}: {one_line(error)}") from None
            if not files:
                raise DataError(f"{where}: no file matches {quoted(each)} under {root}")
            found |= files
    return found


def _lines(root: Path, place: str, pattern: str) -> Iterator[tuple[str, str]]:
    """The patterns of a list, each with its place."""
    path = root / pattern.removeprefix(LIST)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(f"{place}: list {path}: cannot be read: {reason}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{place}: {path}, line {number}", line.strip()


def _in_folders(root: Path, pattern: str, format: str) -> set[Path]:
    """The shards in the folders of a glob."""
    found: set[Path] = set()
    for folder in filter(Path.is_dir, root.glob(pattern)):
        own = saved_files(folder)
        suffixes = known_suffixes(format)
        files = own if own is not None else _matched(folder, "*")
        found |= {path for path in files if path.name.endswith(suffixes)}
    return found


def _matched(root: Path, pattern: str) -> set[Path]:
    """The files of a glob, or of a name, which may hold what a glob takes for its own signs."""
    exact = root / pattern
    found = [exact] if exact.is_file() and not Path(pattern).is_absolute() else root.glob(pattern)
    return {path for path in found if path.is_file() and not path.name.startswith(".")}
