"""Tables of ids and confidences, as other programs write them, to stored predictions.

Of a clip such a table has a few labels only, and of the others it says that they have less. A
list of 20 labels or more, and of as many as any clip has, is as long as lists may be: the others
count as its lowest confidence. A shorter one was cut by confidence: there they count as the lowest
of the whole table, and as 1/V at most, so that it says something to be in a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.problems import one_line, quoted
from runs.errors import RunError
from runs.predictions import Predictions, label_type
from runs.tables import table_batches

# Log-odds of the confidences 0 and 1: beyond those of all others that a double holds, at least
# above. What lies below ties with 0.
_MOST = 40.0
# Labels of a clip that count in GAP@20; a scorer wants as many.
_COUNTED = 20
_FILLED_CLIPS = 1 << 14

LabelsBy = Literal["index", "name"]


@dataclass(frozen=True)
class LabelSpace:
    """How a table may call a label.

    Attributes:
        count: V.
        names: A name for each, or empty.
        by: What labels are. None: numbers are indices, anything else is a name.

    Raises:
        RunError: Names are wanted where there are none, or where one is there twice; or a name is
            the index of another label, and nothing is said.
    """

    count: int
    names: tuple[str, ...] = ()
    by: LabelsBy | None = None

    def __post_init__(self) -> None:
        if self.by == "name" and len(set(self.names)) < self.count:
            why = "two of the vocabulary share one" if self.names else "data.vocabulary is not set"
            raise RunError(f"'name' needs a name of its own for each label, and {why}")
        numbers = [(n, name) for n, name in enumerate(self.names) if name.isdecimal()]
        other = next((name for n, name in numbers if name != str(n)), None)
        if self.by is None and other is not None:
            raise RunError(
                f"the vocabulary names a label {quoted(other)}, which is another label's index; "
                "say which of them the file has, 'index' or 'name'"
            )

    def indices(self, texts: pa.Array) -> NDArray[np.int64]:
        """The labels (n,) of texts; -1 for what is none."""
        found = np.full(len(texts), -1)
        if self.by != "index" and self.names:
            named = pc.index_in(texts, value_set=pa.array(self.names, texts.type))
            found = named.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if self.by != "name":
            numeric = pc.match_substring_regex(texts, "^[0-9]{1,9}$")
            rows = np.flatnonzero(numeric.to_numpy(zero_copy_only=False))
            numbers = pc.cast(texts.take(pa.array(rows)), pa.int64()).to_numpy()
            found[rows] = np.where(numbers < self.count, numbers, -1)
        return found

    def __str__(self) -> str:
        """What a label may be, for messages."""
        index = f"an index from 0 to {self.count - 1}"
        name = "a name of data.vocabulary"
        if self.by or not self.names:
            return name if self.by == "name" else index
        return f"{index} or {name}"


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some confidences of a table: (n,) each. `clip` are places among the wanted ids."""

    clip: NDArray[np.int64]
    label: NDArray[np.int64]
    confidence: NDArray[np.float64]


def read_confidences(
    paths: Sequence[Path], ids: NDArray[np.str_], labels: LabelSpace, stored: int
) -> tuple[Predictions, int]:
    """The predictions of some clips from tables of all formats.

    A table has the columns `VideoId` and `LabelConfidencePairs` (a text of labels and confidences
    in turn), or `id`, `label` and `confidence` with a row for each label.

    Args:
        paths: `.csv`, `.csv.gz` or `.parquet`; a clip may be in any one of them.
        ids: (N,) of the clips that are wanted, each once.
        labels: What labels there are.
        stored: K, the most labels that are kept of a clip.

    Returns:
        They, in the order of `ids`; and how many other clips the tables have, or rows of them.

    Raises:
        RunError: A file cannot be read, has other columns, lacks a clip, or has one twice; or a
            label is unknown or twice there, or a confidence is not within 0 and 1.
    """
    reader = _Reader(ids, labels)
    for path in paths:
        reader.read(path)
    return reader.predictions(stored), reader.others


class _Reader:
    """Collects what tables say of the wanted clips."""

    def __init__(self, ids: NDArray[np.str_], labels: LabelSpace) -> None:
        self.others = 0
        self._ids = ids
        self._wanted = pa.array(ids.tolist(), pa.string())
        self._labels = labels
        self._parts: list[_Rows] = []
        self._seen = np.zeros(len(ids), np.int64)
        self._paths: list[Path] = []

    def read(self, path: Path) -> None:
        """Adds the rows of a table."""
        self._paths.append(path)
        before = self._seen.astype(bool)
        try:
            for batch in table_batches(path):
                self._add(path, batch, before)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise RunError(f"{path}: cannot be read as a table: {one_line(error)}") from None
        except OSError as error:
            reason = error.strerror or one_line(error)
            raise RunError(f"{path}: cannot be read: {reason}") from None

    def _add(self, path: Path, batch: pa.RecordBatch, before: NDArray[np.bool_]) -> None:
        """Adds some rows; the clips `before` have been in another table."""
        places = pc.index_in(batch.column("id"), value_set=self._wanted)
        clip = places.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        kept = np.flatnonzero(clip >= 0)
        self.others += len(clip) - len(kept)
        batch, clip = batch.take(pa.array(kept)), clip[kept]
        self._seen += np.bincount(clip, minlength=len(self._seen))
        twice = before[clip] | ((self._seen[clip] > 1) & ("pairs" in batch.schema.names))
        if twice.any():
            raise RunError(f"{path}: clip {self._name(clip[twice.argmax()])} is there twice")
        # As many rows as this have a label twice; which one is looked for at the end.
        if self._seen.max(initial=0) > self._labels.count:
            clip_twice = int(self._seen.argmax())
            raise RunError(f"{path}: clip {self._name(clip_twice)} has a label twice")
        rows = self._pairs if "pairs" in batch.schema.names else self._single
        self._parts.append(rows(path, batch, clip))

    def _pairs(self, path: Path, batch: pa.RecordBatch, clip: NDArray[np.int64]) -> _Rows:
        """Rows of a clip each, its labels and confidences in turn."""
        texts = pc.utf8_trim_whitespace(batch.column("pairs"))
        filled = np.flatnonzero(pc.not_equal(texts, "").to_numpy(zero_copy_only=False))
        texts, clip = texts.take(pa.array(filled)), clip[filled]
        parts = pc.utf8_split_whitespace(texts)
        counts = pc.list_value_length(parts).to_numpy(zero_copy_only=False).astype(np.int64)
        odd = counts % 2 > 0
        if odd.any():
            row = int(odd.argmax())
            raise RunError(
                f"{path}: clip {self._name(clip[row])} has no pairs of label and confidence but "
                f"{quoted(texts[row].as_py())}"
            )
        words = parts.flatten()
        places = np.arange(0, len(words), 2)
        label, confidence = words.take(pa.array(places)), words.take(pa.array(places + 1))
        return self._checked(path, np.repeat(clip, counts // 2), label, confidence)

    def _single(self, path: Path, batch: pa.RecordBatch, clip: NDArray[np.int64]) -> _Rows:
        return self._checked(path, clip, batch.column("label"), batch.column("confidence"))

    def _checked(
        self, path: Path, clip: NDArray[np.int64], label: pa.Array, confidence: pa.Array
    ) -> _Rows:
        """Rows as numbers.

        Args:
            path: of the table, for messages.
            clip: (n,) places of the clips.
            label: (n,) texts.
            confidence: (n,) texts or floats.
        """
        labels = self._labels.indices(label)
        wrong = labels < 0
        if wrong.any():
            row = int(wrong.argmax())
            raise RunError(
                f"{path}: clip {self._name(clip[row])} has label {quoted(label[row].as_py())}, "
                f"which must be {self._labels}"
            )
        values = _floats(confidence)
        wrong = ~((values >= 0) & (values <= 1))
        if wrong.any():
            row = int(wrong.argmax())
            raise RunError(
                f"{path}: clip {self._name(clip[row])} has confidence "
                f"{quoted(confidence[row].as_py())} for label {quoted(label[row].as_py())}; it "
                "must be a probability, from 0 to 1"
            )
        return _Rows(clip, labels, values)

    def _name(self, place: int) -> str:
        return quoted(str(self._ids[place]))

    def predictions(self, stored: int) -> Predictions:
        """What was collected, K labels of each clip at most; see `read_confidences`."""
        missing = np.flatnonzero(self._seen == 0)
        if len(missing):
            files = ", ".join(map(str, self._paths))
            raise RunError(
                f"{files}: {len(missing)} of {len(self._ids)} clips are missing, the first is "
                f"{self._name(missing[0])}; every clip of the split needs a row"
            )
        clip = np.concatenate([part.clip for part in self._parts])
        label = np.concatenate([part.label for part in self._parts])
        confidence = np.concatenate([part.confidence for part in self._parts])
        order = np.lexsort((label, -confidence, clip))
        clip, label, confidence = clip[order], label[order], confidence[order]
        self._check_once(clip, label)
        return _stored(self._ids, clip, label, confidence, self._labels.count, stored)

    def _check_once(self, clip: NDArray[np.int64], label: NDArray[np.int64]) -> None:
        """Raises RunError where a clip has a label twice."""
        keys = np.sort(clip * self._labels.count + label)
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if len(twice):
            place, number = divmod(int(keys[twice[0]]), self._labels.count)
            files = ", ".join(map(str, self._paths))
            raise RunError(f"{files}: clip {self._name(place)} has label {number} twice")


def _stored(
    ids: NDArray[np.str_],
    clip: NDArray[np.int64],
    label: NDArray[np.int64],
    confidence: NDArray[np.float64],
    num_labels: int,
    stored: int,
) -> Predictions:
    """Predictions from rows (n,) that are sorted by clip, and within it the best first."""
    counts = np.bincount(clip, minlength=len(ids))
    most = int(counts.max(initial=0))
    k = min(num_labels, max(_COUNTED, min(most, stored)))
    place = np.arange(len(clip)) - (np.cumsum(counts) - counts)[clip]
    log_odds = _log_odds(confidence)
    evenly = _log_odds(np.array([1 / num_labels]))
    bound = np.full(len(ids), np.concatenate([log_odds, evenly]).min())
    last = place == most - 1
    if most >= _COUNTED:
        bound[clip[last]] = log_odds[last]
    labels = np.full((len(ids), k), -1)
    values = np.repeat(bound[:, None], k, axis=1)
    held = place < k
    labels[clip[held], place[held]] = label[held]
    values[clip[held], place[held]] = log_odds[held]
    for start in range(0, len(ids), _FILLED_CLIPS):
        _fill(labels[start : start + _FILLED_CLIPS], num_labels)
    # The best of the labels that are not stored is one that the table has, or any other.
    left_out = bound.copy()
    left_out[clip[place == k]] = log_odds[place == k]
    tail = np.bincount(clip[~held], confidence[~held], len(ids))
    tail = tail + (num_labels - np.maximum(counts, k)) / (1 + np.exp(-bound))
    return Predictions(
        ids,
        labels.astype(label_type(num_labels)),
        values.astype(np.float32),
        np.where(k < num_labels, left_out, -np.inf).astype(np.float32),
        tail.astype(np.float32),
        num_labels,
    )


def _fill(labels: NDArray[np.int64], num_labels: int) -> None:
    """Puts the least labels that a row (K,) does not have in its last places, where it has -1."""
    # So many labels hold K that a row of K has not.
    reach = min(num_labels, 2 * labels.shape[1])
    taken = np.zeros((len(labels), reach), dtype=bool)
    row, place = np.nonzero((labels >= 0) & (labels < reach))
    taken[row, labels[row, place]] = True
    free = np.argsort(taken, axis=1, kind="stable")
    row, place = np.nonzero(labels < 0)
    filled = (labels >= 0).sum(axis=1)
    labels[row, place] = free[row, place - filled[row]]


def _log_odds(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        found = np.log(confidence) - np.log1p(-confidence)
    return np.clip(found, -_MOST, _MOST)


def _floats(values: pa.Array) -> NDArray[np.float64]:
    """Numbers (n,), NaN for what is none."""
    try:
        numbers = pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        numbers = pa.array([_float(text) for text in values.to_pylist()], pa.float64())
    return numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
