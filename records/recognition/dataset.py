"""A folder that nothing is known of, recognised: its format, its schema and its splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from records.config import SplitSpec
from records.errors import DataError
from records.recognition.columns import describe
from records.recognition.config import ColumnsConfig
from records.recognition.files import divide, find_files, group_files
from records.recognition.labels import LabelsFound, class_names, find_labels, has_labels
from records.recognition.roles import Roles, find_roles
from records.recognition.sources import SOURCES
from records.schema import Schema, Stream


@dataclass(frozen=True)
class Recognised:
    """What is in a folder.

    Attributes:
        format: Of its files; there are `files` of them.
        counts: Clips by what the files' names say: train, valid, report, test.
        labelled: How many of all these have labels, or could.
        roles: Which column is what.
        labels: What labels there are.
        schema: The same as a schema, with the labels' names where they have some.
        splits: By name, the splits that the files become.
    """

    format: str
    files: int
    counts: dict[str, int]
    labelled: int
    roles: Roles
    labels: LabelsFound
    schema: Schema
    splits: dict[str, SplitSpec]

    @property
    def labels_a_clip(self) -> float:
        """On average."""
        return self.labels.total / max(self.labelled, 1)


def recognise(root: Path, name: str, format: str, given: ColumnsConfig) -> Recognised:
    """Looks at the first rows of a file, and at all labels.

    Args:
        root: The folder.
        name: What the schema is to be called.
        format: As in `DataConfig`.
        given: What the user says of the columns.

    Raises:
        DataError: No file is of a known format, one is damaged, or it is in doubt what is in them;
            says which key decides.
    """
    format, files = find_files(root, format)
    if format not in SOURCES:
        raise DataError(
            f"data.root: {files[0]} is of format {format}, into which nobody can look without a "
            f"schema; write one by hand, or give files of {', '.join(SOURCES)}"
        )
    source, groups = SOURCES[format], group_files(root, files)
    head = source.head(groups.get("train", files)[0])
    roles = find_roles([describe(key, head.column(key)) for key in head.column_names], given)
    test_has_labels = has_labels(source, groups.get("test", ()), roles.labels)
    counts = {group: sum(map(source.count, paths)) for group, paths in groups.items()}
    labelled = [group for group in groups if group != "test" or test_has_labels]
    of_labelled = [path for group in labelled for path in groups[group]]
    names = class_names(head.schema, roles.labels.name)
    labels = find_labels(source, of_labelled, roles.labels, names)
    schema = Schema(
        name=name,
        level=roles.level,
        streams=tuple(Stream(own.name, own.size, own.encoding) for own in roles.streams),
        num_labels=labels.count,
        id_keys=(roles.id.name,),
        labels_key=roles.labels.name,
        label_encoding=labels.encoding,
        label_names=labels.names,
    )
    clips = sum(counts[group] for group in labelled)
    splits = divide(root, groups, test_has_labels)
    return Recognised(format, len(files), counts, clips, roles, labels, schema, splits)
