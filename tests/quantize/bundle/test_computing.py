"""A bundle that computes in bfloat16 finds what it finds in float32, but for rounding."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import families
from quantize import Bundle, BundleError, BundleMember, quantize_state, write_bundle
from records import Batch
from tests.quantize.bundle.test_hosts import memory
from tests.quantize.bundle.test_inference import FRAMES, frame_batch, small, video_batch
from tests.quantize.conftest import VIDEO

MakeMember = Callable[..., BundleMember]
# Half a step of the seven bits behind a bfloat16's first.
STEP = 2**-8


def both(path: Path, batch: Batch) -> list[torch.Tensor]:
    """The log-odds in float32 and in bfloat16."""
    loaded = (Bundle.load(path), Bundle.load(path, precision="bfloat16"))
    return [bundle.predict(batch) for bundle in loaded]


@pytest.mark.parametrize("family", families.list_families())
def test_every_family_finds_the_same_but_for_rounding(tmp_path: Path, family: str) -> None:
    module = small(family, FRAMES)
    config, state = families.config_to_dict(module.config), quantize_state(module.state_dict(), 40)
    write_bundle(tmp_path / "b", FRAMES, [BundleMember("m", family, config, 1.0, state)], {})
    exact, rounded = both(tmp_path / "b", frame_batch(FRAMES))
    assert rounded.dtype == torch.float32
    # A few steps of what is largest, through all layers.
    torch.testing.assert_close(rounded, exact, atol=8 * STEP * float(exact.abs().max()), rtol=0)


def test_a_perceptron_is_the_rounded_products_written_out(
    tmp_path: Path, make_member: MakeMember
) -> None:
    member = make_member(weight=1.0)
    write_bundle(tmp_path / "b", VIDEO, [member], {})
    batch = video_batch(VIDEO)
    _, found = both(tmp_path / "b", batch)
    # Products of what was rounded, summed exactly, and each sum rounded.
    x = torch.cat([batch.features[stream.name] for stream in VIDEO.streams], dim=1)
    module = Bundle.load(tmp_path / "b").members[0].module
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    for number, part in enumerate(linear):
        factors = [t.bfloat16().double() for t in (x, part.weight, part.bias)]
        x = torch.addmm(factors[2], factors[0], factors[1].t()).bfloat16().float()
        x = x if number == len(linear) - 1 else x.relu()
    # Where a sum lies between two numbers, the other one may be found.
    torch.testing.assert_close(found, x, atol=0, rtol=2 * STEP)
    assert float((found != x).float().mean()) < 0.2


def test_weights_take_half_of_the_memory(tmp_path: Path, make_member: MakeMember) -> None:
    write_bundle(tmp_path / "b", VIDEO, [make_member(hidden=(64,))], {})
    sizes = {
        precision: sum(tensor.nbytes for tensor in loaded.members[0].module.state_dict().values())
        for precision in ("float32", "bfloat16")
        for loaded in [Bundle.load(tmp_path / "b", precision=cast(Any, precision))]
    }
    assert sizes["bfloat16"] < 0.6 * sizes["float32"]


def test_neighbors_are_those_of_float32(tmp_path: Path, make_member: MakeMember) -> None:
    """Cosines of 0.99 and 0.991 are one in bfloat16, and have different votes."""
    write_bundle(tmp_path / "b", VIDEO, [make_member(weight=0.5), memory()], {})
    batch = video_batch(VIDEO)
    near = Bundle.load(tmp_path / "b", precision="bfloat16").members[0].module
    x = nn.functional.normalize(torch.randn(5, 16))
    with torch.no_grad():
        exact = cast(Any, near).memory.cosines(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(cast(Any, near).memory.cosines(x), exact)
    one, other = both(tmp_path / "b", batch)
    assert other.isfinite().all() and not torch.equal(one, other)


def test_threads_and_decoding_in_turn_find_the_same(
    tmp_path: Path, make_member: MakeMember
) -> None:
    members = [make_member(name, 0.5, seed) for seed, name in enumerate("ab")]
    write_bundle(tmp_path / "b", VIDEO, members, {})
    bundle = Bundle.load(tmp_path / "b", precision="bfloat16")
    size = 4 * sum(tensor.numel() for tensor in bundle.members[0].module.state_dict().values())
    in_turn = Bundle.load(tmp_path / "b", precision="bfloat16", resident=size)
    batches = [video_batch(VIDEO, clips) for clips in (5, 9, 5, 7)]
    expected = [bundle.predict(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(bundle.predict, batches))
    assert all(map(torch.equal, found, expected))
    assert all(map(torch.equal, map(in_turn.predict, batches), expected))


def test_another_precision_is_refused(tmp_path: Path, make_member: MakeMember) -> None:
    write_bundle(tmp_path / "b", VIDEO, [make_member()], {})
    with pytest.raises(BundleError, match="precision=half: must be one of auto, float32, bfloat16"):
        Bundle.load(tmp_path / "b", precision=cast(Any, "half"))
