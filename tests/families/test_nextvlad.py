"""NeXtVLAD's pooling against a loop over frames and groups; its size against the paper's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import families
from families.nextvlad import NeXtVLADPooling, SqueezedGating
from families.size import parameter_count
from records.schema import Schema, load_schema


def normal(x: Tensor, norm: Any) -> Tensor:
    out: Tensor = (x - norm.running_mean) / torch.sqrt(norm.running_var + 1e-3)
    return out * norm.weight + norm.bias


def loop_nextvlad(pooling: NeXtVLADPooling, clip: Tensor, groups: int) -> Tensor:
    """Frame by frame, group by group, cluster by cluster, in evaluation."""
    clusters, size = pooling.centers.shape
    residuals = torch.zeros(clusters, size)
    for frame in clip:
        x = pooling.expand.weight @ frame + pooling.expand.bias
        scores = normal(pooling.assignment.weight @ x, pooling.assignment_norm)
        for g in range(groups):
            part = x[g * size : (g + 1) * size]
            attention = torch.sigmoid(pooling.attention.weight[g] @ x + pooling.attention.bias[g])
            shares = torch.softmax(scores[g * clusters : (g + 1) * clusters], dim=0)
            for k in range(clusters):
                residuals[k] += attention * shares[k] * (part - pooling.centers[k])
    rows = [row / max(float(row.norm()), 1e-6) for row in residuals]
    return normal(torch.cat(rows), pooling.norm)


@pytest.mark.parametrize(("groups", "group_size"), [(4, 3), (5, 3), (1, 12)])
def test_pooling_is_the_loop(groups: int, group_size: int) -> None:
    torch.manual_seed(0)
    pooling = NeXtVLADPooling(6, clusters=3, groups=groups, expansion=2).eval()
    assert pooling.group_size == group_size
    with torch.no_grad():
        for norm in (pooling.assignment_norm, pooling.norm):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                tensor.uniform_(0.2, 1.5)
        pooling.attention.bias.normal_()
        pooling.expand.bias.normal_()
        lengths = [7, 3, 1, 0]
        x = torch.randn(4, 7, 6)
        mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
        expected = torch.stack(
            [loop_nextvlad(pooling, clip[:n], groups) for clip, n in zip(x, lengths, strict=True)]
        )
        torch.testing.assert_close(pooling(x, mask), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(pooling(x[:1], None), expected[:1], atol=1e-5, rtol=1e-4)


def test_the_gating_is_squeezed() -> None:
    torch.manual_seed(0)
    gating = SqueezedGating(16, 8).eval()
    assert gating.squeeze.weight.shape == (2, 16)
    x = torch.randn(3, 16)
    squeezed = torch.relu(x @ gating.squeeze.weight.T / (1 + 1e-3) ** 0.5)
    expected = x * torch.sigmoid(squeezed @ gating.expand.weight.T)
    torch.testing.assert_close(gating(x), expected)


def test_other_streams_have_a_share_of_clusters_and_groups(schema: Schema) -> None:
    model: Any = families.build("nextvlad", {"clusters": 8, "groups": 4, "hidden": 5}, schema)
    image, sound = model.pooling
    assert image.centers.shape == (8, 2 * 10 // 4)
    assert sound.centers.shape == (4, 2 * 6 // 2)
    assert model.hidden.weight.shape == (5, 8 * 5 + 4 * 6)


@pytest.mark.parametrize(("clusters", "millions"), [(128, 80.8), (112, 71.1)])
def test_size_of_the_published_model(clusters: int, millions: float) -> None:
    with torch.device("meta"):
        config = {"clusters": clusters, "groups": 8, "hidden": 2048}
        model: Any = families.build("nextvlad", config, load_schema("yt8m_frame"))
    # The paper counts about 80 million, which is what stands before the classifier at K = 128.
    head = 2049 * 3862
    assert parameter_count(model.classifier) == head
    assert (parameter_count(model) - head) / 1e6 == pytest.approx(millions, rel=0.005)
