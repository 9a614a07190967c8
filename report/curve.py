"""What every number of bytes buys: the curve of stage `pack` as a table and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.files import atomic_path
from common.units import format_bytes
from quantize import Solution, curve_rows
from report.tables import write_table
from runs import content_key
from stages.pack import Packed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_NAME = "curve.csv"
PICTURE_NAME = "curve.png"
SENSITIVITY_NAME = "sensitivity.csv"


def write_curve(packed: Packed) -> None:
    """Writes `curve.csv`, `curve.png` and `sensitivity.csv` into the run's folder.

    The picture takes longer than all else of a run that is finished: it names what it shows, and is
    drawn when that changes.
    """
    write_table(packed.folder / CURVE_NAME, curve_rows(packed.curve))
    write_table(packed.folder / SENSITIVITY_NAME, packed.sensitivity)
    picture = packed.folder / PICTURE_NAME
    shown = content_key([packed.curve, packed.receipt])
    if picture.is_file() and shown.encode() in picture.read_bytes():
        return
    with atomic_path(picture) as beside:
        # Nothing of the time or the program goes into the file: same curve, same bytes.
        metadata = {"Software": None, "Source": shown}
        draw_curve(packed).savefig(beside, format="png", dpi=150, metadata=metadata)


def draw_curve(packed: Packed) -> Figure:
    """GAP on `search` against bytes: the curve, uniform 8 bits, and the bundle that was packed."""
    # Here, and not above: its import takes a third of a second, and most commands draw nothing.
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    curve, receipt = packed.curve, packed.receipt
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
    sizes, gaps = zip(*((solution.size, solution.gap) for solution in curve), strict=True)
    axes.step(sizes, gaps, "C0o-", where="post", markersize=3.7, label="best")
    for baseline in receipt.uniform8:
        axes.plot(baseline.bytes, baseline.search_gap, "C1s", label="uniform 8 bits")
    axes.plot(receipt.bytes, receipt.search_gap, "C3*", markersize=12.6, label="packed")
    axes.axvline(receipt.budget_bytes, color="0.6", linestyle=":", label="budget")
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    # More names than these would run into each other.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 60 * low else (1, 3)))
    axes.xaxis.set_major_formatter(EngFormatter("B"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("bytes of the file")
    axes.set_ylabel("GAP on search")
    axes.grid(alpha=0.25)
    ends = f"from {_described(curve[0])} to {_described(curve[-1])}"
    axes.set_title(f"{len(curve)} bundles, {ends}", fontsize=10)
    axes.legend(frameon=False, loc="best")
    return figure


def _described(solution: Solution) -> str:
    count = len(solution.choice)
    members = "1 member" if count == 1 else f"{count} members"
    return f"{members} in {format_bytes(solution.size)}"
