"""What a call from Python returns: a run, for a notebook to look at."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from common.threads import one_thread
from quantize import Bundle
from report.page import write_page
from report.run import REPORT_NAME, run_page
from report.run.members import leaderboard
from report.score import score_of
from stages.all import Finished
from stages.packing.bundles import find_bundle
from stages.report import Findings, glance, report
from stages.workspace import Workspace

# By which models are ranked: the last of them that there is.
_SCORES = ("GAP teacher", "GAP student")


class OpenedRun:
    """A run after a stage of it.

    Attributes:
        workspace: the run and its configuration.
        folder: where it lies, whatever the working directory will be.
        result: what the stage returned: a path, scores by name, or a dataclass of `stages`.
    """

    def __init__(self, workspace: Workspace, result: object) -> None:
        self.workspace, self.result = workspace, result
        self.folder = workspace.run.root.resolve()
        workspace.run.root = self.folder

    def __repr__(self) -> str:
        return f"<run {self.folder}>"

    @property
    def score(self) -> float | None:
        """GAP@20 on `search`, as a sweep has it; None where the stage scores nothing."""
        return score_of(self.result)

    def leaderboard(self) -> pd.DataFrame:
        """A row a model, the best first, by its name; columns as on the page of the run.

        A column that has no value yet is left out.

        Raises:
            RunError: no training was begun.
            UserError: members or students are wrong.
        """
        table = leaderboard(self._findings or glance(self.workspace))
        names = [column.title for column in table.columns]
        frame = pd.DataFrame(table.rows, columns=names).set_index("member")
        frame = frame.dropna(axis="columns", how="all")
        scores = [name for name in _SCORES if name in frame]
        return frame.sort_values(scores[-1], ascending=False, kind="stable") if scores else frame

    @cached_property
    def bundle(self) -> Bundle:
        """The bundle that was packed, or that of `bundle=`, loaded on first use.

        Raises:
            ConfigError: there is none.
            BundleError: it is damaged.
        """
        return Bundle.load(find_bundle(self.workspace))

    def report(self) -> ReportPage:
        """The page of the run as it is now; where there is none, it is made.

        Raises:
            RunError: no training was begun, or another process works on the run.
        """
        return self._page

    @cached_property
    def _page(self) -> ReportPage:
        path = self.folder / REPORT_NAME
        # A later stage that packs another bundle removes the page of this one.
        if self._findings is None or not path.exists():
            with self.workspace.run.lock(), one_thread():
                write_page(path, run_page(report(self.workspace)))
        return ReportPage(path)

    @property
    def _findings(self) -> Findings | None:
        found = self.result.findings if isinstance(self.result, Finished) else self.result
        return found if isinstance(found, Findings) else None


@dataclass(frozen=True)
class ReportPage:
    """The page of a run: a path, which a notebook shows as the page itself."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        """Shows it in a browser."""
        webbrowser.open(self.path.as_uri())

    def _repr_html_(self) -> str:
        # The page is whole in itself, and gets at nothing of the notebook that shows it.
        frame = '<iframe srcdoc="{}" sandbox="allow-scripts" width="100%" height="640"></iframe>'
        return str(Markup(frame).format(self.path.read_text()))
