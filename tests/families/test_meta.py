"""Models without memory: the shapes of real ones, and none of torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

from families.meta import without_memory

COMPILER = "torch._dynamo"
IN_A_PROCESS = f"""
import sys
from torch import empty, nn
from families.meta import without_memory
with without_memory():
    layer = nn.Embedding(3, 4)
    nn.init.kaiming_normal_(nn.Linear(2, 3).weight)
    empty(3).normal_()
    nn.init.normal_(tensor=empty(3))
assert layer.weight.is_meta
assert {COMPILER!r} not in sys.modules
"""


def test_shapes_are_those_of_a_real_model() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 5), nn.LSTM(5, 6), nn.BatchNorm1d(6))

    real = build().state_dict()
    with without_memory():
        found = build().state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in real.items()}
    assert all(tensor.is_meta for tensor in found.values())
    assert not torch.empty(1).is_meta


def test_the_compiler_is_not_imported() -> None:
    subprocess.run([sys.executable, "-c", IN_A_PROCESS], check=True)
