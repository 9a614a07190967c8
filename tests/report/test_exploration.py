"""The page of stage `explore`, in a real browser, over data whose every name is markup."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from records import Schema, SplitSpec, encode_clip, open_split, write_shards
from records.statistics.survey import Survey, take_survey
from report.exploration import write_exploration
from report.exploration.page import exploration_page
from report.page import Chart, Page, Table
from stages.explore import Explored
from tests.conftest import SMALL_FRAMES, SMALL_MEANS, make_clips, write_small_data
from tests.line import call, write_schema
from tests.report.browser import TALL, Browser

HOSTILE = (
    '<img src=x onerror="window.hacked=1">',
    "</script><script>window.hacked=2</script>",
    "%{x}<extra></extra>{{ 7 * 7 }}",
    "<b>cat & dog</b>",
)


def hostile(schema: Schema, root: Path) -> Survey:
    """Labels, verticals, streams and ids that are markup; two ids and ten clips in both splits."""
    schema = dataclasses.replace(
        schema,
        name=HOSTILE[3],
        label_names=tuple(f"{HOSTILE[n % 4]} {n}" for n in range(schema.num_labels)),
        label_verticals=tuple((n % 4,) for n in range(schema.num_labels)),
        vertical_names=HOSTILE,
    )
    clips = {
        name: [
            dataclasses.replace(clip, id=f"{HOSTILE[1]}{name} {n}") for n, clip in enumerate(own)
        ]
        for name, own in {
            "train": make_clips(schema, 60, 0),
            "report": make_clips(schema, 30, 1),
        }.items()
    }
    clips["report"][:10] = clips["train"][:2] + [
        dataclasses.replace(clip, id=f"copy of {clip.id}") for clip in clips["train"][2:10]
    ]
    for name, own in clips.items():
        write_shards(root, name, [encode_clip(clip, schema) for clip in own], 40)
    return take_survey(
        [open_split(root, name, SplitSpec(f"{name}-*"), schema, cache=None) for name in clips]
    )


def test_page_sorts_finds_and_runs_no_name(browser: Browser, tmp_path: Path) -> None:
    survey = hostile(SMALL_FRAMES, tmp_path / "data")
    path = write_exploration(Explored(tmp_path, HOSTILE[0], survey))
    for width in (400, 1600):
        browser.open(path, width, TALL, width == 400)
        assert browser.errors() == []
        assert not browser.wider_than_window()
    assert browser.run("return window.hacked") is None
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.requested() == []
    assert len(browser.texts(".plot")) == 11
    clips = [int(cell) for cell in browser.column("All labels", "clips")]
    assert clips == sorted(clips, reverse=True)
    browser.sort("All labels", "number")
    browser.sort("All labels", "number")
    assert browser.column("All labels", "number")[:3] == ["0", "1", "2"]
    browser.search("All labels", survey.schema.label_names[17].upper())
    assert browser.column("All labels", "label") == [survey.schema.label_names[17]]
    total = sum((split.truth.columns == 17).sum() for split in survey.splits)
    assert browser.column("All labels", "clips") == [str(total)]
    twice = browser.column("2 ids that are there more than once", "id")
    assert sorted(twice) == [f"{HOSTILE[1]}train {n}" for n in range(2)]
    near = browser.column("Near duplicates by split", "near one of train")
    assert int(near[1]) == survey.near.clips[1, 0] >= 10


def tables(page: Page) -> dict[str, Table]:
    every = (element for section in page.sections for element in section.elements)
    return {own.caption: own for own in every if isinstance(own, Table)}


def test_figures_of_the_page_are_those_of_a_loop_over_the_clips(tmp_path: Path) -> None:
    survey = hostile(SMALL_MEANS, tmp_path)
    names = survey.schema.label_names
    rows = [
        {names[label] for label in split.truth.columns[first:last]}
        for split in survey.splits
        for first, last in zip(split.truth.offsets, split.truth.offsets[1:], strict=False)
    ]
    found = tables(exploration_page("run", survey))
    shares = found["The labels that most often come with another, of at least 5 clips"].rows
    for b, a, share, both, with_b, lift in np.array(shares, object):
        assert with_b == sum(b in row for row in rows)
        assert both == sum(a in row and b in row for row in rows)
        assert share == pytest.approx(both / with_b)
        assert lift == pytest.approx(share / (sum(a in row for row in rows) / len(rows)))
    lacked = {row[0]: row[2] for row in found["Labels that a split lacks"].rows}
    for label, name in enumerate(names):
        has = [split.name for split in survey.splits if label in split.truth.columns]
        without = [split.name for split in survey.splits if split.name not in has]
        assert lacked.get(name) == (", ".join(without) if has and without else None)
    bars = [
        chart
        for section in exploration_page("run", survey).sections
        for chart in section.elements
        if isinstance(chart, Chart) and chart.caption.startswith("Values of")
    ]
    for chart in bars:
        assert 0.998 < np.sum(chart.traces[0]["y"]) <= 1


def test_stage_writes_the_page_of_what_training_would_refuse(tmp_path: Path) -> None:
    root = write_small_data(tmp_path / "data", SMALL_MEANS)
    # The same clips once more.
    (root / "again.tfrecord").write_bytes(min(root.glob("search-*")).read_bytes())
    outcome = call(
        "stage=explore",
        "run=looked",
        f"outputs={tmp_path}",
        f"data.root={root}",
        f"data.schema={write_schema(tmp_path / 'schema.yaml', SMALL_MEANS)}",
        "data.train.shards=train-*.tfrecord",
        "data.search.shards=search-*.tfrecord",
        "data.test.shards=again.tfrecord",
    )
    assert outcome.status == 0, outcome.err
    path = tmp_path / "looked" / "explore.html"
    assert outcome.out.splitlines() == [
        "train       160 clips",
        "search      60 clips",
        "test        40 clips",
        f"page        {path}",
    ]
    assert "Ids that are there more than once: 40." in path.read_text()


def test_stage_without_splits_says_what_to_set(tmp_path: Path) -> None:
    outcome = call(
        "stage=explore", f"outputs={tmp_path}", f"data.root={tmp_path}", "data.schema=yt8m_video"
    )
    assert "data.train.shards: not set" in outcome.refusal()
