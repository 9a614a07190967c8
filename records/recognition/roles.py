"""Which columns are the id, the labels and the streams; what is in doubt is asked for by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.problems import quoted
from records.errors import DataError, listed
from records.recognition.columns import LABEL_NAMES, Column
from records.recognition.config import ColumnsConfig
from records.schema import Level

_LABELS = ("texts", "numbers", "multi_hot")
_STREAMS = {"vector": "video", "frames": "frame"}
_ID_NAMES = ("id", "video_id", "videoid", "clip_id", "key", "name", "filename")


@dataclass(frozen=True)
class Roles:
    """Which column is what.

    Attributes:
        id: Of the ids.
        labels: Of the labels.
        streams: Of the features, all of one level.
        level: Theirs.
        others: Those that are not read.
    """

    id: Column
    labels: Column
    streams: tuple[Column, ...]
    level: Level
    others: tuple[Column, ...]


def find_roles(columns: Sequence[Column], given: ColumnsConfig) -> Roles:
    """Tells the columns apart.

    Raises:
        DataError: There is none of a kind, or more than one could be meant; says which key decides.
    """
    by_name = {column.name: column for column in columns}
    labels = _labels(by_name, given)
    left = [column for column in columns if column is not labels]
    id_column = _id(by_name, left, given)
    left = [column for column in left if column is not id_column]
    streams = _streams(by_name, left, given)
    others = tuple(column for column in left if column not in streams)
    level: Level = "frame" if streams[0].kind == "frames" else "video"
    return Roles(id_column, labels, streams, level, others)


def _labels(by_name: dict[str, Column], given: ColumnsConfig) -> Column:
    if given.labels is not None:
        column = _named("columns.labels", given.labels, by_name)
        if column.kind not in (*_LABELS, "text", "number"):
            raise DataError(
                f"columns.labels: column {quoted(column.name)} is {quoted(column.type)}, which "
                "holds no labels; it must have texts, whole numbers, or zeros and ones"
            )
        return column
    found = [
        column
        for column in by_name.values()
        if column.kind in _LABELS
        or (column.kind in ("text", "number") and column.name.lower() in LABEL_NAMES)
    ]
    return _only(found, by_name, "columns.labels", "the labels")


def _id(by_name: dict[str, Column], left: Sequence[Column], given: ColumnsConfig) -> Column:
    if given.id is not None:
        column = _named("columns.id", given.id, by_name)
        if column.kind not in ("text", "number"):
            raise DataError(
                f"columns.id: column {quoted(column.name)} is {quoted(column.type)}; an id must be "
                "a text or a whole number"
            )
        return column
    distinct = [column for column in left if column.distinct]
    named = [column for column in distinct if column.name.lower() in _ID_NAMES]
    texts = [column for column in distinct if column.kind == "text"]
    # A name says more than that the values differ.
    found = next((group for group in (named, texts, distinct) if group), [])
    return _only(found, by_name, "columns.id", "the ids, each once")


def _streams(
    by_name: dict[str, Column], left: Sequence[Column], given: ColumnsConfig
) -> tuple[Column, ...]:
    found = [_named("columns.streams", name, by_name) for name in given.streams]
    wrong = next((column for column in found if column.kind not in _STREAMS), None)
    if wrong is not None:
        raise DataError(
            f"columns.streams: column {quoted(wrong.name)} is {quoted(wrong.type)}, which holds "
            "no vectors of one size"
        )
    found = found or [column for column in left if column.kind in _STREAMS]
    if not found:
        raise DataError(
            f"no column has vectors of numbers, all of one size; there are {_listed(by_name)}"
        )
    if len({column.kind for column in found}) > 1:
        clips, frames = (
            listed(column.name for column in found if column.kind == kind) for kind in _STREAMS
        )
        raise DataError(
            f"columns.streams: {clips} have a vector a clip, {frames} one a frame; name those of "
            "one kind, such as columns.streams=[name]"
        )
    return tuple(found)


def _only(found: Sequence[Column], by_name: dict[str, Column], key: str, what: str) -> Column:
    if len(found) == 1:
        return found[0]
    if found:
        names = listed(column.name for column in found)
        raise DataError(f"{key}: {names} may each be {what}; say which, {key}=NAME")
    raise DataError(f"{key}: no column looks like {what}; there are {_listed(by_name)}; give {key}")


def _named(key: str, name: str, by_name: dict[str, Column]) -> Column:
    if name not in by_name:
        raise DataError(f"{key}: no column {quoted(name)}; there are {_listed(by_name)}")
    return by_name[name]


def _listed(by_name: dict[str, Column]) -> str:
    return listed(f"{column.name} ({column.type})" for column in by_name.values())
