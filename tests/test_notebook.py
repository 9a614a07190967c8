"""The notebook of docs/examples, executed whole by a kernel of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "examples" / "from_python.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outputs of each cell by the first line of its source."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        place = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    assert (folder / "outputs" / "smoke" / "bundle" / "bundle.safetensors").exists()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.source.splitlines()[0]: cell.outputs for cell in code}


def text_of(outputs: list[Any], kind: str) -> str:
    """All that was written to a stream, or shown as a kind of data."""
    found = [own.text for own in outputs if own.output_type == "stream" and own.name == kind]
    found += [own.data[kind] for own in outputs if kind in own.get("data", {})]
    return "\n".join(found)


def test_it_is_stored_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_it_fits_and_progress_does_not_grow(cells: dict[str, Any]) -> None:
    outputs = cells["from onegig import fit, run_stage"]
    said = text_of(outputs, "stderr")
    assert "stage 7 of 7: report" in said
    shown = [own.data["text/plain"] for own in outputs if own.output_type == "display_data"]
    (trained,) = (text for text in shown if "teachers: " in text)
    # Of both trainings that are over one line is left, and how many they were.
    assert trained.splitlines()[-1].startswith("stage 3 of 7, teachers: 2/2 done")
    assert len(trained.splitlines()) == 1
    assert "started" not in said and "GAP on report" in text_of(outputs, "stdout")


def test_it_shows_the_leaderboard(cells: dict[str, Any]) -> None:
    shown = text_of(cells["run.leaderboard()"], "text/html")
    assert "<table" in shown and "plain" in shown and "vlad" in shown and "GAP packed" in shown


def test_it_predicts_one_clip(cells: dict[str, Any]) -> None:
    shapes, *rows = text_of(cells["from pathlib import Path"], "stdout").splitlines()
    assert "1024), dtype('uint8')" in shapes
    chances = [float(row.split()[0]) for row in rows]
    assert len(chances) == 5 and chances == sorted(chances, reverse=True)


def test_it_shows_the_page(cells: dict[str, Any]) -> None:
    assert "<iframe srcdoc=" in text_of(cells["run.report()"], "text/html")
