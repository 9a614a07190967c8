"""Batch normalization whose statistics count real frames only."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from families.layers.parts import ranks, summed

EPSILON = 1e-3  # that of the winners' layers (TF-slim's default)


class MaskedBatchNorm(nn.Module):
    """Normalizes the last dimension over all others, leaving out what a mask leaves out.

    Training uses the batch's mean and (biased) variance and keeps running averages of both (the
    variance unbiased, as torch does); evaluation uses the running averages. Their momentum starts
    at 1 and falls as 1/n to `momentum`, so that they are right after a short training too. With
    fewer than two real frames a batch has no variance: the running averages are used, unchanged.
    Processes that compute a batch together use the statistics of all its clips; parts that are
    computed one after another have statistics of their own, and each updates the averages.

    Args:
        size: C, the size of the last dimension.
        momentum: the weight of a new batch in the running averages, in the long run.
    """

    running_mean: Tensor
    running_var: Tensor
    updates: Tensor

    def __init__(self, size: int, momentum: float = 0.01) -> None:
        super().__init__()
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))
        self.register_buffer("updates", torch.zeros(()))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalizes x.

        Args:
            x: (..., C).
            mask: bool (...), True on what counts; None when all does.

        Returns:
            (..., C); where the mask is False the values mean nothing.
        """
        together = ranks() > 1
        if self.training and mask is None and not together and x.numel() > x.shape[-1]:
            return self._normalize_batch(x)
        mean, variance = self.running_mean, self.running_var
        if self.training and (mask is not None or together):
            mean, variance = self._statistics(x, mask)
        scale, shift = self._affine(mean, variance)
        return torch.addcmul(shift, x, scale)

    def affine(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The scale and shift (C,) that normalize x, so that the next linear map can absorb them.

        x is taken as a constant, which inputs are: normalizing the frames of a batch is then free,
        where a normalized copy would be the largest tensor of the training step.

        Args:
            x: (..., C), without gradient.
            mask: bool (...), True on what counts; None when all does.
        """
        if not self.training:
            return self._affine(self.running_mean, self.running_var)
        with torch.no_grad():
            mean, variance = self._statistics(x, mask)
        return self._affine(mean, variance)

    def _affine(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.weight * torch.rsqrt(variance + EPSILON)
        return scale, self.bias - mean * scale

    def _normalize_batch(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        # A momentum of 1 makes torch write this batch's own statistics into the two buffers.
        mean, variance = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        out = functional.batch_norm(
            flat, mean, variance, self.weight, self.bias, training=True, momentum=1.0, eps=EPSILON
        )
        self._update(mean, variance)
        return out.view(x.shape)

    def _statistics(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of the batch if it has two frames or more, else the running ones: mean and variance."""
        flat = x.flatten(0, -2).float()
        real = flat.new_ones(len(flat)) if mask is None else mask.flatten().float()
        count = summed(real.sum())
        share = real / count.clamp(min=1)
        with torch.autocast(x.device.type, enabled=False):
            mean = summed(share @ flat)
            variance = summed(share @ (flat - mean).square_())
        enough = count > 1
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self._update(mean.detach(), unbiased.detach(), enough)
        return (
            torch.where(enough, mean, self.running_mean),
            torch.where(enough, variance, self.running_var),
        )

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, enough: Tensor | None = None) -> None:
        taken = torch.ones_like(self.updates) if enough is None else enough.to(self.updates.dtype)
        self.updates += taken
        momentum = taken * (1 / self.updates.clamp(min=1)).clamp(min=self.momentum)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)
