"""The records that these tests train on."""

from __future__ import annotations

from pathlib import Path

import pytest

from records import Split, SplitSpec, open_split
from tests.conftest import SMALL_FRAMES


@pytest.fixture(scope="session")
def split(small_frames: Path) -> Split:
    return open_split(small_frames, "train", SplitSpec("train-*"), SMALL_FRAMES, cache=None)


@pytest.fixture(scope="session")
def search(small_frames: Path) -> Split:
    return open_split(small_frames, "search", SplitSpec("search-*"), SMALL_FRAMES, cache=None)
