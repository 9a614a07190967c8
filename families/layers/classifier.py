"""What the families put behind their pooling: gating, dropout, head."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from families.layers.gating import ContextGating
from families.layers.heads import Head, HeadConfig


class Classifier(nn.Module):
    """Context gating if wanted, dropout, head.

    Args:
        size: H, the size of the representation.
        num_labels: V.
        head: the head's configuration.
        gating: whether to gate the representation.
        dropout: share of the (gated) representation that is dropped in training.
    """

    def __init__(
        self, size: int, num_labels: int, *, head: HeadConfig, gating: bool, dropout: float
    ) -> None:
        super().__init__()
        self.gating = ContextGating(size) if gating else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = Head(head, size, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to log-odds (B, V), float32."""
        return self.head(self.dropout(self.gating(x)))


class ClassifierConfig(Protocol):
    """The hyperparameters of a family whose classifier is the usual one."""

    @property
    def head(self) -> HeadConfig: ...

    @property
    def gating(self) -> bool: ...

    @property
    def dropout(self) -> float: ...


def classifier_of(config: ClassifierConfig, size: int, num_labels: int) -> Classifier:
    """The classifier behind a representation of `size` values, as the family's `config` has it."""
    return Classifier(
        size, num_labels, head=config.head, gating=config.gating, dropout=config.dropout
    )
