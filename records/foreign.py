"""Files that are no shards, called by what they are."""

from pathlib import Path

from records.errors import DataError

_TABLE = (
    "a table of text",
    "write it as Parquet, a row a clip: pandas.read_csv(...).to_parquet(...)",
)
_MEDIUM = (
    "store features of it, vectors of a network that was trained on such, as in docs/formats.md"
)
_IMAGE, _SOUND, _FILM = ("an image", _MEDIUM), ("a sound", _MEDIUM), ("a film", _MEDIUM)
_BY_SUFFIX = {
    **dict.fromkeys((".csv", ".tsv", ".csv.gz"), _TABLE),
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"), _IMAGE),
    **dict.fromkeys((".wav", ".mp3", ".flac", ".ogg"), _SOUND),
    **dict.fromkeys((".mp4", ".avi", ".mkv", ".webm", ".mov"), _FILM),
    ".feather": ("a Feather file", "write it as Parquet"),
    ".h5": ("an HDF5 file", "write it as .npz or Parquet"),
    ".hdf5": ("an HDF5 file", "write it as .npz or Parquet"),
}
_BY_CONTENT = {
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "an array of NumPy",
    b"PK\x03\x04": "a zip archive",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"ARROW1": "a Feather file",
    b"\x89HDF": "an HDF5 file",
}


def refuse_foreign(path: Path) -> None:
    """Refuses a file whose suffix says that it is no shard.

    Raises:
        DataError: It does; says what the file is, and what to do.
    """
    name = path.name.lower()
    for suffix, (what, advice) in _BY_SUFFIX.items():
        if name.endswith(suffix):
            raise DataError(f"{path}: is {what}, and no shard of features; {advice}")


def kind_of(content: bytes) -> str | None:
    """What a file is that begins so; None where nobody knows."""
    return next((kind for head, kind in _BY_CONTENT.items() if content.startswith(head)), None)
