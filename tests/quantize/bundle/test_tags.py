"""The best labels of clips, and those that reach their thresholds, against plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from quantize import (
    Bundle,
    BundleError,
    BundleMember,
    MemberLayout,
    Tag,
    bundle_bytes,
    read_bundle,
    write_bundle,
)
from quantize.bundle.container import read_container, write_container
from records import Schema

MakeMember = Callable[..., BundleMember]
INF = math.inf


@pytest.fixture
def member(make_member: MakeMember) -> BundleMember:
    return make_member()


def clips(schema: Schema, count: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {s.name: torch.randn(count, s.size, generator=generator) for s in schema.streams}


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def ranked(row: list[float], names: tuple[str, ...]) -> list[Tag]:
    order = sorted(range(len(row)), key=lambda label: (-row[label], label))
    about: list[Any] = [pytest.approx(sigmoid(value)) for value in row]
    return [Tag(label, names[label], about[label]) for label in order]


def test_top_has_names_and_probabilities(
    tmp_path: Path, schema: Schema, member: BundleMember
) -> None:
    write_bundle(tmp_path / "b", schema, [member], {})
    bundle, given = Bundle.load(tmp_path / "b"), clips(schema)
    rows = [ranked(row, schema.label_names) for row in bundle.predict(given).tolist()]
    for k in (1, 3, 7, 100):
        assert bundle.top(given, k) == [row[:k] for row in rows]
    assert bundle.top(given) == [row[:5] for row in rows]
    assert bundle.top(given)[0][0].name == schema.label_names[bundle.top(given)[0][0].label]
    with pytest.raises(BundleError, match="k=0: at least 1 is needed"):
        bundle.top(given, 0)
    with pytest.raises(BundleError, match="no thresholds; use top"):
        bundle.tags(given)


def test_a_label_without_a_name_is_called_by_its_number(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    nameless = replace(schema, label_names=())
    write_bundle(tmp_path / "b", nameless, [make_member(schema=nameless)], {})
    for tag in Bundle.load(tmp_path / "b").top(clips(schema), 7)[0]:
        assert tag.name == str(tag.label)


def test_tags_are_those_that_reach_their_thresholds(
    tmp_path: Path, schema: Schema, member: BundleMember
) -> None:
    write_bundle(tmp_path / "b", schema, [member], {})
    given = clips(schema)
    log_odds = Bundle.load(tmp_path / "b").predict(given)
    # One that is just reached, one that is never.
    thresholds = log_odds.median(dim=0).values
    thresholds[2] = INF
    for entropy in (False, True):
        size = write_bundle(
            tmp_path / "b", schema, [member], {}, entropy=entropy, thresholds=thresholds
        )
        layout = MemberLayout.of("one", "perceptron", member.config, member.state, entropy)
        assert size == bundle_bytes(schema, [layout], {}, thresholds=True)
        assert size == (tmp_path / "b").stat().st_size > bundle_bytes(schema, [layout], {})
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.thresholds is not None and torch.equal(bundle.thresholds, thresholds)
    read = read_bundle(tmp_path / "b").thresholds
    assert read is not None and torch.equal(read, thresholds)
    expected = [
        [tag for tag in ranked(row, schema.label_names) if row[tag.label] >= thresholds[tag.label]]
        for row in log_odds.tolist()
    ]
    assert bundle.tags(given) == expected
    assert {len(row) for row in expected} != {0}
    assert not any(tag.label == 2 for row in expected for tag in row)


@pytest.mark.parametrize(
    ("thresholds", "match"),
    [
        (torch.zeros(6), r"thresholds: torch.float32 \(6,\); 7 in float32 are needed"),
        (torch.zeros(7, 1), r"thresholds: torch.float32 \(7, 1\)"),
        (torch.zeros(7, dtype=torch.float16), "thresholds: torch.float16"),
        (torch.tensor([0.0] * 6 + [math.nan]), "thresholds: nan is no log-odds"),
        (torch.tensor([0.0] * 6 + [-INF]), "thresholds: -inf is no log-odds"),
        (torch.tensor([0.0] * 6 + [1e30]), r"thresholds: 1e.30 is no log-odds"),
    ],
)
def test_thresholds_that_are_none_are_neither_written_nor_read(
    tmp_path: Path, schema: Schema, member: BundleMember, thresholds: torch.Tensor, match: str
) -> None:
    path = tmp_path / "b"
    with pytest.raises(BundleError, match=match):
        write_bundle(path, schema, [member], {}, thresholds=thresholds)
    assert not path.exists()
    write_bundle(path, schema, [member], {}, thresholds=torch.zeros(7))
    container = read_container(path)
    write_container(path, container.metadata, container.tensors | {"thresholds": thresholds})
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_an_older_file_has_no_thresholds(
    tmp_path: Path, schema: Schema, member: BundleMember
) -> None:
    path = tmp_path / "b"
    write_bundle(path, schema, [member], {}, thresholds=torch.zeros(7))
    container = read_container(path)
    text = container.metadata["onegig"].replace('"version":4', '"version":3')
    write_container(path, {"onegig": text}, container.tensors)
    with pytest.raises(BundleError, match="tensor 'thresholds': belongs to no member"):
        Bundle.load(path)


def test_a_member_may_be_called_thresholds(
    tmp_path: Path, schema: Schema, make_member: MakeMember
) -> None:
    write_bundle(tmp_path / "b", schema, [make_member("thresholds")], {}, thresholds=torch.ones(7))
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.members[0].name == "thresholds" and bundle.thresholds is not None
    assert bundle.thresholds.tolist() == [1.0] * 7
