"""Tables of predictions, CSV or Parquet, a few rows at a time and all in one spelling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from common.problems import quoted
from runs.errors import RunError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
# How columns may be called, in lower case.
_ID = ("videoid", "video_id", "id")
_LAYOUTS: tuple[dict[str, tuple[str, ...]], ...] = (
    {"id": _ID, "pairs": ("labelconfidencepairs",)},
    {"id": _ID, "label": ("label",), "confidence": ("confidence",)},
)
_BATCH_ROWS = 1 << 16


def table_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a table, a few at a time: `id` and `pairs`, or `id`, `label`, `confidence`.

    All are texts, without nulls; a confidence may be a number as well.

    Raises:
        RunError: By its name it is no table, or it has other columns.
        pyarrow.ArrowException: It is damaged.
    """
    if not path.name.endswith(SUFFIXES):
        raise RunError(f"{path}: no table by its name; give one of {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet":
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow.names)
            names = list(columns.values())
            for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                yield _as_texts(batch, columns)
        return
    with pyarrow.csv.open_csv(path) as head:
        columns = _columns(path, head.schema.names)
    names = list(columns.values())
    # A number would lose the zeros in front.
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), include_columns=names
    )
    with pyarrow.csv.open_csv(path, convert_options=options) as file:
        for batch in file:
            yield _as_texts(batch, columns)


def _columns(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The table's columns by what they are to be called here."""
    by_name = {name.strip().lower(): name for name in names}
    for layout in _LAYOUTS:
        found = {
            what: next((by_name[name] for name in spelled if name in by_name), None)
            for what, spelled in layout.items()
        }
        columns = {what: name for what, name in found.items() if name is not None}
        if len(columns) == len(layout):
            return columns
    raise RunError(
        f"{path}: has the columns {quoted(list(names))}; it needs VideoId and "
        "LabelConfidencePairs, or id, label and confidence"
    )


def _as_texts(batch: pa.RecordBatch, columns: dict[str, str]) -> pa.RecordBatch:
    arrays = []
    for what, name in columns.items():
        values = batch.column(name)
        is_number = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
        if what == "confidence" and is_number:
            arrays.append(pc.cast(values, pa.float64()))
        else:
            arrays.append(pc.cast(values, pa.string()).fill_null(""))
    return pa.RecordBatch.from_arrays(arrays, list(columns))
