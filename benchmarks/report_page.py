"""The page of a run of 100 members and 3,862 labels: its size, and how long it takes to open.

It needs Chromium and the packages of the tests.
"""

import tempfile
from pathlib import Path

from benchmarks.generated_run import generate_findings
from benchmarks.harness import print_figures, timed
from report.page import write_page
from report.run import run_page
from tests.report.browser import Browser, why_there_is_none

MEMBERS, CLIPS, LABELS = 100, 750, 3862


def measure(
    members: int = MEMBERS, clips: int = CLIPS, num_labels: int = LABELS
) -> dict[str, float]:
    """Bytes of the page; seconds to write it, to open it, until the charts in view are drawn."""
    findings = generate_findings(members, clips, num_labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.html")
        writing, _ = timed(lambda: write_page(path, run_page(findings)))
        figures = {"bytes": path.stat().st_size, "seconds to write": writing}
        if why_there_is_none() is None:
            with Browser(Path(folder, "profile")) as browser:
                # The first time is the browser's own start.
                browser.open(path)
                drawn, _ = timed(lambda: browser.open(path))
                loaded = "return performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
                figures |= {"seconds to open": browser.run(loaded), "until drawn": drawn}
    return figures


if __name__ == "__main__":
    print_figures("report page", measure())
