"""The hidden layer of a fully connected net."""

from typing import Literal

from torch import Tensor, nn

from families.layers.batch_norm import MaskedBatchNorm
from families.layers.dropout import Dropout

Norm = Literal["none", "batch", "layer"]
Activation = Literal["relu", "leaky_relu", "gelu"]

NORMS = {"none": nn.Identity, "batch": MaskedBatchNorm, "layer": nn.LayerNorm}
ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU}


class HiddenLayer(nn.Module):
    """Linear, norm, activation, dropout; plus its input where that is wanted and of one size."""

    def __init__(
        self,
        size: int,
        units: int,
        *,
        norm: Norm = "none",
        activation: Activation = "relu",
        dropout: float = 0.0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.residual = residual and size == units
        # A batch norm takes the mean away, and with it a bias.
        linear = nn.Linear(size, units, bias=norm != "batch")
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        if norm != "batch":
            nn.init.zeros_(linear.bias)
        self.layers = nn.Sequential(
            linear, NORMS[norm](units), ACTIVATIONS[activation](), Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, size) to (B, units)."""
        out: Tensor = self.layers(x)
        return x + out if self.residual else out
