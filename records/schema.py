"""What the records of a dataset hold: feature streams, their sizes, and the labels."""

import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, MinLen

from common.codec import Positive, from_plain, read_yaml, to_plain
from common.problems import quoted
from records.errors import DataError, listed

if TYPE_CHECKING:
    from torch import Tensor

Level = Literal["frame", "video"]
Encoding = Literal["uint8", "float32"]
LabelEncoding = Literal["indices", "names", "multi_hot"]

_BUILT_IN = Path(__file__).resolve().parent.parent / "conf" / "schema"
_INDEX_COLUMNS = ("Index", "index", "label_id")
_NAME_COLUMNS = ("Name", "display_name", "label_name")
_MACHINE_NAME_COLUMNS = ("KnowledgeGraphId", "mid")
_VERTICAL_COLUMNS = ("Vertical1", "Vertical2", "Vertical3")
_MOST_DIGITS = 9
_LATER_KEYS = ("label_encoding", "unknown_labels_key", "segments")
_RANGE = re.compile(rf"([0-9]{{1,{_MOST_DIGITS}}})(?:-([0-9]{{1,{_MOST_DIGITS}}}))?")


@dataclass(frozen=True)
class Stream:
    """One feature of a clip.

    Attributes:
        name: Its key in the record.
        size: Values a frame (frame level) or a clip (video level).
        encoding: ``uint8`` for quantized bytes, ``float32`` for floats.
    """

    name: Annotated[str, MinLen(1)]
    size: Positive
    encoding: Encoding = "uint8"


@dataclass(frozen=True)
class Schema:
    """The streams, labels and keys of a dataset.

    Attributes:
        name: How the schema is called.
        level: ``frame`` (``tf.SequenceExample``, a list of frames a stream) or ``video``
            (``tf.Example``, one vector a stream).
        streams: The features that are read, in the order in which models see them.
        num_labels: Labels are integers in ``[0, num_labels)``.
        id_keys: Keys under which a record may hold its id; the first that is there counts.
        labels_key: Key of the labels; a record without it has none. Empty: labels are not read.
        label_encoding: How a record writes its labels: ``indices`` of them, their ``names`` as in
            `label_names`, or ``multi_hot``, a row of `num_labels` zeros and ones.
        unknown_labels_key: Key of the labels of which it is not known whether the clip has them,
            written as the labels are; a record without it has none. Empty: all labels are known.
        segments: Each segment of a record that raters looked at is a clip of its own, of which the
            rated labels are known and no others (YouTube-8M 2019).
        quantized_min: Lower end of the range of a ``uint8`` stream (see `dequantize`).
        quantized_max: Upper end of that range.
        label_names: A name for each label, or empty.
        label_verticals: For each label the indices of its verticals in `vertical_names`, or empty.
        vertical_names: Names of the verticals (coarse subjects), or empty.
    """

    name: str
    level: Level
    streams: tuple[Stream, ...]
    num_labels: Positive
    id_keys: Annotated[tuple[str, ...], MinLen(1)] = ("id", "video_id")
    labels_key: str = "labels"
    quantized_min: float = -2.0
    quantized_max: float = 2.0
    label_names: tuple[str, ...] = ()
    label_verticals: tuple[tuple[Annotated[int, Ge(0)], ...], ...] = ()
    vertical_names: tuple[str, ...] = ()
    label_encoding: LabelEncoding = "indices"
    unknown_labels_key: str = ""
    segments: bool = False

    def __post_init__(self) -> None:
        place = f"schema {quoted(self.name)}"
        names = [stream.name for stream in self.streams]
        if not names or len(set(names)) != len(names):
            raise DataError(
                f"{place}: streams are {quoted(names)}; give at least one, each name once"
            )
        if not self.quantized_min < self.quantized_max:
            raise DataError(f"{place}: quantized_min must be below quantized_max")
        for field in ("label_names", "label_verticals"):
            count = len(getattr(self, field))
            if count not in (0, self.num_labels):
                raise DataError(f"{place}: {count} {field} for {self.num_labels} labels")
        beyond = max((v for row in self.label_verticals for v in row), default=-1)
        if beyond >= len(self.vertical_names):
            raise DataError(f"{place}: vertical {beyond} has no name in vertical_names")
        if self.label_encoding == "names" and len(self.index_of) < len(self.label_names):
            twice = next(n for n, count in Counter(self.label_names).items() if count > 1)
            raise DataError(
                f"{place}: label_encoding is names, and {quoted(twice)} is two labels; rename one"
            )
        if self.segments and (self.level, self.label_encoding) != ("frame", "indices"):
            raise DataError(f"{place}: segments need level frame and label_encoding indices")
        if self.segments and self.unknown_labels_key:
            raise DataError(
                f"{place}: of segments it is said by their ratings what is unknown; leave out "
                "unknown_labels_key"
            )

    @cached_property
    def index_of(self) -> dict[str, int]:
        """The index of each label by its name."""
        return {name: index for index, name in enumerate(self.label_names)}

    @cached_property
    def has_unknown_labels(self) -> bool:
        """Whether there may be labels of which it is not known whether a clip has them."""
        return bool(self.labels_key) and (bool(self.unknown_labels_key) or self.segments)


def plain_schema(schema: Schema) -> dict[str, Any]:
    """The schema as plain JSON, as it is written into files and hashed.

    Keys that came after the first release are in it where they are set alone: without them a bundle
    keeps its bytes, and a task its key.
    """
    plain: dict[str, Any] = to_plain(schema)
    unset = {key for key in _LATER_KEYS if plain[key] == getattr(Schema, key)}
    return {key: value for key, value in plain.items() if key not in unset}


def decisive_keys(schema: Schema) -> dict[str, Any]:
    """What of the schema changes what is learned; renaming a label retrains nothing.

    Where records write the labels' names, these say which label is which.
    """
    named = schema.label_encoding == "names"
    without = {"vertical_names"} if named else {"vertical_names", "label_names"}
    return {key: value for key, value in plain_schema(schema).items() if key not in without}


def load_schema(name_or_path: str | Path) -> Schema:
    """Reads a schema: a built-in one by its name, or a user's own YAML file.

    Args:
        name_or_path: ``yt8m_frame``, ``yt8m_video``, ``audioset``, ``demo``, or the path of a file
            that has the same keys as `Schema`. In place of ``label_verticals`` and
            ``vertical_names`` it may have the key ``verticals``: by name a list of labels (``5``)
            and ranges that include their ends (``"0-71"``).

    Raises:
        DataError: There is no such file, or its content is not a schema.
    """
    built_in = _BUILT_IN / f"{name_or_path}.yaml"
    path = built_in if built_in.is_file() else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in _BUILT_IN.glob("*.yaml")))
        raise DataError(f"schema {str(name_or_path)!r}: no such file, and not one of {known}")
    values = read_yaml(path, DataError)
    try:
        return _from_file(values)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _from_file(values: Any) -> Schema:
    """The schema that a file's content describes."""
    if not isinstance(values, Mapping) or "verticals" not in values:
        return from_plain(Schema, values, "schema", DataError)
    rest = {key: value for key, value in values.items() if key != "verticals"}
    for key in ("label_verticals", "vertical_names"):
        if key in rest:
            raise DataError(f"schema: {key} and verticals say the same; give one of them")
    schema = from_plain(Schema, rest, "schema", DataError)
    by_label: list[list[int]] = [[] for _ in range(schema.num_labels)]
    labels_by_name = _verticals(values["verticals"], schema.num_labels)
    for vertical, labels in enumerate(labels_by_name.values()):
        for label in labels:
            by_label[label].append(vertical)
    return dataclasses.replace(
        schema,
        label_verticals=tuple(map(tuple, by_label)),
        vertical_names=tuple(labels_by_name),
    )


def _verticals(given: object, num_labels: int) -> dict[str, set[int]]:
    """The labels of every vertical, in the order given."""
    place = "schema: verticals"
    if not isinstance(given, Mapping) or not given:
        raise DataError(f"{place}: expected names with lists of label ranges")
    by_name: dict[str, set[int]] = {}
    for name, ranges in given.items():
        if not isinstance(name, str) or not isinstance(ranges, list):
            raise DataError(
                f"{place}: {quoted(name)} needs a list of label ranges, such as ['0-71', 75]"
            )
        by_name[name] = set()
        for text in ranges:
            wrong = f"{place}: {listed([name])}: {quoted(text)} is no"
            found = _RANGE.fullmatch(str(text))
            if found is None:
                raise DataError(f"{wrong} label and no range such as '0-71'")
            first, last = int(found[1]), int(found[2] or found[1])
            if not first <= last < num_labels:
                raise DataError(f"{wrong} range within 0-{num_labels - 1}")
            by_name[name].update(range(first, last + 1))
    return by_name


def with_vocabulary(schema: Schema, csv_path: str | Path) -> Schema:
    """The schema with names and verticals of its labels from a vocabulary file.

    Reads YouTube-8M's ``vocabulary.csv`` (``Index``, ``Name``, ``KnowledgeGraphId``,
    ``Vertical1..3``; where a name is empty the knowledge graph id stands for it) and
    ``label_names_2018.csv`` (``label_id,label_name``), and AudioSet's
    ``class_labels_indices.csv`` (``index,mid,display_name``), in any order of rows. Verticals of
    the schema itself stay where the file has no column of them.

    Raises:
        DataError: A column is missing, an index is repeated or out of range, or a label has no row.
    """
    path = Path(csv_path)
    if not path.is_file():
        raise DataError(f"vocabulary {path}: no such file")
    try:
        columns, by_label = _read_vocabulary(path, schema)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"vocabulary {path}: not a CSV file: {error}") from None
    missing = next((label for label in range(schema.num_labels) if label not in by_label), None)
    if missing is not None:
        raise DataError(f"{path}: label {missing} of schema {quoted(schema.name)} has no row")
    rows = [by_label[label] for label in range(schema.num_labels)]
    name_columns = (_column(path, columns, _NAME_COLUMNS), *_MACHINE_NAME_COLUMNS)
    names = (
        next((row[column] for column in name_columns if row.get(column)), str(label))
        for label, row in enumerate(rows)
    )
    named = dataclasses.replace(schema, label_names=tuple(names))
    if not set(_VERTICAL_COLUMNS) & set(columns):
        return named
    verticals = [[row[column] for column in _VERTICAL_COLUMNS if row.get(column)] for row in rows]
    vertical_names = tuple(sorted(set().union(*verticals)))
    numbers = tuple(tuple(map(vertical_names.index, of_label)) for of_label in verticals)
    return dataclasses.replace(
        named, label_verticals=numbers if vertical_names else (), vertical_names=vertical_names
    )


def _read_vocabulary(path: Path, schema: Schema) -> tuple[Sequence[str], dict[int, dict[str, str]]]:
    """The columns, and each label's row."""
    rows: dict[int, dict[str, str]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        index_column = _column(path, columns, _INDEX_COLUMNS)
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if None in row.values():
                raise DataError(f"{place}: the row is too short; it needs {len(columns)} cells")
            text = row[index_column]
            if not text.isascii() or not text.isdigit():
                raise DataError(f"{place}: label index {quoted(text)} is not a number")
            # Python reads no number of more than 4,300 digits.
            if len(text) > _MOST_DIGITS or int(text) >= schema.num_labels:
                raise DataError(
                    f"{place}: label {listed([text])} is out of range; schema "
                    f"{quoted(schema.name)} has {schema.num_labels} labels"
                )
            if rows.setdefault(int(text), row) is not row:
                raise DataError(f"{place}: label {int(text)} is there twice")
    return columns, rows


def _column(path: Path, columns: Sequence[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in columns:
            return name
    raise DataError(f"{path}: no column {' or '.join(wanted)}; found {listed(columns)}")


def quantization(minimum: float, maximum: float) -> tuple[float, float]:
    """The step and the offset of a range: a byte b stands for b * step + offset."""
    span = maximum - minimum
    return span / 255.0, span / 512.0 + minimum


def dequantize(
    x: "Tensor", minimum: float = -2.0, maximum: float = 2.0, mask: "Tensor | None" = None
) -> "Tensor":
    """Floats that quantized bytes stand for, in float32.

    YouTube-8M's rule, ``byte * 4 / 255 + 4 / 512 - 2``, for any range.

    Args:
        x: uint8, of any shape.
        minimum: Lower end of the range.
        maximum: Upper end of the range.
        mask: Bool, of the shape of `x` without its last dimension; where it is False the result is
            exactly 0.
    """
    import torch

    scale, bias = quantization(minimum, maximum)
    # Through the factors the mask costs no further pass over x.
    factor = scale if mask is None else mask.unsqueeze(-1) * scale
    offset = bias if mask is None else mask.unsqueeze(-1) * bias
    return x.to(torch.float32, copy=True).mul_(factor).add_(offset)
