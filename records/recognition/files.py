"""The files of a folder that nothing is known of, and the splits that their names speak of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from records.arrow.saved import saved_files
from records.config import SplitSpec
from records.errors import DataError
from records.foreign import refuse_foreign
from records.formats import format_of, known_suffixes

# Parts of names that say which split a file is of.
_WORDS = {
    "train": ("train", "training"),
    "valid": ("valid", "validate", "validation", "val", "dev", "search"),
    "report": ("report",),
    "test": ("test", "eval"),
}
_WORD = re.compile(r"[a-z]+")
_ARRAY = ".npy"
# The share of the ids to choose by, or to report on, where there are no files for it.
_HELD = 0.1


def find_files(root: Path, format: str) -> tuple[str, list[Path]]:
    """The files of a folder that are of a known format, and its name.

    Raises:
        DataError: There are none, or they are of several formats.
    """
    suffixes = known_suffixes(format)
    paths = sorted(
        path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")
    )
    files = [path for path in paths if path.name.endswith(suffixes) and _is_data(path)]
    if not files:
        for path in paths:
            refuse_foreign(path)
        raise DataError(f"data.root: no file under {root} ends in {' or '.join(suffixes)}")
    # One array stands for all of its folder.
    first = {path.parent: path for path in reversed(files) if path.suffix == _ARRAY}
    files = [path for path in files if path.suffix != _ARRAY or path == first[path.parent]]
    names = sorted({format_of(path, format).name for path in files})
    if len(names) > 1:
        raise DataError(
            f"data.format: under {root} are files of {' and '.join(names)}; say which, "
            f"data.format={names[0]}"
        )
    return names[0], files


def _is_data(path: Path) -> bool:
    """Whether a file has rows of a data set; `datasets` keeps others beside those that it saved."""
    saved = saved_files(path.parent) if path.suffix == ".arrow" else None
    return saved is None or path in saved


def group_files(root: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files by what their names and folders say: train, valid, report, test.

    Where none says anything, and also where only some do, the others are of train.
    """
    groups: dict[str, list[Path]] = {}
    for path in files:
        words = set(_WORD.findall(path.relative_to(root).as_posix().lower()))
        said = [group for group, known in _WORDS.items() if words & set(known)]
        groups.setdefault(said[0] if len(said) == 1 else "train", []).append(path)
    return groups


def divide(
    root: Path, groups: Mapping[str, Sequence[Path]], test_has_labels: bool
) -> dict[str, SplitSpec]:
    """The splits that groups of files become; what is missing is a part of the ids' hashes.

    Validation is for choosing. Where a test set has labels and there is nothing else to report on,
    scores are reported on it; otherwise it is what is to be predicted.

    Raises:
        DataError: No file is of train.
    """
    pattern = {name: _patterns(root, paths, groups) for name, paths in groups.items()}
    train, valid, report, test = (pattern.get(name) for name in _WORDS)
    if train is None:
        raise DataError(
            f"data.root: by their names all files under {root} are of validation, report or test; "
            "add those of train"
        )
    specs: dict[str, SplitSpec] = {}
    if test and (report or not test_has_labels):
        specs["test"] = SplitSpec(test)
    else:
        report = report or test
    first, second = 1 - 2 * _HELD, 1 - _HELD
    parts: tuple[tuple[str | tuple[str, ...], float, float], ...]
    if valid and report:
        parts = (train, 0, 1), (valid, 0, 1), (report, 0, 1)
    elif valid:
        parts = (train, 0, 1), (valid, 0, 0.5), (valid, 0.5, 1)
    elif report:
        parts = (train, 0, second), (train, second, 1), (report, 0, 1)
    else:
        parts = (train, 0, first), (train, first, second), (train, second, 1)
    names = ("train", "search", "report")
    return {name: SplitSpec(*part) for name, part in zip(names, parts, strict=True)} | specs


def _patterns(
    root: Path, paths: Sequence[Path], groups: Mapping[str, Sequence[Path]]
) -> str | tuple[str, ...]:
    """A glob that takes these files and none of the others, or else their names."""
    names = [path.relative_to(root).as_posix() for path in paths]
    if len(names) == 1:
        return names[0]
    every = {path for own in groups.values() for path in own}
    pairs = enumerate(zip(names[0], names[-1], strict=False))
    shared = next((place for place, (one, other) in pairs if one != other), len(names[0]))
    suffix = paths[0].suffix
    # Of shards that are numbered from 0 to 9 the prefix ends in a zero.
    prefix = names[0][:shared].rstrip("0123456789")
    for pattern in (f"{prefix}*{suffix}", f"**/*{suffix}"):
        if {path for path in root.glob(pattern) if path.suffix != _ARRAY or path in every} == set(
            paths
        ):
            return pattern
    return tuple(names)
