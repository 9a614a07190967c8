"""Own families: loaded from a file, refused in one line, and in the keys by their content."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import families
from common.errors import UserError
from common.extensions import load_extension
from common.registry import Extension, restored
from families.registry import FAMILIES
from records import Schema
from records.splits import DataSource
from runs import Task, content_key
from stages.job_files import prepare_job, read_job
from stages.jobs import Setting, Training
from tests.families.own import DOCS, EXAMPLES, module_of
from tests.families.test_contract import Contract
from training.config import TrainConfig

EXAMPLE = EXAMPLES / "generalized_mean.py"
SMALL = """
from dataclasses import dataclass
import families

@dataclass(frozen=True)
class Config:
    pass

@families.register("{name}", Config)
class Module(families.FamilyModule):
    pass
"""


@pytest.fixture(autouse=True)
def registry_of_its_own() -> Iterator[None]:
    with restored():
        yield


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["generalized_mean"])
@pytest.mark.parametrize(
    "flavor", [{"hidden": 12, "exponent": 1.0, "head": {"kind": "mixture"}}, {}]
)
class TestGeneralizedMean(Contract):
    """The example of the documentation keeps the contract of every family."""

    @pytest.fixture(autouse=True)
    def loaded(self, registry_of_its_own: None) -> None:
        assert load_extension(EXAMPLE) == ("generalized_mean",)


@pytest.mark.parametrize("exponent", [1.0, 2.5, 40.0])
def test_generalized_mean_is_that_of_a_loop(exponent: float, mask: Tensor) -> None:
    load_extension(EXAMPLE)
    frames = torch.rand(*mask.shape, 3) + 0.5
    pooled = module_of("generalized_mean").GeneralizedMeanPooling(3, exponent)(frames, mask)
    for row, clip in enumerate(frames):
        for unit in range(3):
            powers = [
                float(x) ** exponent
                for x, real in zip(clip[:, unit], mask[row], strict=True)
                if real
            ]
            if powers:
                mean = (sum(powers) / len(powers)) ** (1 / exponent)
                assert pooled[row, unit].item() == pytest.approx(mean, rel=1e-4)


def test_documentation_shows_the_examples_whole() -> None:
    text = (DOCS / "own-family.md").read_text()
    shown = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    for example in EXAMPLES.glob("*.py"):
        assert example.read_text() in shown, example.name


def test_file_is_executed_once_wherever_it_is_named(tmp_path: Path) -> None:
    count = f"\nopen({str(tmp_path / 'count')!r}, 'a').write('x')\n"
    file = write(tmp_path / "mine.py", SMALL.format(name="mine") + count)
    again = shutil.copy(file, tmp_path / "copy.py")
    for path in (file, str(file), again):
        assert load_extension(path) == ("mine",)
    assert (tmp_path / "count").read_text() == "x"
    assert "mine" in families.list_families()
    source = FAMILIES.source("mine")
    assert source is not None and source.path == file.resolve()
    assert list(tmp_path.glob("**/*.pyc")) == []


def test_family_of_the_package_has_no_file(tmp_path: Path) -> None:
    load_extension(write(tmp_path / "mine.py", SMALL.format(name="mine")))
    assert FAMILIES.source("netvlad") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n\ny = (", r"mine.py:3: SyntaxError: '\(' was never closed"),
        ("import no_such_package", "mine.py:1: ModuleNotFoundError: No module named 'no_such_p"),
        ("def f():\n    return 1 / 0\n\nf()", "mine.py:2: ZeroDivisionError: division by zero"),
        ("import families", "mine.py registers nothing; decorate a family's module"),
        (SMALL.format(name="rnn"), "mine.py:9: family 'rnn' is registered twice"),
        (SMALL.format(name="mine") + "raise OSError('two\\nlines')", "mine.py:12: OSError: two li"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    before = families.list_families()
    file = write(tmp_path / "mine.py", text)
    for _ in range(2):
        with pytest.raises(UserError, match=message) as error:
            load_extension(file)
        assert str(error.value).startswith(f"extensions: {file}")
        assert "\n" not in str(error.value)
        assert families.list_families() == before


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.py: No such file"):
        load_extension(tmp_path / "none.py")
    with pytest.raises(UserError, match="Is a directory"):
        load_extension(tmp_path)


def test_unknown_family_says_how_to_name_ones_own() -> None:
    with pytest.raises(UserError, match=r"netvlad.*extensions=\[\.\.\.\]"):
        families.get("mine")


def job(folder: Path, schema: Schema, source: Extension | None) -> Training:
    setting = Setting(
        family="mine",
        config={},
        data=DataSource(folder, schema, {}, folder / "index"),
        fingerprints={"train": "abc", "search": "def", "report": "fed"},
        device="cpu",
        stored_labels=20,
        extensions=() if source is None else (source,),
        sources={} if source is None else {"family mine": source.digest},
    )
    return Training("teachers/one", setting, TrainConfig(), seed=3)


def test_content_of_the_file_is_in_the_key_and_its_path_is_not(
    tmp_path: Path, schema: Schema
) -> None:
    def key(source: Extension | None) -> str:
        return content_key(job(tmp_path, schema, source).inputs())

    here, there = Path("/here/mine.py"), Path("/there/mine.py")
    assert key(Extension(here, "1")) == key(Extension(there, "1"))
    assert len({key(Extension(here, "1")), key(Extension(here, "2")), key(None)}) == 3
    assert "sources" not in job(tmp_path, schema, None).inputs()


def test_worker_takes_the_file_that_the_run_began_with(tmp_path: Path, schema: Schema) -> None:
    file = write(tmp_path / "mine.py", SMALL.format(name="mine"))
    with restored():
        load_extension(file)
        source = FAMILIES.source("mine")
        written = job(tmp_path, schema, source)
        folder = tmp_path / "task"
        prepare_job(written, Task("teachers/one", folder, written.inputs()))
    with restored():
        assert read_job(folder) == written
        assert FAMILIES.source("mine") == source
    write(file, file.read_text() + "# edited\n")
    with restored(), pytest.raises(UserError, match=r"mine\.py was edited"):
        read_job(folder)
