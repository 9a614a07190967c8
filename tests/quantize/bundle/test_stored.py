"""What stands for a tensor: every lie about it is refused, and any codebook is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from quantize import BundleMember, QuantizedState, read_bundle, write_bundle
from records import Schema
from tests.quantize.bundle.changed import BIAS, CODES, refused, rewritten

MakeMember = Callable[..., BundleMember]
TENSOR, _, _ = CODES.rpartition("/")
CODEBOOK = f"{TENSOR}/codebook"


def without(*names: str) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        for name in names:
            del tensors[name]

    return change


def with_tensor(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({name: tensor})


def renamed(old: str, new: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.update({new: tensors.pop(old)})


def flat_tensor(tensors: dict[str, Tensor]) -> None:
    tensors[CODES] = tensors[CODES].reshape(-1, 1)


def nan_codebook(tensors: dict[str, Tensor]) -> None:
    tensors[CODEBOOK][9] = float("nan")


def infinite_tensor(tensors: dict[str, Tensor]) -> None:
    name = next(n for n in sorted(tensors) if n.endswith("running_var"))
    tensors[name][0] = float("inf")


def negative_variance(tensors: dict[str, Tensor]) -> None:
    name = next(n for n in sorted(tensors) if n.endswith("running_var"))
    tensors[name][0] = -0.5


def huge_codebook(tensors: dict[str, Tensor]) -> None:
    tensors[CODEBOOK][255] = 3e38


def half(value: float) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        shape = tensors.pop(CODES).shape
        tensors[f"{TENSOR}/float16"] = torch.full(shape, value, dtype=torch.float16)

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (without(CODEBOOK), "no codebook"),
        (with_tensor(CODEBOOK, torch.zeros(255)), "wants .256."),
        (with_tensor(CODEBOOK, torch.zeros(16, 2)), "wants .256."),
        (nan_codebook, "1 of 256 values are NaN"),
        (with_tensor(CODEBOOK, torch.zeros(256, dtype=torch.uint8)), "float32 is needed"),
        (without(CODES), "a codebook without codes"),
        (with_tensor(f"{BIAS}/codebook", torch.zeros(256)), "a codebook without codes"),
        (without(CODES, CODEBOOK), "is missing"),
        (flat_tensor, "has shape"),
        (infinite_tensor, "NaN or infinite"),
        (negative_variance, "running_var: a variance of -0.5"),
        (huge_codebook, r"codebook has values beyond 1e.18, whose products overflow"),
        (with_tensor(BIAS, torch.full((16,), -3e38)), "has values beyond 1e.18"),
        (with_tensor(BIAS, torch.zeros(16).half()), "float32 is needed"),
        (with_tensor(BIAS, torch.zeros(16, dtype=torch.uint8)), "float32 is needed"),
        (renamed(CODES, f"{TENSOR}/uniform7"), "unknown precision 'uniform7'"),
        (renamed(CODES, f"{TENSOR}/float32"), "unknown precision 'float32'"),
        (renamed(CODES, f"{TENSOR}/uniform8/"), "unknown precision 'uniform8/'"),
        (with_tensor(f"{BIAS}/", torch.zeros(16)), "stored twice, as float32 and ''"),
        (renamed(BIAS, f"{BIAS}/"), "unknown precision ''"),
        (renamed(CODES, f"{TENSOR}/uniform4"), "has shape .16, 17., .* wants .136."),
        (renamed(CODES, f"{TENSOR}/channel8"), "wants .16, 2."),
        (renamed(CODES, f"{TENSOR}/float16"), "float16 is needed"),
        (half(1.0), "an unwanted codebook"),
        (half(float("inf")), "an unwanted codebook|NaN or infinite"),
        (with_tensor(TENSOR, torch.zeros(16, 17)), "stored twice, as float32 and 'uniform8'"),
        (
            with_tensor(f"{TENSOR}/uniform4", torch.zeros(136, dtype=torch.uint8)),
            "stored twice, as 'uniform4' and 'uniform8'",
        ),
        (
            with_tensor(f"{CODES}.zst", torch.zeros(9, dtype=torch.uint8)),
            "stored twice, as 'uniform8' and 'uniform8.zst'",
        ),
        (renamed(CODES, f"{CODES}.zst"), "no compressed codes"),
        (with_tensor("one/stray", torch.zeros(3)), "no place for tensor 'stray'"),
        (with_tensor("stray", torch.zeros(3)), "belongs to no member"),
    ],
)
def test_changed_tensors_are_refused(
    tmp_path: Path,
    schema: Schema,
    make_member: MakeMember,
    change: Callable[[dict[str, Tensor]], None],
    match: str,
) -> None:
    refused(rewritten(tmp_path, schema, [make_member()], tensors=change), match)


def test_a_codebook_need_not_be_uniform(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    member = make_member()
    codes = {
        name: dataclasses.replace(entry, codebook=torch.randn(256))
        for name, entry in member.state.codes.items()
    }
    state = QuantizedState(codes, member.state.plain)
    write_bundle(tmp_path / "b", schema, [dataclasses.replace(member, state=state)], {})
    found = read_bundle(tmp_path / "b").members[0].state.dequantize()
    for name, entry in codes.items():
        assert entry.codebook is not None
        assert torch.equal(found[name], entry.codebook[entry.codes.long()])
