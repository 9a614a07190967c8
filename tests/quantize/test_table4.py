"""The nine members of Skalic & Austin 2018, table 4, at full size: one file under 1 GiB."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from families import build
from families.size import is_large
from quantize import (
    BundleMember,
    Codes,
    MemberLayout,
    Option,
    Problem,
    QuantizedState,
    bundle_bytes,
    quantize_state,
    read_bundle,
    write_bundle,
)
from quantize.precision import UNIFORM8
from stages.workspace import Workspace
from tests.ensemble.small import make_members, store
from tests.quantize.selection.problems import solve
from tests.test_experiments import WINNERS, experiment

BUDGET = 2**30
LABELS = 40


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return Workspace(experiment("skalic2018"))


def shapes_of(workspace: Workspace, name: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = build(
            workspace.config.members[name].family,
            workspace.config.members[name].config,
            workspace.schema,
        )
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def as_stored(shapes: Mapping[str, tuple[int, ...]]) -> QuantizedState:
    """A state at 8 bits whose bytes nobody has written yet, so that it takes no memory."""
    large = {name for name, shape in shapes.items() if is_large(shape)}
    codes = {
        name: Codes(
            UNIFORM8, shapes[name], torch.empty(shapes[name], dtype=torch.uint8), torch.empty(256)
        )
        for name in large
    }
    plain = {name: torch.empty(shape) for name, shape in shapes.items() if name not in large}
    return QuantizedState(codes, plain)


def test_one_more_netvlad_drops_a_member(workspace: Workspace) -> None:
    layouts: dict[str, MemberLayout] = {}
    for name in [*WINNERS, "NetVLAD3"]:
        source = "NetVLAD1" if name == "NetVLAD3" else name
        family = workspace.config.members[source].family
        config = workspace.config.members[source].config
        layouts[name] = MemberLayout.of(
            name, family, config, as_stored(shapes_of(workspace, source))
        )

    def size(choice: Mapping[str, str]) -> int:
        return bundle_bytes(workspace.schema, [layouts[name] for name in choice], {})

    def options(count: int) -> list[Option]:
        dense, _ = make_members(10, 60, LABELS, noise=1.5)
        names = list(layouts)[:count]
        pairs = zip(names, dense, strict=False)
        return [Option(name, UNIFORM8, store(one, LABELS)) for name, one in pairs]

    _, labels = make_members(10, 60, LABELS, noise=1.5)
    nine = solve(Problem(options(9), labels, size), BUDGET, "flat")
    assert set(nine.choice) == set(WINNERS)
    assert 1.04e9 < nine.size < BUDGET
    for method in ("flat", "random", "greedy"):
        ten = solve(Problem(options(10), labels, size), BUDGET, method, trials=60)
        assert 0 < len(ten.choice) < 10
        assert ten.size == size(ten.choice) <= BUDGET
    assert size(dict.fromkeys(layouts, UNIFORM8)) > BUDGET


@pytest.mark.slow
def test_nine_members_are_one_file(workspace: Workspace, tmp_path: Path) -> None:
    # Of what is stored as a variance too: none below 0.
    numbers = torch.rand(2**20, generator=torch.Generator().manual_seed(0))

    def repeated(shape: tuple[int, ...]) -> torch.Tensor:
        count = math.prod(shape)
        return numbers.repeat(-(-count // len(numbers)))[:count].reshape(shape)

    members = []
    for name in WINNERS:
        state = {key: repeated(shape) for key, shape in shapes_of(workspace, name).items()}
        config = workspace.config.members[name]
        members.append(
            BundleMember(name, config.family, config.config, 1 / 9, quantize_state(state))
        )
    path = tmp_path / "nine.safetensors"
    layouts = [MemberLayout.of(m.name, m.family, m.config, m.state) for m in members]
    predicted = bundle_bytes(workspace.schema, layouts, {})
    assert write_bundle(path, workspace.schema, members, {}) == predicted == path.stat().st_size
    assert 1.04e9 < predicted < BUDGET
    read = {member.name: member.state for member in read_bundle(path).members}
    assert read.keys() == set(WINNERS)
    for member in members:
        for key, codes in member.state.codes.items():
            assert torch.equal(read[member.name].codes[key].codes, codes.codes)
