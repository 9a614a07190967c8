"""Members that stand on another's hidden layer: refused without it, computed once with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import families
from quantize import (
    Bundle,
    BundleError,
    BundleMember,
    MemberLayout,
    bundle_bytes,
    quantize_state,
    write_bundle,
)
from records import Batch
from tests.quantize.bundle.changed import refused, rewritten
from tests.quantize.conftest import VIDEO, MakeMember

CONFIG = {"clips": 40, "of": "one", "width": 16, "labels": 2}


def memory(precision: str = "quantile2", **changes: Any) -> BundleMember:
    """Forty clips at random, on the hidden layer of the member `one`."""
    torch.manual_seed(1)
    config = {**CONFIG, **changes}
    state = families.build("neighbors", config, VIDEO).state_dict()
    state["memory.embeddings"].normal_()
    state["memory.labels"].random_(VIDEO.num_labels)
    state["memory.shares"].random_(1, 255)
    return BundleMember("near", "neighbors", config, 0.5, quantize_state(state, 50, precision))


@pytest.mark.parametrize("precision", ["quantile1", "quantile2", "quantile4", "uniform8"])
def test_its_bytes_are_counted_and_read_back(
    tmp_path: Path, make_member: MakeMember, precision: str
) -> None:
    members = [make_member(weight=0.5), memory(precision)]
    size = write_bundle(tmp_path / "b", VIDEO, members, {})
    layouts = [MemberLayout.of(m.name, m.family, m.config, m.state) for m in members]
    assert size == bundle_bytes(VIDEO, layouts, {}) == (tmp_path / "b").stat().st_size
    bundle = Bundle.load(tmp_path / "b")
    near = bundle.members[0].module.state_dict()
    for name, tensor in members[1].state.plain.items():
        assert torch.equal(near[name], tensor) and near[name].dtype == tensor.dtype
    features = {stream.name: torch.randn(3, stream.size) for stream in VIDEO.streams}
    batch = Batch(list("abc"), features, None, torch.zeros(0, 2, dtype=torch.int64), 7, -2, 2)
    assert bundle.predict(batch).isfinite().all()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"of": "two"}, "member near: stands on member 'two', which has no part here"),
        ({"of": "near"}, "member near: Neighbors has 0 heads"),
        ({"width": 15}, "member near: the hidden layer of one has 16 values"),
    ],
)
def test_without_its_host_it_is_refused(
    tmp_path: Path, make_member: MakeMember, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(BundleError, match=match):
        write_bundle(tmp_path / "b", VIDEO, [make_member(weight=0.5), memory(**changes)], {})


def test_a_host_without_weight_is_refused(tmp_path: Path, make_member: MakeMember) -> None:
    members = [make_member(weight=0.0), replace(memory(), weight=1.0)]
    with pytest.raises(BundleError, match="which has no part here"):
        write_bundle(tmp_path / "b", VIDEO, members, {})


def test_integers_are_what_the_configuration_wants(tmp_path: Path, make_member: MakeMember) -> None:
    def shorter(tensors: dict[str, torch.Tensor]) -> None:
        tensors["near/memory.labels"] = tensors["near/memory.labels"][:-1]

    def wider(tensors: dict[str, torch.Tensor]) -> None:
        tensors["near/memory.labels"] = tensors["near/memory.labels"].to(torch.int32)

    def coded(tensors: dict[str, torch.Tensor]) -> None:
        tensors["near/memory.shares/uniform8"] = tensors.pop("near/memory.shares")

    for change, match in (
        (shorter, r"memory.labels: it has shape \[39, 2\]"),
        (wider, "has type torch.int32, torch.int16 is needed"),
        (coded, "codes in the place of integers"),
    ):
        members = [make_member(weight=0.5), memory()]
        refused(rewritten(tmp_path, VIDEO, members, tensors=change), match)


def test_a_label_that_there_is_not_is_refused(tmp_path: Path, make_member: MakeMember) -> None:
    near = memory()
    labels = near.state.plain["memory.labels"]
    labels[3] = 7
    refused(
        rewritten(tmp_path, VIDEO, [make_member(weight=0.5), near]),
        "memory: label 7 is out of range of 7",
    )
