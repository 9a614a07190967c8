"""The page's parts in their order, and what is said above all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from records.statistics.labels import frequencies, labels_a_clip
from records.statistics.survey import Survey
from report.exploration.duplicates import duplicates_section
from report.exploration.labels import labels_section, lacking_section, together_section
from report.exploration.values import frames_section, picture_section, values_section
from report.page import Column, Facts, Page, Section, Table, write_page
from report.page.elements import Cell
from stages.explore import Explored

EXPLORE_NAME = "explore.html"


def write_exploration(explored: Explored) -> Path:
    """Writes `explore.html` into the run's folder, and returns its path."""
    path = explored.folder / EXPLORE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    write_page(path, exploration_page(explored.run, explored.survey))
    return path


def exploration_page(run: str, survey: Survey) -> Page:
    """The page of a survey; parts of which the data has nothing are left out."""
    schema = survey.schema
    streams = ", ".join(f"{own.name} {own.size} {own.encoding}" for own in schema.streams)
    sections = [
        _splits_section(survey),
        labels_section(survey),
        together_section(survey),
        lacking_section(survey),
        frames_section(survey),
        values_section(survey),
        picture_section(survey),
        duplicates_section(survey),
    ]
    return Page(
        f"Data of {run}",
        f"Schema {schema.name}, {schema.level} level: {streams}",
        [section for section in sections if section is not None],
        _notices(survey),
    )


def _notices(survey: Survey) -> list[str]:
    """What a training would refuse, or suffer from."""
    notices = []
    if survey.shared:
        notices.append(
            f"Ids that are there more than once: {len(survey.shared):,}. Stages that train refuse "
            "such data; leave a shard out (data.*.exclude), or give each clip an id of its own."
        )
    names = [split.name for split in survey.splits]
    if "train" in names:
        train = names.index("train")
        for place, name in enumerate(names):
            near = int(survey.near.clips[place, train])
            if place != train and near:
                notices.append(
                    f"Clips of {name} that are nearly the same as one of train: {near:,}. A model "
                    "knows them when it is scored on them."
                )
    skipped = {split.name: split.skipped for split in survey.splits if split.skipped}
    notices += [
        f"Damaged records of {name} that were left out: {count:,}."
        for name, count in skipped.items()
    ]
    return notices


def _splits_section(survey: Survey) -> Section:
    counts = np.concatenate([labels_a_clip(split.truth) for split in survey.splits])
    labeled = counts[counts > 0]
    facts = {
        "clips": f"{len(survey):,}",
        "labels": f"{survey.schema.num_labels:,}",
        "labels a clip": f"{labeled.mean():.2f}" if len(labeled) else "none",
    }
    if survey.schema.level == "frame":
        frames = np.concatenate([split.frames for split in survey.splits])
        facts["frames a clip"] = f"{frames.mean():.1f}"
        facts["frames"] = f"{frames.sum():,}"
    columns = [
        Column("split"),
        Column("clips", "integer"),
        Column("share", "percent", 1),
        Column("shards", "integer"),
        Column("without labels", "integer", help="clips that have none"),
        Column("labels a clip", "number", 2, help="mean"),
        Column("most", "integer", help="labels of the clip that has most"),
        Column("labels used", "integer", help="labels that at least one clip has"),
    ]
    rows: list[list[Cell]] = []
    for split in survey.splits:
        own = labels_a_clip(split.truth)
        used = int((frequencies(split.truth, survey.schema.num_labels) > 0).sum())
        share = len(split) / len(survey)
        means = float(own.mean()), int(own.max())
        rows.append(
            [split.name, len(split), share, split.shards, int((own == 0).sum()), *means, used]
        )
    return Section("Splits", [Facts(facts, large=True), Table(columns, rows, caption="Splits")])
