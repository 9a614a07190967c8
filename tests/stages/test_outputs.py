"""Where a run lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ConfigError
from runs.remote.run import RemoteRun
from stages.config import Config
from stages.outputs import run_of


def test_a_run_is_a_folder_or_a_copy_of_what_is_below_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_of(Config(run="demo")).root == Path("outputs", "demo")
    found = run_of(Config(run="demo", outputs="s3://bucket/runs/", local_outputs=str(tmp_path)))
    assert isinstance(found, RemoteRun) and found.url == "s3://bucket/runs/demo"
    assert found.root == tmp_path / "s3" / "bucket" / "runs" / "demo"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = run_of(Config(run="demo", outputs="s3://bucket"))
    assert found.root == tmp_path / "onegig" / "runs" / "s3" / "bucket" / "demo"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Config(outputs="s3://key:secret@bucket/runs"), r"outputs: the URL holds more than bucket"),
        (Config(outputs="s3://bucket/runs?secret"), r"outputs: the URL holds more than bucket"),
        (Config(outputs="ftp://host/secret"), r"outputs: no URL of objects; give s3://bucket"),
        (Config(outputs="s3://bucket/runs", run="../demo"), r"with no part empty or \.\.$"),
    ],
)
def test_what_is_no_place_for_a_run_is_refused(config: Config, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        run_of(config)
    assert "secret" not in str(refused.value)
