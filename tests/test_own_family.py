"""A file outside the repository takes part in every stage, and in what is made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.extensions import load_extension
from common.registry import restored
from quantize import Bundle, BundleError
from tests.conftest import SMALL_FRAMES, write_small_data
from tests.families.own import EXAMPLES
from tests.line import Line, write_schema

GEM = "gem: {family: generalized_mean, config: {hidden: 8}}"
TWIN = "twin: {family: keras_stream_lstm, config: {hidden: 6}}"


@pytest.fixture(autouse=True)
def registry_of_its_own() -> Iterator[None]:
    with restored():
        yield


def named(*files: Path) -> str:
    return f"extensions=[{','.join(map(str, files))}]"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the repository with the examples."""
    return Path(shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("elsewhere") / "examples"))


@pytest.fixture(scope="module")
def file(elsewhere: Path) -> Path:
    return elsewhere / "generalized_mean.py"


@pytest.fixture(scope="module")
def twins(elsewhere: Path) -> Path:
    return elsewhere / "keras_twins.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, file: Path, twins: Path) -> Line:
    """A perceptron, and a member of each file, through `stage=all`. Not to be changed."""
    folder = tmp_path_factory.mktemp("line")
    line = Line(
        write_small_data(folder / "data", SMALL_FRAMES),
        write_schema(folder / "frames.yaml", SMALL_FRAMES),
        folder / "outputs",
        (
            "~members.bag",
            "~members.sequence",
            "~members.vlad",
            "train.epochs=1",
            f"+members={{{GEM}, {TWIN}}}",
        ),
    )
    process = line.start("stage=all", named(file, twins))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return line


@pytest.mark.parametrize(
    ("member", "family"), [("gem", "generalized_mean"), ("twin", "keras_stream_lstm")]
)
def test_it_is_trained_distilled_quantized_and_packed(
    finished: Line, member: str, family: str
) -> None:
    tasks = {f"teachers/{member}", f"soft/{family}", f"students/{member}", f"quantized/{member}"}
    assert tasks <= set(finished.done())
    receipt = json.loads(finished.receipt.read_text())
    seen = {m["name"]: m["family"] for m in (*receipt["members"], *receipt["left_out"])}
    assert len(seen) == 3 and seen[member] == family
    assert (finished.run / "submission-test.csv").exists()


@pytest.fixture(scope="module")
def packed(finished: Line, tmp_path_factory: pytest.TempPathFactory, file: Path) -> Line:
    """The same, whose bundle holds the file's family for certain. Not to be changed."""
    line = finished.copy(tmp_path_factory.mktemp("packed"), "selection", "bundle")
    with restored():
        outcome = line.call("stage=all", "~members.plain", "~members.twin", named(file))
    assert outcome.status == 0, outcome.err
    return line


def test_bundle_is_read_where_the_file_is_named(packed: Line, tmp_path: Path, file: Path) -> None:
    overrides = [f"bundle={packed.bundle}", f"output={tmp_path / 'submission.csv'}"]
    line = Line(packed.data, packed.schema, tmp_path / "more", packed.changes[:-1])
    for stage in ("stage=predict", "stage=evaluate"):
        refusal = line.call(stage, *overrides).refusal()
        assert "unknown family 'generalized_mean'" in refusal
        assert "extensions=[...]" in refusal
    with pytest.raises(BundleError, match="unknown family 'generalized_mean'"):
        Bundle.load(packed.bundle)
    for stage in ("stage=predict", "stage=evaluate"):
        outcome = line.call(stage, *overrides, named(file))
        assert outcome.status == 0, outcome.err
    assert len((tmp_path / "submission.csv").read_text().splitlines()) == 21


def test_bundle_is_read_in_python(packed: Line, file: Path) -> None:
    load_extension(file)
    assert [member.family for member in Bundle.load(packed.bundle).members] == ["generalized_mean"]


def test_files_may_move(finished: Line, tmp_path: Path, elsewhere: Path) -> None:
    line = finished.copy(tmp_path)
    moved = shutil.copytree(elsewhere, tmp_path / "moved")
    outcome = line.call("stage=all", named(*moved.glob("*.py")))
    assert outcome.status == 0 and "started" not in outcome.err, outcome.err


def test_edited_file_trains_its_own_members_again(
    finished: Line, tmp_path: Path, file: Path, twins: Path
) -> None:
    line = finished.copy(tmp_path)
    edited = tmp_path / "edited.py"
    edited.write_text(file.read_text().replace("Gt(0)] = 3.0", "Gt(0)] = 2.0"))
    outcome = line.call("stage=teachers", named(edited, twins))
    assert outcome.status == 0, outcome.err
    assert "teachers/gem: started" in outcome.err
    for other in ("plain", "twin"):
        assert f"teachers/{other}: started" not in outcome.err


def test_another_file_trains_nothing_again(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    plain = Line(line.data, line.schema, line.outputs, line.changes[:-1])
    other = tmp_path / "other.py"
    other.write_text(
        "import families\n"
        "from families.perceptron import Perceptron, PerceptronConfig\n"
        "families.register('again', PerceptronConfig)(Perceptron)\n"
    )
    for more in ([], [named(other)]):
        outcome = plain.call("stage=teachers", *more)
        assert outcome.status == 0 and "started" not in outcome.err, outcome.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("import no_such_package", "ModuleNotFoundError"),
        ("import families", "registers nothing"),
    ],
)
@pytest.mark.parametrize("stage", ["plan", "teachers", "predict"])
def test_wrong_file_is_one_line_and_status_2(
    finished: Line, tmp_path: Path, text: str | None, said: str, stage: str
) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    refusal = finished.call(f"stage={stage}", named(file)).refusal()
    assert str(file) in refusal and said in refusal
