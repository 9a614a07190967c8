"""Labels that a clip is given, with their names and probabilities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from quantize.errors import BundleError
from quantize.precision import LARGEST
from records import Schema

THRESHOLDS = "thresholds"  # the tensor of a file


class Tag(NamedTuple):
    """A label of a clip.

    Attributes:
        label: Its number.
        name: Its name; the number as a text where labels have no names.
        probability: 0 to 1.
    """

    label: int
    name: str
    probability: float


def best_tags(log_odds: Tensor, names: Sequence[str], k: int) -> list[list[Tag]]:
    """The k best labels of each clip, best first; equal ones rank by label.

    Args:
        log_odds: (B, V).
        names: Of the labels; or none.
        k: At least 1; of fewer labels all.

    Raises:
        BundleError: k is below 1.
    """
    if k < 1:
        raise BundleError(f"k={k}: at least 1 is needed")
    values, labels = _in_order(log_odds)
    return [_tags(*row, names) for row in zip(values[:, :k], labels[:, :k], strict=True)]


def tags_above(log_odds: Tensor, thresholds: Tensor, names: Sequence[str]) -> list[list[Tag]]:
    """The labels of each clip that reach their thresholds, in the same order.

    Args:
        log_odds: (B, V).
        thresholds: (V,) log-odds.
        names: As in `best_tags`.
    """
    values, labels = _in_order(log_odds)
    reached = values >= thresholds[labels]
    rows = zip(values, labels, reached, strict=True)
    return [_tags(row[given], own[given], names) for row, own, given in rows]


def check_thresholds(thresholds: Tensor, schema: Schema) -> None:
    """Makes sure that labels can be held against thresholds.

    Raises:
        BundleError: There is not one for each label, in float32, or one is no log-odds.
    """
    found = thresholds.dtype, tuple(thresholds.shape)
    if found != (torch.float32, (schema.num_labels,)):
        raise BundleError(
            f"thresholds: {found[0]} {found[1]}; {schema.num_labels} in float32 are needed"
        )
    sound = (thresholds.abs() <= LARGEST) | (thresholds == torch.inf)
    if not bool(sound.all()):
        wrong = float(thresholds[~sound][0])
        raise BundleError(f"thresholds: {wrong:.6g} is no log-odds from which on a label is given")


def _in_order(log_odds: Tensor) -> tuple[Tensor, Tensor]:
    """Log-odds (B, V) from the best down, and their labels; on the CPU."""
    order = torch.sort(log_odds.cpu(), dim=1, descending=True, stable=True)
    return order.values, order.indices


def _tags(log_odds: Tensor, labels: Tensor, names: Sequence[str]) -> list[Tag]:
    """Of one clip, (n,) each."""
    probabilities = torch.sigmoid(log_odds.double()).tolist()
    return [
        Tag(label, names[label] if names else str(label), probability)
        for label, probability in zip(labels.tolist(), probabilities, strict=True)
    ]
