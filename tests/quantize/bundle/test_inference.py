"""A loaded bundle scores as its members do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import families
from quantize import Bundle, BundleError, BundleMember, quantize_state, write_bundle
from records import Batch, Schema, Stream
from tests.families.flavors import FLAVORS

MakeMember = Callable[..., BundleMember]
FRAMES = Schema(
    "frames",
    "frame",
    (Stream("rgb", 8), Stream("audio", 4)),
    num_labels=6,
    label_verticals=((0,), (0,), (0, 1), (1,), (1,), (2,)),
    vertical_names=("zero", "one", "two"),
)


def video_batch(schema: Schema, clips: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(1)
    features = {s.name: torch.randn(clips, s.size, generator=generator) for s in schema.streams}
    ids = [str(number) for number in range(clips)]
    labels = torch.zeros(0, 2, dtype=torch.int64)
    return Batch(ids, features, None, labels, schema.num_labels, -2.0, 2.0)


def frame_batch(schema: Schema, clips: int = 3, frames: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(1)
    features = {
        s.name: torch.randint(0, 256, (clips, frames, s.size), generator=generator).byte()
        for s in schema.streams
    }
    mask = torch.arange(frames) < torch.tensor([frames, 2, 1])[:, None]
    labels = torch.zeros(0, 2, dtype=torch.int64)
    return Batch(["a", "b", "c"], features, mask, labels, schema.num_labels, -2.0, 2.0)


def reference(schema: Schema, member: BundleMember, batch: Batch) -> torch.Tensor:
    module = families.build(member.family, member.config, schema)
    module.load_state_dict(member.state.dequantize())
    module.eval()
    batch = batch.to("cpu")
    with torch.no_grad():
        scores: torch.Tensor = module(batch.features, batch.mask)
    return scores.double()


def test_one_member_is_scored_as_it_is(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    member = make_member(weight=1.0)
    write_bundle(tmp_path / "b", schema, [member], {})
    batch = video_batch(schema)
    found = Bundle.load(tmp_path / "b").predict(batch)
    assert found.dtype == torch.float32 and found.shape == (5, 7)
    torch.testing.assert_close(found.double(), reference(schema, member, batch))


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
def test_members_are_mixed_by_weight(
    tmp_path: Path, schema: Schema, make_member: MakeMember, mode: str
) -> None:
    members = [make_member("b", 0.75, seed=1), make_member("a", 0.25, seed=2, hidden=(8,))]
    write_bundle(tmp_path / "b", schema, members, {"gap": 0.5}, mode)
    bundle = Bundle.load(tmp_path / "b")
    batch = video_batch(schema)
    one, other = (reference(schema, member, batch) for member in members)
    if mode == "probability":
        expected = torch.logit(0.75 * one.sigmoid() + 0.25 * other.sigmoid())
    else:
        expected = 0.75 * one + 0.25 * other
    torch.testing.assert_close(bundle.predict(batch).double(), expected, atol=1e-5, rtol=1e-5)
    assert bundle.weights.tolist() == [0.25, 0.75]
    assert [member.name for member in bundle.members] == ["a", "b"]
    assert bundle.labels == schema.label_names
    assert bundle.receipt == {"gap": 0.5}


def small(family: str, schema: Schema) -> families.FamilyModule:
    torch.manual_seed(0)
    return families.build(family, FLAVORS[family][0], schema)


@pytest.mark.parametrize("family", families.list_families())
def test_every_family_survives_the_file(tmp_path: Path, family: str) -> None:
    module = small(family, FRAMES)
    config = families.config_to_dict(module.config)
    state = quantize_state(module.state_dict(), 40)
    member = BundleMember("m", family, config, 1.0, state)
    write_bundle(tmp_path / "b", FRAMES, [member], {})
    bundle = Bundle.load(tmp_path / "b")
    batch = frame_batch(FRAMES)
    expected = reference(FRAMES, member, batch)
    torch.testing.assert_close(bundle.predict(batch).double(), expected, atol=1e-5, rtol=1e-5)
    tensors = [*bundle.members[0].module.parameters(), *bundle.members[0].module.buffers()]
    assert not any(tensor.is_meta or tensor.requires_grad for tensor in tensors)
    assert not bundle.members[0].module.training


def test_loading_leaves_the_generator_alone(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    write_bundle(tmp_path / "b", schema, [make_member()], {})
    before = torch.get_rng_state()
    Bundle.load(tmp_path / "b")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_file_may_go_once_it_is_loaded(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    write_bundle(tmp_path / "b", schema, [make_member()], {})
    bundle = Bundle.load(tmp_path / "b")
    batch = video_batch(schema)
    before = bundle.predict(batch)
    (tmp_path / "b").write_bytes(b"")
    assert torch.equal(bundle.predict(batch), before)


@pytest.mark.parametrize("change", ["missing", "wider"])
def test_data_of_another_schema_is_refused(
    tmp_path: Path, schema: Schema, make_member: MakeMember, change: str
) -> None:
    write_bundle(tmp_path / "b", schema, [make_member()], {})
    batch = video_batch(schema)
    if change == "missing":
        del batch.features["audio"]
    else:
        batch.features["audio"] = torch.zeros(5, 6)
    with pytest.raises(BundleError, match="stream 'audio'"):
        Bundle.load(tmp_path / "b").predict(batch)
