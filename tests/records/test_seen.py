"""Which clips count as seen: by what the shards hold, and by the ids' hashes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

import records.seen
from records import DataError, Schema, SplitSpec
from records.config import id_hash
from records.seen import SeenClips, count_seen, seen_clips
from records.splits import DataSource
from tests.records.conftest import MakeShards


@pytest.fixture
def data(tmp_path: Path, frame_schema: Schema, make_shards: MakeShards) -> DataSource:
    """Forty clips in four shards of `a`, twenty others in two of `b`."""
    make_shards(frame_schema, 40, prefix="a")
    make_shards(frame_schema, 20, prefix="b", first=40)
    splits = {
        "train": SplitSpec("a-*", hash_to=0.5),
        "search": SplitSpec("a-*", hash_from=0.5, hash_to=0.75),
        "report": SplitSpec("a-*", hash_from=0.75),
        "test": SplitSpec("b-*"),
        "all": SplitSpec("*.tfrecord"),
    }
    return DataSource(tmp_path / "data", frame_schema, splits, tmp_path / "index")


def test_clips_are_counted_exactly(data: DataSource) -> None:
    seen = seen_clips(data, ("train", "search"))
    # The shards are the same, so they are kept once.
    assert len(seen) == 1 and seen[0].bounds == (0.0, 0.75) and len(seen[0].shards) == 4 * 8
    sizes = {name: len(data.open(name)) for name in data.splits}
    assert min(sizes.values()) > 0
    counted = {name: count_seen(data.open(name), seen) for name in data.splits}
    both = sizes["train"] + sizes["search"]
    assert counted == sizes | {"report": 0, "test": 0, "all": both}


def test_whole_shards_are_seen_whole(data: DataSource) -> None:
    data = replace(data, splits={**data.splits, "train": SplitSpec("b-*")})
    seen = seen_clips(data, ("train", "search"))
    assert [part.bounds for part in seen] == [(0.0, 1.0), (0.5, 0.75)]
    assert count_seen(data.open("test"), seen) == 20
    assert count_seen(data.open("all"), seen) == 20 + len(data.open("search"))


def test_a_shard_is_known_by_what_it_holds(data: DataSource) -> None:
    seen = seen_clips(data, ("test",))
    (data.root / "elsewhere").mkdir()
    for number, path in enumerate(sorted(data.root.glob("b-*"))):
        path.rename(data.root / "elsewhere" / f"moved-{1 - number}.tfrecord")
    # A record more or less, and it is another shard.
    path = data.root / "elsewhere" / "moved-0.tfrecord"
    moved = replace(data, splits={"test": SplitSpec("elsewhere/*")})
    assert count_seen(moved.open("test"), seen) == 20
    path.write_bytes(path.read_bytes() + next(data.root.glob("a-*")).read_bytes())
    assert count_seen(moved.open("test"), seen) == 10


def test_so_many_shards_say_nothing(data: DataSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records.seen, "_MOST_SHARDS", 3)
    assert seen_clips(data, ("test", "train")) == ()


def test_ranges_are_united() -> None:
    generator = random.Random(0)
    ids = [f"clip{number}" for number in range(200)]
    for _ in range(50):
        edges = [sorted(generator.sample(range(11), 2)) for _ in range(generator.randint(1, 4))]
        ranges = tuple((low / 10, high / 10) for low, high in edges)
        part = SeenClips("", records.seen._united(ranges))
        spec = SplitSpec("a", hash_ranges=ranges)
        assert [part.takes(name) for name in ids] == [spec.takes(name) for name in ids]
    assert SeenClips("", (id_hash("clip0"), 1.0)).takes("clip0")


@pytest.mark.parametrize(
    ("shards", "bounds"),
    [
        ("AAAA", (0.0, 1.0)),
        ("AAAAAAA!", (0.0, 1.0)),
        ("€AAAAAAA", (0.0, 1.0)),
        ("AAAAAAAA", (0.0,)),
        ("AAAAAAAA", (0.5, 0.2)),
        ("AAAAAAAA", (0.0, 0.5, 0.5, 1.0)),
    ],
)
def test_what_no_bundle_says_is_refused(shards: str, bounds: tuple[float, ...]) -> None:
    with pytest.raises(DataError):
        SeenClips(shards, bounds)
