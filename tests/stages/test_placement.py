"""Where a run's jobs run."""

from __future__ import annotations

import pytest
import torch

import stages.placement
from common.errors import ConfigError
from runs import ExecutorConfig, LocalMachine, Run
from stages.config import Config
from stages.placement import machines_of


def test_a_cluster_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages.placement, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^executor: needs a package: pip install .*\[ray\]"):
        machines_of(Config(executor=ExecutorConfig("ray")), Run("outputs/demo"))


def test_jobs_are_spread_over_the_gpus_that_this_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for named, device, found in ((None, "auto", 2), ("3,5", "cuda", 2), (None, "cpu", 0)):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if named:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        machine = machines_of(Config(device=device), Run("x"))  # type: ignore[arg-type]
        assert isinstance(machine, LocalMachine) and machine.capacity().gpus == found
    assert stages.placement._devices() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert stages.placement._devices() == ["3", "5"]
