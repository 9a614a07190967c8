"""NetVLAD's pooling against a loop over frames and clusters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from families.netvlad import NetVLAD, NetVLADConfig, VLADPooling
from records.schema import Schema


def unit(x: Tensor) -> Tensor:
    return x / max(float(x.norm()), 1e-6)


def loop_vlad(pooling: VLADPooling, clip: Tensor) -> Tensor:
    """Frame by frame, cluster by cluster, in evaluation."""
    norm, scores = pooling.input_norm, pooling.assignment.scores
    clusters, size = scores.weight.shape
    residuals = torch.zeros(clusters, size)
    for raw in clip:
        x = (raw - norm.running_mean) / torch.sqrt(norm.running_var + 1e-3)
        x = x * norm.weight + norm.bias
        logits = torch.stack([row @ x for row in scores.weight])
        logits = (logits - scores.norm.running_mean) / torch.sqrt(scores.norm.running_var + 1e-3)
        shares = torch.softmax(logits * scores.norm.weight + scores.norm.bias, dim=0)
        for k in range(clusters):
            center = 0 if pooling.centers is None else pooling.centers[k]
            residuals[k] += shares[k] * (x - center)
    return unit(torch.stack([unit(row) for row in residuals]).flatten())


@pytest.mark.parametrize("residuals", [True, False])
def test_pooling_is_the_loop(residuals: bool) -> None:
    torch.manual_seed(0)
    pooling = VLADPooling(6, 4, residuals=residuals).eval()
    with torch.no_grad():
        for tensor in [*pooling.parameters(), *pooling.buffers()]:
            tensor.uniform_(0.2, 1.5)
        pooling.assignment.scores.weight.normal_()
        lengths = [7, 3, 1]
        x = torch.randn(3, 7, 6)
        mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
        expected = torch.stack(
            [loop_vlad(pooling, clip[:n]) for clip, n in zip(x, lengths, strict=True)]
        )
        torch.testing.assert_close(pooling(x, mask), expected, atol=1e-5, rtol=1e-4)


def test_without_residuals_there_are_no_centers(schema: Schema) -> None:
    with_centers = NetVLAD(NetVLADConfig(clusters=4), schema)
    without = NetVLAD(NetVLADConfig(clusters=4, residuals=False), schema)
    assert {key for key in with_centers.state_dict() if key not in without.state_dict()} == {
        "pooling.0.centers",
        "pooling.1.centers",
    }


def test_the_widest_stream_has_all_clusters(schema: Schema) -> None:
    model: Any = NetVLAD(NetVLADConfig(clusters=8, clusters_divisor=2, hidden=5), schema)
    assert [pool.centers.shape for pool in model.pooling] == [(8, 10), (4, 6)]
    assert model.hidden.weight.shape == (5, 8 * 10 + 4 * 6)
