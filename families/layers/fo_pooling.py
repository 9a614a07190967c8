"""The recurrence of the quasi-recurrent net, as one differentiable function."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary


def fo_pooling(scores: Tensor, mask: Tensor | None, hidden: int) -> Tensor:
    """`FOPooling` as a function that takes part in torch's overrides: an exporter has its own.

    Args:
        scores: float (T, B, 3 H), what goes into z, f and o; or (T, B, 2 H), without o.
        mask: bool (T, B), True on real frames; the others leave the state c as it is.
        hidden: H.

    Returns:
        h, or c where there is no o; (T, B, H). c before the first frame is zero.
    """
    if has_torch_function_unary(scores):
        pooled: Tensor = handle_torch_function(fo_pooling, (scores,), scores, mask, hidden)
    else:
        pooled = FOPooling.apply(scores, mask, hidden)
    return pooled


class FOPooling(torch.autograd.Function):
    """c_t = f_t c_(t-1) + (1 - f_t) z_t and h_t = o_t c_t, from what goes into the gates.

    z is a hyperbolic tangent, f and o are sigmoids (Bradbury et al. 2016, equations 1 to 4). All
    but the recurrence is done for every frame at once, and the gates' gradients are written side
    by side, as the matrix product in front of them takes them.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor | None, hidden: int) -> Tensor:
        """See `fo_pooling`."""
        z, f = torch.tanh(scores[..., :hidden]), torch.sigmoid(scores[..., hidden : 2 * hidden])
        if mask is not None:
            f.masked_fill_(~mask[..., None], 1.0)
        c = torch.addcmul(z, z, f, value=-1)
        scan_(c, f, blocked=c.is_cuda)
        if scores.shape[-1] == 2 * hidden:
            ctx.save_for_backward(z, f, c)
            return c
        o = torch.sigmoid(scores[..., 2 * hidden :])
        ctx.save_for_backward(z, f, c, o)
        return o * c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of the scores; what reaches z and f in padding is exactly zero."""
        z, f, c, *output = ctx.saved_tensors
        scores = z.new_empty(*z.shape[:-1], (2 + len(output)) * z.shape[-1])
        into_z, into_f, *into_o = scores.split(z.shape[-1], dim=-1)
        if output:
            (o,), (into,) = output, into_o
            share = gradient * c
            torch.ops.aten.sigmoid_backward.grad_input(share, o, grad_input=into)
            torch.mul(gradient, o, out=share)
        else:
            share = gradient.clone()
        # What frame t hands to the one before it: f_t times the whole gradient of c_t.
        handed = f * share
        scan_(handed, f, reverse=True, blocked=c.is_cuda)
        share[:-1] += handed[1:]
        share.addcmul_(share, f, value=-1)
        torch.ops.aten.tanh_backward.grad_input(share, z, grad_input=into_z)
        # f (1 - f) (c_(t-1) - z) is (1 - f) (c_t - z).
        torch.sub(c, z, out=into_f).mul_(share)
        return scores, None, None


def scan_(x: Tensor, decay: Tensor, *, reverse: bool = False, blocked: bool = False) -> None:
    """x_t += decay_t x_(t-1), one frame after the other, in place.

    Args:
        x: (T, ...).
        decay: (T, ...), between 0 and 1; that of the first frame is not used.
        reverse: whether to go from the last frame to the first.
        blocked: whether to go through about sqrt(T) stretches of time at once and join them
            afterwards: a few times the arithmetic, in about 3 sqrt(T) steps instead of T, which
            pays where starting a step costs more than the step. Products of decays only shrink,
            so that nothing overflows.
    """
    order = -1 if reverse else 1
    if not blocked:
        _scan_in_turn_(x.unbind()[::order], decay.unbind()[::order])
        return
    frames = len(x)
    length = math.isqrt(frames)
    head = frames // length * length
    inside = slice(frames - head, frames) if reverse else slice(head)
    stretches, decays = (y[inside].unflatten(0, (-1, length)) for y in (x, decay))
    reach = decays.clone()
    _scan_in_turn_(stretches.unbind(1)[::order], decays.unbind(1)[::order])
    for before, after in pairwise(reach.unbind(1)[::order]):
        after.mul_(before)
    last = 0 if reverse else -1
    blocks = zip(pairwise(stretches.unbind()[::order]), reach.unbind()[::order][1:], strict=True)
    for (before, after), reached in blocks:
        after.addcmul_(reached, before[last])
    rest = slice(frames - head + 1) if reverse else slice(head - 1, frames)
    _scan_in_turn_(x[rest].unbind()[::order], decay[rest].unbind()[::order])


def _scan_in_turn_(frames: tuple[Tensor, ...], decays: tuple[Tensor, ...]) -> None:
    for (before, after), decay in zip(pairwise(frames), decays[1:], strict=True):
        after.addcmul_(decay, before)
