"""A bundle of which not all members fit into memory scores as one of which they do."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from weakref import WeakSet

import pytest
import torch

import families
from common.errors import UserError
from families import FamilyModule
from families.neighbors import Neighbors
from quantize import Bundle, BundleError, BundleMember, quantize_state, write_bundle
from quantize.bundle import inference
from quantize.bundle.residency import kept_members
from records import Schema
from tests.families.flavors import FLAVORS
from tests.quantize.bundle.test_inference import FRAMES, frame_batch, video_batch

MakeMember = Callable[..., BundleMember]


@pytest.fixture
def three(tmp_path: Path, schema: Schema, make_member: MakeMember) -> Path:
    """Members of which the second is the largest."""
    members = [
        make_member("a", 0.5, 1, (16,)),
        make_member("b", 0.25, 2, (32,)),
        make_member("c", 0.25, 3, (16,)),
    ]
    write_bundle(tmp_path / "b", schema, members, {}, entropy=True)
    return tmp_path / "b"


def decoded_bytes(path: Path) -> list[int]:
    return [module_bytes(member.module) for member in Bundle.load(path).members]


def module_bytes(module: torch.nn.Module) -> int:
    return sum(tensor.nbytes for tensor in module.state_dict().values())


class Watch:
    """How many members were decoded, and how many bytes of them there were at most."""

    def __init__(self) -> None:
        self.alive: WeakSet[FamilyModule] = WeakSet()
        self.decoded = self.most = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Without Python's collector, which would hide that modules hold themselves."""
        decode = inference._decoded

        def watched(*arguments: Any) -> FamilyModule:
            module = decode(*arguments)
            self.decoded += 1
            self.alive.add(module)
            self.most = max(self.most, sum(map(module_bytes, self.alive)))
            return module

        gc.disable()
        try:
            with patch.object(inference, "_decoded", watched):
                yield
        finally:
            gc.enable()


def test_the_same_scores_and_never_more_bytes(three: Path, schema: Schema) -> None:
    batch, sizes = video_batch(schema), decoded_bytes(three)
    expected = Bundle.load(three).predict(batch)
    # All; the largest and the last in turn with the first; each in turn.
    limits = {sum(sizes): 0, sizes[0] + sizes[1]: 2, max(sizes): 3}
    for limit, anew in limits.items():
        watch = Watch()
        with watch.watching():
            bundle = Bundle.load(three, resident=limit)
            assert watch.decoded == 3
            assert torch.equal(bundle.predict(batch), expected)
            assert torch.equal(bundle.predict(batch), expected)
        assert watch.decoded == 3 + 2 * anew
        assert watch.most <= limit
    assert torch.equal(Bundle.load(three, resident="1MiB").predict(batch), expected)


def test_threads_decode_one_member_at_a_time(three: Path, schema: Schema) -> None:
    batch, limit, watch = video_batch(schema), max(decoded_bytes(three)), Watch()
    with watch.watching(), ThreadPoolExecutor(4) as pool:
        bundle = Bundle.load(three, resident=limit)
        found = list(pool.map(bundle.predict, [batch] * 8))
    expected = Bundle.load(three).predict(batch)
    assert all(torch.equal(own, expected) for own in found)
    assert watch.most <= limit


def test_a_member_that_does_not_fit_says_what_it_needs(three: Path) -> None:
    largest = max(decoded_bytes(three))
    with pytest.raises(BundleError, match=f"b: resident={largest - 1}: member b takes {largest:,}"):
        Bundle.load(three, resident=largest - 1)
    for wrong in ("much", 0, True):
        with pytest.raises(UserError, match=f"resident={wrong}"):
            Bundle.load(three, resident=wrong)


def test_damage_is_found_when_it_is_loaded(three: Path) -> None:
    content = bytearray(three.read_bytes())
    content[-1] ^= 1
    three.write_bytes(content)
    with pytest.raises(BundleError, match="is damaged"):
        Bundle.load(three, resident="1MB")


@pytest.mark.parametrize("family", families.list_families())
def test_a_module_of_every_family_goes_when_it_is_done_with(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    members = []
    for name in ("a", "b"):
        module = families.build(family, FLAVORS[family][0], FRAMES)
        config = families.config_to_dict(module.config)
        state = quantize_state(module.state_dict(), 40)
        members.append(BundleMember(name, family, config, 0.5, state))
    write_bundle(tmp_path / "b", FRAMES, members, {})
    batch, limit, watch = frame_batch(FRAMES), module_bytes(module), Watch()
    with watch.watching():
        found = Bundle.load(tmp_path / "b", resident=limit).predict(batch)
    assert watch.decoded == 4 and watch.most <= limit
    assert torch.equal(found, Bundle.load(tmp_path / "b").predict(batch))


def test_what_stands_on_another_comes_behind_it(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    host = make_member("z", 0.5)
    config = {"clips": 20, "of": "z", "width": 16}
    module = families.build("neighbors", config, schema)
    assert isinstance(module, Neighbors)
    module.memory.embeddings.normal_(generator=torch.Generator().manual_seed(0))
    module.memory.shares.fill_(200)
    module.memory.labels.copy_(torch.arange(20)[:, None] % 7)
    whole = families.config_to_dict(module.config)
    state = quantize_state(module.state_dict(), 50)
    members = [host, BundleMember("near", "neighbors", whole, 0.5, state)]
    write_bundle(tmp_path / "b", schema, members, {})
    batch, limit = video_batch(schema), max(decoded_bytes(tmp_path / "b"))
    expected = Bundle.load(tmp_path / "b").predict(batch)
    assert torch.equal(Bundle.load(tmp_path / "b", resident=limit).predict(batch), expected)


def test_most_bytes_stay_that_can() -> None:
    """Against all subsets: what is kept fits, and nothing could be added to it."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        drawn = torch.randint(1, 20, (5,), generator=generator).tolist()
        sizes = dict(zip("abcde", drawn, strict=True))
        limit = max(drawn) + int(torch.randint(0, 60, (), generator=generator))
        kept = kept_members(sizes, limit)

        def fits(names: set[str], sizes: dict[str, int] = sizes, limit: int = limit) -> bool:
            others = [size for name, size in sizes.items() if name not in names]
            return sum(sizes[name] for name in names) + max(others, default=0) <= limit

        assert fits(kept)
        assert not any(fits(kept | {name}) for name in sizes.keys() - kept)
        if fits(set(sizes)):
            assert kept == set(sizes)
