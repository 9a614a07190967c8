"""DMRNet's two mappings by hand, and its depth."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import families
from families import FamilyError
from families.dmrnet import DMRNetConfig, MergeAndRun, fc_block
from records.schema import Schema


class Times(nn.Module):
    """Stands in for a block."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def mapping(kind: Any, *factors: float) -> MergeAndRun:
    made = MergeAndRun(DMRNetConfig(hidden=2, mapping=kind), len(factors))
    made.blocks = nn.ModuleList(Times(factor) for factor in factors)
    return made


def values(streams: list[Tensor]) -> list[list[float]]:
    return [stream[0].tolist() for stream in streams]


def test_merge_adds_the_mean_of_the_streams_to_each_block() -> None:
    a, b = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 4.0]])
    # H_a = 2 a, H_b = -b, and the streams' mean is (2, 1).
    assert values(mapping("merge", 2, -1)([a, b])) == [[2 + 2, -4 + 1], [-3 + 2, -4 + 1]]


def test_average_is_of_block_and_identity() -> None:
    a, b = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 4.0]])
    # (2 a + a) / 2 = (1.5, -3), of which leaky ReLU keeps a hundredth below 0; (-b + b) / 2 = 0.
    first, second = mapping("average", 2, -1)([a, b])
    torch.testing.assert_close(first, torch.tensor([[1.5, -0.03]]))
    assert second.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("kind", "expected"), [("merge", [2.0, 2.0]), ("average", [1 / 256, 3 / 256])]
)
def test_what_eight_mappings_leave_of_the_identity(kind: str, expected: list[float]) -> None:
    streams = [torch.tensor([[1.0]]), torch.tensor([[3.0]])]
    for _ in range(8):
        streams = mapping(kind, 0, 0)(streams)
    assert [stream.item() for stream in streams] == expected


def test_a_block_is_linear_batch_norm_leaky_relu_dropout() -> None:
    torch.manual_seed(0)
    block: Any = fc_block(4, DMRNetConfig(hidden=3, block_dropout=0.2)).train()
    block.layers[3].p = 0.0
    x = torch.randn(50, 4)
    y = x @ block.layers[0].weight.T
    y = (y - y.mean(dim=0)) / (y.var(dim=0, unbiased=False) + 1e-3).sqrt()
    torch.testing.assert_close(block(x), torch.where(y > 0, y, 0.01 * y), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("depth", [2, 12])
def test_depth_is_the_number_of_mappings(schema: Schema, depth: int) -> None:
    model: Any = families.build("dmrnet", {"depth": depth, "hidden": 4}, schema)
    assert len(model.mappings) == depth


@pytest.mark.parametrize(("depth", "bound"), [(1, "at least 2"), (13, "at most 12")])
def test_other_depths_are_refused(depth: int, bound: str) -> None:
    with pytest.raises(FamilyError, match=rf"dmrnet\.depth: must be {bound}, not {depth}"):
        families.config_from_dict("dmrnet", {"depth": depth})


def test_merge_starts_as_nearly_the_entrance_alone(schema: Schema) -> None:
    torch.manual_seed(0)
    shares = {}
    for mapping in ("merge", "average"):
        config = {"depth": 2, "hidden": 64, "mapping": mapping}
        model: Any = families.build("dmrnet", config, schema)
        x = torch.randn(200, 64)
        block = model.mappings[0].blocks[0].train()
        shares[mapping] = (block(x).norm() / x.norm()).item()
    assert shares["merge"] == pytest.approx(0.1 * shares["average"], rel=0.2)
