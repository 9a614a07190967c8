"""The checkout is installed in place, and nothing else can be made of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# As a front end calls the backend that pyproject.toml names.
_BUILD = "import sys; from setuptools import build_meta; print(build_meta.{}(sys.argv[1]))"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a build looks at; of each package there is the folder."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path / "checkout"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package in project["tool"]["setuptools"]["packages"]:
        copy = folder.joinpath(*package.split("."), "__init__.py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    for name in ("pyproject.toml", "setup.py", "README.md", "orchestrate.py"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(what: str, checkout: Path, target: Path) -> subprocess.CompletedProcess[str]:
    target.mkdir()
    command = [sys.executable, "-c", _BUILD.format(what), str(target)]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True)


@pytest.mark.parametrize("what", ["build_wheel", "build_sdist"])
def test_a_wheel_is_refused_in_a_line(what: str, checkout: Path, tmp_path: Path) -> None:
    built = build(what, checkout, tmp_path / "built")
    assert built.returncode != 0 and "Traceback" not in built.stderr
    assert "pip install -e ." in built.stderr.splitlines()[-1]
    assert list((tmp_path / "built").iterdir()) == []


def test_it_is_installed_in_place(checkout: Path, tmp_path: Path) -> None:
    built = build("build_editable", checkout, tmp_path / "built")
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "built").iterdir()
    assert wheel.name.startswith("onegig-") and "editable" in wheel.name
