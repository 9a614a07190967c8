"""The submission: whatever ids the clips have, every reader of CSV finds them as they are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.bundle.inference import Bundle
from records import Batch, Clip, DataError, Split, SplitSpec, encode_clip, open_split, write_shards
from records.clip import LONGEST_ID, check_id
from stages.packing.scored import scored_batches
from stages.predict import write_submission
from tests.conftest import SMALL_MEANS, make_clips

CLIP = make_clips(SMALL_MEANS, 1, seed=1)[0]


class Scorer:
    """In place of a bundle: every clip scores alike."""

    device = torch.device("cpu")

    def predict(self, batch: Batch) -> torch.Tensor:
        return torch.linspace(3, -3, SMALL_MEANS.num_labels).repeat(len(batch), 1)


def submit(folder: Path, ids: list[str]) -> Path:
    """The submission of clips of these ids."""
    clips = (Clip(clip_id, CLIP.labels, CLIP.features) for clip_id in ids)
    records = [encode_clip(clip, SMALL_MEANS) for clip in clips]
    for shard in folder.glob("*.tfrecord"):
        shard.unlink()
    write_shards(folder, "test", records, 3)
    split: Split = open_split(folder, "test", SplitSpec("test-*"), SMALL_MEANS, cache=None)
    scored = scored_batches(cast(Bundle, Scorer()), split, "predict")
    write_submission(folder / "x.csv", scored, split, "kaggle")
    return folder / "x.csv"


def accepted(clip_id: str) -> bool:
    try:
        check_id(clip_id)
    except DataError:
        return False
    return True


def likely_trouble() -> st.SearchStrategy[str]:
    """Texts of what means something to a table, a terminal or a spreadsheet."""
    pieces = st.sampled_from([*"\r\n\0\t\x1b\x85\u2028\u202e\ufeff ,;\"'=+-@#\\", "NA", "1e5", "é"])
    return st.lists(pieces, min_size=1, max_size=6).map("".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(likely_trouble(), st.text(max_size=LONGEST_ID)), max_size=8, unique=True))
def test_the_table_survives_every_id_that_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    ids = [text for text in texts if accepted(text)] or ["a"]
    path = submit(tmp_path_factory.getbasetemp() / "ids", ids)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["VideoId", *ids]
    assert {len(row) for row in rows} == {2}
    assert rows == list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False}
    assert pd.read_csv(path, **options)["VideoId"].tolist() == ids


def test_an_id_that_is_there_twice_leaves_no_submission(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clip 'a' is there twice, .*00000.*and in .*00001"):
        submit(tmp_path, ["a", "b", "c", "d", "a"])
    assert not list(tmp_path.glob("*.csv"))
