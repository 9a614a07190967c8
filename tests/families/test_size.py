"""Bytes at 8 bits: the rule, and the winners' models against their published sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import families
from common.tensors import THRESHOLD
from families.meta import without_memory
from families.size import model_bytes, parameter_count, tensor_bytes
from records.schema import Schema, Stream

YOUTUBE_8M = Schema(
    name="youtube_8m",
    level="frame",
    streams=(Stream("rgb", 1024, "uint8"), Stream("audio", 128, "uint8")),
    num_labels=3862,
)
LOGISTIC = {"kind": "logistic"}
MIXTURE = {"kind": "mixture", "experts": 2}
GATED_MIXTURE = {"kind": "mixture", "experts": 2, "probability_gating": True}
# Skalic & Austin 2018, table 4; the megabytes are those that the configurations' tensors come to.
PUBLISHED: dict[str, tuple[str, dict[str, Any], float]] = {
    "RNN2": (
        "rnn",
        {"variant": "bidirectional", "cell": "lstm", "hidden": 1024, "head": LOGISTIC},
        19.2,
    ),
    "FVNet1": (
        "netfv",
        {"clusters": 96, "hidden": 1540, "gating": True, "head": GATED_MIXTURE},
        369.2,
    ),
    "DBoF1": ("dbof", {"variant": "gated", "clusters": 6144, "hidden": 1536}, 59.4),
    "DBoF2": ("dbof", {"variant": "gated", "clusters": 4096, "hidden": 1024}, 37.3),
    "DBoF3": ("dbof", {"variant": "gated", "clusters": 3684, "hidden": 920}, 33.1),
    "NetVLAD1": (
        "netvlad",
        {"clusters": 192, "hidden": 992, "gating": True, "head": GATED_MIXTURE},
        242.9,
    ),
}


def test_only_large_tensors_take_a_byte_a_value() -> None:
    assert tensor_bytes(torch.empty(1, THRESHOLD)) == 4 * THRESHOLD
    assert tensor_bytes(torch.empty(1, THRESHOLD + 1)) == THRESHOLD + 1 + 256 * 4
    assert tensor_bytes(torch.empty(THRESHOLD + 1)) == 4 * (THRESHOLD + 1), "a bias"
    assert tensor_bytes(torch.empty(())) == 4
    labels = torch.empty(2, THRESHOLD, dtype=torch.int16)
    assert tensor_bytes(labels) == 4 * THRESHOLD, "integers stay as they are"
    assert model_bytes(nn.Linear(200, 100)) == 20_000 + 1024 + 400


@pytest.mark.parametrize("member", PUBLISHED)
def test_published_members_come_to_their_bytes(member: str) -> None:
    family, config, megabytes = PUBLISHED[member]
    with without_memory():
        model = families.build(family, config, YOUTUBE_8M)
    assert model_bytes(model) / 1e6 == pytest.approx(megabytes, rel=0.005)


def test_netvlad1_tensors() -> None:
    family, config, _ = PUBLISHED["NetVLAD1"]
    with without_memory():
        model = families.build(family, config, YOUTUBE_8M)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes["hidden.weight"] == (992, 208_896)
    assert shapes["classifier.gating.weight"] == (992, 992)
    assert shapes["classifier.head.gating.weight"] == (3862, 3862)
    assert shapes["classifier.head.classifier.gates.weight"] == (3 * 3862, 992)
    assert shapes["classifier.head.classifier.experts.weight"] == (2 * 3862, 992)


def test_parameters_are_counted_without_buffers() -> None:
    assert parameter_count(families.MaskedBatchNorm(5)) == 10
