"""The files of a data set that Hugging Face's `datasets` saved with `save_to_disk`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.files import read_json
from records.errors import DataError

STATE = "state.json"
"""What lists them."""


def saved_files(folder: Path) -> set[Path] | None:
    """The files that hold the rows of a saved data set; None where the folder is none.

    There may be others beside them: `datasets` keeps what it computed in the same folder.

    Raises:
        DataError: What it says of its files is not readable, or names one that is not there.
    """
    place = folder / STATE
    if not place.is_file():
        return None
    state: Any = read_json(place)
    try:
        names = [entry["filename"] for entry in state["_data_files"]]
        files = {folder / name for name in names if Path(name).name == name}
    except (KeyError, TypeError):
        raise DataError(f"{place}: names no _data_files; save the data set again") from None
    missing = sorted(path for path in files if not path.is_file())
    if missing or len(files) < len(names):
        named = missing[0] if missing else folder
        raise DataError(f"{place}: names files that are not there, such as {named}; copy all of it")
    return files
