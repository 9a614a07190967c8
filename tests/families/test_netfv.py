"""Fisher vectors against a loop over frames and clusters."""

from __future__ import annotations

import torch
from torch import Tensor

from families.netfv import FisherPooling


def unit(x: Tensor) -> Tensor:
    return x / max(float(x.norm()), 1e-6)


def loop_fisher(pooling: FisherPooling, clip: Tensor) -> Tensor:
    """First and second order, frame by frame, in evaluation and float64."""
    norm, scores = pooling.input_norm, pooling.assignment.scores
    clusters, size = scores.weight.shape
    first, second = torch.zeros(2, clusters, size, dtype=torch.double)
    for raw in clip.double():
        x = (raw - norm.running_mean) / torch.sqrt(norm.running_var + 1e-3)
        x = x * norm.weight + norm.bias
        logits = scores.weight.double() @ x
        logits = (logits - scores.norm.running_mean) / torch.sqrt(scores.norm.running_var + 1e-3)
        shares = torch.softmax(logits * scores.norm.weight + scores.norm.bias, dim=0)
        for k in range(clusters):
            deviation = pooling.deviation_roots[k].double() ** 2 + 1e-6
            standard = (x - pooling.centers[k]) / deviation
            first[k] += shares[k] * standard
            second[k] += shares[k] * (standard**2 - 1)
    first = torch.stack([unit(row) for row in first])
    return torch.cat([unit(first.flatten()), unit(second.flatten())])


def test_pooling_is_the_loop() -> None:
    torch.manual_seed(0)
    pooling = FisherPooling(6, 4).eval()
    with torch.no_grad():
        for tensor in [*pooling.parameters(), *pooling.buffers()]:
            tensor.uniform_(0.5, 1.5)
        pooling.assignment.scores.weight.normal_()
        lengths = [7, 3, 1]
        x = torch.randn(3, 7, 6)
        mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
        expected = torch.stack(
            [loop_fisher(pooling, clip[:n]) for clip, n in zip(x, lengths, strict=True)]
        )
        torch.testing.assert_close(pooling(x, mask), expected.float(), atol=1e-5, rtol=1e-3)
