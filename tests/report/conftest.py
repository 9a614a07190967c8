"""A real browser for the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.browser import Browser, why_there_is_none


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium; skips where there is none."""
    reason = why_there_is_none()
    if reason:
        pytest.skip(reason)
    profile: Path = tmp_path_factory.mktemp("chromium")
    with Browser(profile) as opened:
        yield opened
