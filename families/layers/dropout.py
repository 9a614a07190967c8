"""Dropout whose mask is that of the whole batch, whoever computes which part of it."""

from torch import Tensor, nn
from torch.nn import functional

from families.layers.parts import current_part


class Dropout(nn.Dropout):
    """torch's dropout of (..., B, H), the clips being the last dimension but one.

    Of a part of a batch the mask is drawn for all clips, and those of the part take theirs: all
    processes draw alike, and what one of them would drop is dropped.
    """

    def forward(self, x: Tensor) -> Tensor:
        part = current_part()
        if part is None or not self.training:
            return super().forward(x)
        whole = x.new_ones(*x.shape[:-2], part.clips, x.shape[-1])
        mask = functional.dropout(whole, self.p)
        return x * mask.narrow(-2, part.start, x.shape[-2])
