"""Neighbors against plain loops; clips that do not see themselves; which clips are chosen."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import families
from families import FamilyError
from families.base import HIDDEN, HostLayer
from families.layers.hosts import all_scores
from families.neighbors import Neighbors
from records import Schema
from records.splits import Truth
from tests.families.flavors import FLAVORS
from training.memory import spread_over_labels

CONFIG: dict[str, Any] = {
    "neighbors": 4,
    "temperature": 0.3,
    "labels": 3,
    "floor": 1e-3,
    "stream_weights": {"sound": 0.5},
}


def clips(count: int, schema: Schema, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {s.name: torch.randn(count, s.size, generator=generator) for s in schema.streams}


def targets(count: int, schema: Schema) -> Tensor:
    """Of three labels a clip, in 255ths, so that a byte holds them exactly."""
    generator = torch.Generator().manual_seed(9)
    values = torch.randint(1, 256, (count, schema.num_labels), generator=generator) / 255
    order = torch.rand(count, schema.num_labels, generator=generator).argsort(dim=1)
    return values * (order < 3)


def remembering(schema: Schema, rows: list[int], **changes: Any) -> Neighbors:
    """A model that remembers these of 20 clips."""
    model = families.build("neighbors", {"clips": len(rows), **CONFIG, **changes}, schema)
    assert isinstance(model, Neighbors)
    means = {name: x[rows] for name, x in clips(20, schema, 1).items()}
    half = len(rows) // 2
    parts = (slice(0, half), slice(half, len(rows)))
    goals = targets(20, schema)[rows]
    model.remember([({n: x[part] for n, x in means.items()}, None, goals[part]) for part in parts])
    return model.eval()


def by_loops(schema: Schema, means: dict[str, Tensor], query: int) -> list[float]:
    """The log-odds of one of the clips `means`, from 20 remembered ones."""

    def embedding(features: dict[str, Tensor], row: int) -> list[float]:
        parts = []
        for name, weight in (("image", 1.0), ("sound", 0.5)):
            values = features[name][row].tolist()
            length = math.sqrt(sum(x * x for x in values))
            parts += [weight * x / length for x in values]
        return parts

    memory = [embedding(clips(20, schema, 1), row) for row in range(20)]
    centre = [sum(column) / 20 for column in zip(*memory, strict=True)]

    def centred(values: list[float]) -> list[float]:
        moved = [x - c for x, c in zip(values, centre, strict=True)]
        length = math.sqrt(sum(x * x for x in moved))
        return [x / length for x in moved]

    asked = centred(embedding(means, query))
    cosines = [sum(a * b for a, b in zip(asked, centred(m), strict=True)) for m in memory]
    nearest = sorted(range(20), key=lambda row: -cosines[row])[:4]
    weights = {row: math.exp(cosines[row] / 0.3) for row in nearest}
    goals = targets(20, schema)
    out = []
    for label in range(schema.num_labels):
        votes = sum(w * float(goals[row, label]) for row, w in weights.items())
        share = votes / sum(weights.values())
        out.append(math.log((share + 1e-3) / (1 - share + 1e-3)))
    return out


def test_it_is_the_loop(video_schema: Schema) -> None:
    model = remembering(video_schema, list(range(20)))
    means = clips(6, video_schema, 2)
    found = model(means)
    expected = torch.tensor([by_loops(video_schema, means, query) for query in range(6)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_clip_left_out_is_as_one_that_was_never_there(video_schema: Schema) -> None:
    model = remembering(video_schema, list(range(20)))
    means = clips(20, video_schema, 1)
    rows = torch.arange(20)
    found = model.without_own(means, None, rows)
    assert not torch.allclose(found, model(means), atol=0.1)
    for clip in range(20):
        others = remembering(video_schema, [row for row in range(20) if row != clip])
        # What is left of it is its part in the mean of all.
        state = model.state_dict()
        kept = torch.arange(20) != clip
        rest = {f"memory.{n}": state[f"memory.{n}"][kept] for n in ("labels", "shares")}
        embeddings = state["memory.embeddings"][kept]
        others.load_state_dict({**rest, "memory.embeddings": embeddings, "centre": state["centre"]})
        alone = others({name: x[clip : clip + 1] for name, x in means.items()})
        torch.testing.assert_close(found[clip : clip + 1], alone, atol=1e-5, rtol=1e-5)
    assert torch.equal(model.without_own(means, None, rows * 0 - 1), model(means))


def test_empty_rows_have_no_votes(video_schema: Schema) -> None:
    means = clips(6, video_schema, 2)
    full = remembering(video_schema, list(range(3)), temperature=5.0)
    roomy = families.build("neighbors", {**CONFIG, "clips": 50, "temperature": 5.0}, video_schema)
    state = roomy.state_dict()
    for name, tensor in full.state_dict().items():
        state[name][: len(tensor)] = tensor
    roomy.load_state_dict(state)
    torch.testing.assert_close(roomy(means), full(means), atol=1e-5, rtol=1e-5)
    nothing = families.build("neighbors", {**CONFIG, "clips": 5}, video_schema)(means)
    assert (nothing == nothing[0, 0]).all()


def test_labels_beyond_two_bytes(video_schema: Schema) -> None:
    schema = replace(video_schema, num_labels=40_000)
    model = families.build("neighbors", {"clips": 2, "labels": 1}, schema)
    goals = torch.zeros(2, 40_000)
    goals[0, 39_999] = goals[1, 5] = 1
    assert isinstance(model, Neighbors)
    means = clips(2, schema, 1)
    model.remember([(means, None, goals)])
    assert model(means).argmax(dim=1).tolist() == [39_999, 5]


def test_a_state_with_labels_that_there_are_not_is_refused(video_schema: Schema) -> None:
    model = remembering(video_schema, list(range(20)))
    for label in (-1, 7):
        state = model.state_dict()
        state["memory.labels"] = torch.full_like(state["memory.labels"], label)
        with pytest.raises(FamilyError, match=rf"memory: label {label} is out of range of 7"):
            model.load_state_dict(state)


def test_a_weight_needs_its_stream(video_schema: Schema) -> None:
    with pytest.raises(FamilyError, match="stream_weights: no stream 'smell'"):
        families.build("neighbors", {"stream_weights": {"smell": 1.0}}, video_schema)


def test_a_width_is_that_of_a_hidden_layer(video_schema: Schema) -> None:
    with pytest.raises(FamilyError, match="width: 8, but `of` names no member"):
        families.build("neighbors", {**CONFIG, "width": 8}, video_schema)


def test_a_small_split_needs_no_room_for_more() -> None:
    config = families.config_from_dict("neighbors", {"clips": 50})
    assert Neighbors.fitted(config, 30, None).clips == 30
    assert Neighbors.fitted(config, 70, None).clips == 50


def test_on_a_host_it_compares_what_the_hosts_head_sees(video_schema: Schema) -> None:
    torch.manual_seed(0)
    host = families.build("perceptron", {"hidden": [24]}, video_schema).eval()
    layer = HostLayer("plain", host.hidden_size)
    given = families.config_from_dict("neighbors", {**CONFIG, "clips": 20, "of": "plain"})
    config = Neighbors.fitted(given, 20, layer)
    model = families.build("neighbors", config, video_schema)
    assert isinstance(model, Neighbors)
    before = set(model.state_dict())
    model.stand_on(host)
    assert set(model.state_dict()) == before and not list(model.parameters())
    model.remember([(clips(20, video_schema, 1), None, targets(20, video_schema))])
    assert model.memory.embeddings.shape == (20, 24)
    means = clips(6, video_schema, 2)
    found = model.eval()(means)
    log_odds, hidden = host.with_hidden(means, None)
    assert torch.equal(model({HIDDEN: hidden}), found)
    together = all_scores({"near": model, "plain": host}, means, None)
    assert torch.equal(together[0], found) and torch.equal(together[1], log_odds)


def test_a_host_is_computed_once_for_all_that_stand_on_it(video_schema: Schema) -> None:
    host = families.build("perceptron", {"hidden": [24]}, video_schema).eval()
    config = {**CONFIG, "clips": 20, "of": "plain", "width": 24}
    models = {name: families.build("neighbors", config, video_schema) for name in "ab"}
    calls = []
    host.register_forward_hook(lambda *_: calls.append(1))
    all_scores({**models, "plain": host}, clips(6, video_schema, 2), None)
    assert len(calls) == 1


def test_threads_do_not_see_the_hidden_layers_of_each_other(video_schema: Schema) -> None:
    """A bundle scores several batches at once, with the same modules."""
    host = families.build("perceptron", {"hidden": [24]}, video_schema).eval()
    batches = [clips(6, video_schema, seed) for seed in (1, 2)]
    wanted = [host.with_hidden(batch, None)[1] for batch in batches]
    # Both have asked for the layer before either goes on.
    asked = Barrier(2)

    def wait(*_: object) -> None:
        asked.wait(60)

    host.register_forward_pre_hook(wait)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda batch: host.with_hidden(batch, None)[1], batches))
    assert all(map(torch.equal, found, wanted))


@pytest.mark.parametrize("name", sorted(FLAVORS))
def test_the_last_hidden_layer_of_every_family_that_has_one(
    name: str, schema: Schema, features: dict[str, Tensor], mask: Tensor
) -> None:
    model = families.build(name, FLAVORS[name][0], schema).eval()
    heads = [module for module in model.modules() if isinstance(module, families.Head)]
    if len(heads) != 1:
        with pytest.raises(FamilyError, match="heads: no other member can stand on"):
            model.with_hidden(features, mask)
        return
    log_odds, hidden = model.with_hidden(features, mask)
    assert hidden.shape == (5, model.hidden_size)
    assert torch.equal(log_odds, model(features, mask))
    assert torch.equal(heads[0](hidden), log_odds)


def test_the_clips_that_are_chosen_are_spread_over_labels() -> None:
    """1,000 clips with a common label; the last 50 of them each have a rare one beside it."""
    columns = [[0] for _ in range(1000)] + [[0, label] for label in range(1, 51)] + [[]]
    offsets = np.cumsum([0, *map(len, columns)])
    truth = Truth(np.arange(1051).astype(str), offsets, np.concatenate(columns).astype(np.int64))
    chosen = spread_over_labels(truth, 100, seed=0)
    assert len(chosen) == 100 and (np.diff(chosen) > 0).all()
    assert (chosen >= 1000).sum() > 25, "evenly drawn it would be 5"
    assert (chosen < 1000).any()
    assert np.array_equal(chosen, spread_over_labels(truth, 100, seed=0))
    assert not np.array_equal(chosen, spread_over_labels(truth, 100, seed=1))
    assert np.array_equal(spread_over_labels(truth, 2000, seed=0), np.arange(1050))
