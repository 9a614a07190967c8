"""Predictions on disk: the best labels of every clip, sparse, and a bound on what was left out."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from common.codec import parse_json
from common.files import atomic_path
from common.problems import quoted
from common.tensors import map_tensors
from runs.errors import RunError

FORMAT = "onegig predictions 1"
METADATA_KEY = "onegig"
DTYPES = ("U8", "U16", "U32", "I64", "F32")
_BY_CLIP = ("ids", "labels", "log_odds", "left_out", "tail")
_CHECKED_CLIPS = 1 << 14
# The log-odds of a label that counts in no score: below all others, and a probability of 0.
UNKNOWN = -1e4
# Of a sum in float32.
_ROUNDING = 1e-4
_TENSORS = {"id_ends", "id_bytes", *_BY_CLIP[1:]}


@dataclass(frozen=True)
class Predictions:
    """The K best labels of N clips.

    Attributes:
        ids: (N,) str.
        labels: (N, K) uint16 where V <= 65,536, else uint32; distinct within a clip.
        log_odds: (N, K) float32, finite, falling within a clip.
        left_out: (N,) float32, the greatest log-odds that is not stored, so an upper bound on
            every label that is missing; -inf where K = V and nothing is missing.
        tail: (N,) float32, the summed probability of the labels that are not stored; 0 to V - K.
        num_labels: V.

    Raises:
        RunError: The arrays do not agree with each other.
    """

    ids: np.ndarray
    labels: np.ndarray
    log_odds: np.ndarray
    left_out: np.ndarray
    tail: np.ndarray
    num_labels: int

    def __post_init__(self) -> None:
        clips, stored = len(self.ids), self.labels.shape[-1]
        table = (clips, stored)
        shapes = {"labels": table, "log_odds": table, "left_out": (clips,), "tail": (clips,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise RunError(f"predictions: {name} {getattr(self, name).shape} must be {shape}")
        if not 0 < stored <= self.num_labels:
            raise RunError(f"predictions: {stored} labels stored of {self.num_labels}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def stored(self) -> int:
        """K, the number of labels stored for a clip."""
        return self.labels.shape[1]

    @property
    def bytes_of_clip(self) -> int:
        """What a clip takes, without its id."""
        return sum(getattr(self, name).nbytes for name in _BY_CLIP[1:]) // max(1, len(self))

    @property
    def complete(self) -> bool:
        """Whether every label is stored."""
        return self.stored == self.num_labels

    @property
    def digest(self) -> str:
        """sha256, in hex, of the content: ids, labels, log-odds and bounds."""
        state = hashlib.sha256(f"{FORMAT} {self.num_labels} {self.stored}".encode())
        for array in self._tensors().values():
            state.update(array.data)
        return state.hexdigest()

    def _tensors(self) -> dict[str, np.ndarray]:
        ends, text = _pack_ids(self.ids)
        rest = {name: np.ascontiguousarray(getattr(self, name)) for name in _BY_CLIP[1:]}
        return {"id_ends": ends, "id_bytes": text, **rest}

    def select(self, rows: np.ndarray | slice) -> Predictions:
        """The predictions of some clips, by numbers, a mask or a slice, in that order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _BY_CLIP})

    @classmethod
    def concatenate(cls, parts: Sequence[Predictions]) -> Predictions:
        """The predictions of all parts, one after the other; each stores as many labels."""
        joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _BY_CLIP}
        return cls(**joined, num_labels=parts[0].num_labels)

    def to_dense(self, fill: str | float = "bound") -> np.ndarray:
        """Log-odds (N, V) float32.

        Args:
            fill: What a missing label gets: "bound" for its clip's `left_out`, or a number.
        """
        dense = np.empty((len(self), self.num_labels), dtype=np.float32)
        dense[:] = self.left_out[:, None] if fill == "bound" else float(fill)
        np.put_along_axis(dense, self.labels.astype(np.int64), self.log_odds, axis=1)
        return dense

    def save(self, path: Path | str) -> None:
        """Writes one safetensors file, atomically; the same content gives the same bytes."""
        # One key only: safetensors writes several in an order that changes from call to call.
        about = json.dumps({"format": FORMAT, "num_labels": self.num_labels})
        with atomic_path(path) as beside:
            save_file(self._tensors(), beside, metadata={METADATA_KEY: about})

    @classmethod
    def load(cls, path: Path | str) -> Predictions:
        """Reads a file that `save` wrote; labels and log-odds stay on disk, memory-mapped.

        Raises:
            RunError: The file is missing, is no file of predictions, or is cut short, or a value is
                not as the class promises it: NaN, for example.
        """
        path = Path(path)
        metadata, mapped = map_tensors(path, DTYPES, RunError)
        tensors = {name: tensor.numpy() for name, tensor in mapped.items()}
        try:
            about = parse_json(metadata[METADATA_KEY], "", RunError)
            if about["format"] != FORMAT or tensors.keys() != _TENSORS:
                raise KeyError("format")
        except (KeyError, TypeError, RunError) as error:
            raise RunError(f"{path}: not a file of predictions ({FORMAT})") from error
        try:
            tensors["ids"] = _unpack_ids(tensors.pop("id_ends"), tensors.pop("id_bytes"))
            for name in ("left_out", "tail"):
                tensors[name] = tensors[name].copy()
            loaded = cls(**tensors, num_labels=int(about["num_labels"]))
            _check(loaded)
            return loaded
        except RunError as error:
            raise RunError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path}: damaged") from error


class PredictionsWriter:
    """Collects dense log-odds batch by batch and keeps the best of each clip.

    Args:
        num_labels: V.
        k: How many labels to store for a clip; more than V means all of them.

    Example:
        >>> writer = PredictionsWriter(num_labels=3, k=2)
        >>> writer.append(["a"], torch.tensor([[0.5, -1.0, 2.0]]))
        >>> writer.finish().labels.tolist()
        [[2, 0]]
    """

    def __init__(self, num_labels: int, k: int) -> None:
        if k < 1 or num_labels < 1:
            raise RunError(f"predictions: cannot store {k} of {num_labels} labels")
        self.num_labels = num_labels
        self.k = min(k, num_labels)
        # Not a part for each batch: small arrays that stay where a batch's large ones come and go
        # leave gaps in the heap that nothing fits into, and memory grows by those.
        self._ids: list[str] = []
        by_label = (0, self.k)
        self._rows = {
            "labels": np.empty(by_label, label_type(num_labels)),
            "log_odds": np.empty(by_label, np.float32),
            "left_out": np.empty(0, np.float32),
            "tail": np.empty(0, np.float32),
        }

    def append(
        self, ids: Sequence[str], log_odds: torch.Tensor, unknown: torch.Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            ids: B names.
            log_odds: (B, V), on any device.
            unknown: (B, V) bool, there, True for labels that count in no score: they come last, at
                `UNKNOWN`, so that what is stored is what is known.

        Raises:
            RunError: A shape is wrong, or a log-odds is NaN or infinite.
        """
        if log_odds.shape != (len(ids), self.num_labels):
            raise RunError(
                f"predictions: log-odds {tuple(log_odds.shape)} for {len(ids)} clips "
                f"and {self.num_labels} labels"
            )
        log_odds = log_odds.detach().float()
        finite = torch.isfinite(log_odds).all(dim=1)
        if not bool(finite.all()):
            name = ids[int((~finite).nonzero()[0, 0])]
            raise RunError(f"predictions: the log-odds of clip {name!r} hold NaN or an infinity")
        if unknown is not None:
            log_odds = log_odds.masked_fill(unknown, UNKNOWN)
        missing = self.num_labels > self.k
        best = torch.topk(log_odds, self.k + missing, dim=1)
        values, labels = best.values.cpu().numpy(), best.indices[:, : self.k]
        tail = torch.sigmoid(log_odds).scatter_(1, labels, 0.0).sum(dim=1)
        bound = values[:, self.k] if missing else np.full(len(ids), -np.inf, dtype=np.float32)
        rows = {
            "labels": labels.cpu().numpy(),
            "log_odds": values[:, : self.k],
            "left_out": bound,
            "tail": tail.cpu().numpy(),
        }
        first = len(self._ids)
        self._ids += ids
        for name, own in rows.items():
            self._rows[name] = _with_room(self._rows[name], len(self._ids))
            self._rows[name][first : len(self._ids)] = own

    def finish(self) -> Predictions:
        """All batches as one value.

        Raises:
            RunError: No clip was added.
        """
        if not self._ids:
            raise RunError("predictions: no clip was added")
        rows = {name: own[: len(self._ids)] for name, own in self._rows.items()}
        return Predictions(np.array(self._ids, np.str_), **rows, num_labels=self.num_labels)


def _with_room(array: np.ndarray, length: int) -> np.ndarray:
    """An array of at least `length` rows that begins with those of `array`."""
    if length <= len(array):
        return array
    grown = np.empty((max(length, 2 * len(array)), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def label_type(num_labels: int) -> type[np.unsignedinteger]:
    """The type in which the labels of V are stored."""
    return np.uint16 if num_labels <= 1 << 16 else np.uint32


def _check(found: Predictions) -> None:
    """Refuses values that are not as the class promises them.

    Raises:
        RunError: One is not; the message names its clip.
    """
    types = dict.fromkeys(_BY_CLIP[2:], np.float32) | {"labels": label_type(found.num_labels)}
    for name, wanted in types.items():
        if getattr(found, name).dtype != wanted:
            raise RunError(f"predictions: {name} must be {wanted.__name__}")
    for start in range(0, len(found), _CHECKED_CLIPS):
        part = found.select(slice(start, start + _CHECKED_CLIPS))
        values, left_out, labels = part.log_odds, part.left_out, np.sort(part.labels, axis=1)
        most = (part.num_labels - part.stored) * (1 + _ROUNDING)
        wrong = {
            "log-odds that are NaN or infinite": ~np.isfinite(values).all(axis=1),
            "log-odds that rise": (values[:, 1:] > values[:, :-1]).any(axis=1),
            "a label out of range": labels[:, -1] >= part.num_labels,
            "a label twice": (labels[:, 1:] == labels[:, :-1]).any(axis=1),
            "a wrong bound": ~(left_out <= values[:, -1])
            | (np.isneginf(left_out) != part.complete),
            "a wrong tail": ~((part.tail >= 0) & (part.tail <= most)),
        }
        for what, clips in wrong.items():
            if clips.any():
                raise RunError(f"predictions: clip {quoted(part.ids[clips.argmax()])} has {what}")


def _pack_ids(ids: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Names as UTF-8: the end of each (N,) int64, and the bytes of all, uint8."""
    encoded = [str(name).encode() for name in ids]
    ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
    return ends, np.frombuffer(b"".join(encoded), dtype=np.uint8)


def _unpack_ids(ends: np.ndarray, text: np.ndarray) -> np.ndarray:
    data, bounds = text.tobytes(), [0, *ends.tolist()]
    if bounds != sorted(bounds) or bounds[-1] != len(data):
        raise RunError("the ids are damaged")
    pairs = itertools.pairwise(bounds)
    return np.array([data[start:end].decode() for start, end in pairs])
