"""The benchmark of object storage reads with all readers, and reads all shards."""

from __future__ import annotations

import pytest

from benchmarks.objects import measure, measure_memory


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark sets variables of the environment, and here they are put back."""
    for module in ("s3fs", "moto", "flask"):
        pytest.importorskip(module)
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION"):
        monkeypatch.setenv(f"AWS_{name}", "")


def test_figures_are_of_all_readers() -> None:
    figures = measure(shards=3, megabytes=0.1, repeats=1)
    assert set(figures["ratio"]) == {"s3fs, in memory", "s3fs, files"}


def test_memory_is_measured_by_number_of_shards() -> None:
    figures = measure_memory((2, 4))
    assert [figures[number]["grown"] > 0 for number in (2, 4)] == [True, True]
