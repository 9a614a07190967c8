"""What the families put behind their pooling: gating, dropout, head."""

from dataclasses import dataclass

from torch import Tensor, nn

from common.codec import Share
from families.layers.dropout import Dropout
from families.layers.gating import ContextGating
from families.layers.heads import LOGISTIC, Head, HeadConfig


@dataclass(frozen=True)
class ClassifierConfig:
    """Hyperparameters that nearly all families have.

    Attributes:
        gating: context gating of what the head sees.
        dropout: of what the head sees.
        head: the classifier.
    """

    gating: bool = False
    dropout: Share = 0.5
    head: HeadConfig = LOGISTIC


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
        self,
        size: int,
        num_labels: int,
        *,
        head: HeadConfig,
        gating: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.gating = ContextGating(size) if gating else nn.Identity()
        self.dropout = Dropout(dropout)
        self.head = Head(head, size, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to log-odds (B, V), float32."""
        return self.head(self.dropout(self.gating(x)))


def classifier_of(config: ClassifierConfig, size: int, num_labels: int) -> Classifier:
    """The classifier behind a representation of `size` values, as the family's `config` has it."""
    return Classifier(
        size, num_labels, head=config.head, gating=config.gating, dropout=config.dropout
    )
