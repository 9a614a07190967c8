"""Logistic regression, mixture of experts, and the two ways of pooling in front of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import families
from families import FamilyError
from families.layers.moments import moments
from families.linear import LogisticConfig, MoEConfig
from records.schema import Schema


def loop_moments(clip: np.ndarray) -> np.ndarray:
    """Value by value, of one clip's real frames."""
    if len(clip) == 0:
        return np.zeros(7 * clip.shape[1])
    ranked = [sorted(column, reverse=True) for column in clip.T]
    filled = [column + [column[-1]] * 5 for column in ranked]
    highest = [[column[rank] for column in filled] for rank in range(5)]
    return np.concatenate([clip.mean(axis=0), clip.std(axis=0), *highest])


def test_moments_are_those_of_the_real_frames(features: dict[str, Tensor], mask: Tensor) -> None:
    x = features["image"]
    noisy = torch.where(mask[..., None], x, 50.0)
    expected = [loop_moments(clip[real].numpy()) for clip, real in zip(x, mask, strict=True)]
    pooled = moments(noisy, mask)
    assert pooled.shape == (5, 7 * 10)
    np.testing.assert_allclose(pooled, np.stack(expected), atol=1e-6, rtol=1e-5)
    without_mask = moments(x[:1, :3], None)
    np.testing.assert_allclose(without_mask[0], loop_moments(x[0, :3].numpy()), atol=1e-6)


def test_a_mean_has_no_deviation_and_is_all_its_highest_values() -> None:
    mean = torch.tensor([[[0.5, -2.0]]])
    expected = [0.5, -2.0, 0.0, 0.0] + 5 * [0.5, -2.0]
    assert moments(mean, None).tolist() == [expected]


def test_logistic_is_one_linear_map_of_the_means(
    schema: Schema, features: dict[str, Tensor], mask: Tensor
) -> None:
    torch.manual_seed(0)
    model: Any = families.build("logistic", {"input_norm": "none"}, schema).eval()
    linear = model.classifier.head.classifier.linear
    for row, length in enumerate([8, 5, 3, 1]):
        image, sound = (features[name][row, :length].mean(dim=0) for name in ("image", "sound"))
        expected = linear.weight @ torch.cat([image, sound]) + linear.bias
        torch.testing.assert_close(model(features, mask)[row], expected)


def test_moe_is_the_sum_of_gated_probabilities(video_schema: Schema) -> None:
    torch.manual_seed(0)
    config = {"input_norm": "none", "head": {"experts": 3}}
    model: Any = families.build("moe", config, video_schema).eval()
    means = {"sound": torch.randn(2, 6), "image": torch.randn(2, 10)}
    x = torch.cat([means["image"], means["sound"]], dim=1)
    head = model.classifier.head.classifier
    gates = torch.softmax(head.gates(x).view(2, 4, 7), dim=1)
    experts = torch.sigmoid(head.experts(x).view(2, 3, 7))
    torch.testing.assert_close(torch.sigmoid(model(means)), (gates[:, :3] * experts).sum(dim=1))


def test_each_family_has_its_own_head() -> None:
    assert LogisticConfig().head.kind == "logistic"
    assert MoEConfig().head.kind == "mixture"
    with pytest.raises(FamilyError, match=r"logistic: head.kind must be 'logistic'"):
        families.config_from_dict("logistic", {"head": {"kind": "mixture"}})
    with pytest.raises(FamilyError, match=r"moe: head.kind must be 'mixture'"):
        families.config_from_dict("moe", {"head": {"kind": "logistic"}})
