"""New interpreters import this repository, wherever the tests are called from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.object_storage import ObjectServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def url(object_server: ObjectServer) -> str:
    """A run in object storage of which nothing is there yet."""
    return f"{object_server.url}/runs/demo"
