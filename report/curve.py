"""What every number of bytes buys: the curve of stage `pack` as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from common.files import atomic_path
from common.units import format_bytes
from quantize import Solution, curve_rows
from quantize.selection.comparison import Point
from report.tables import write_table
from runs import content_key
from stages.pack import Packed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_NAME = "curve.csv"
PICTURE_NAME = "curve.png"
SENSITIVITY_NAME = "sensitivity.csv"
# A picture of an earlier look is drawn anew.
_LOOK = 2


def write_curve(packed: Packed) -> None:
    """Writes `curve.csv`, `curve.png` and `sensitivity.csv` into the run's folder.

    The picture takes longer than all else of a run that is finished: it names what it shows, and is
    drawn when that changes.
    """
    write_table(packed.folder / CURVE_NAME, _rows(packed))
    write_table(packed.folder / SENSITIVITY_NAME, packed.sensitivity)
    picture = packed.folder / PICTURE_NAME
    further = [packed.further] if packed.further else []
    shown = content_key([_LOOK, packed.comparison, packed.receipt.beside(), *further])
    if picture.is_file() and shown.encode() in picture.read_bytes():
        return
    with atomic_path(picture) as beside:
        # Nothing of the time or the program goes into the file: same curve, same bytes.
        metadata = {"Software": None, "Source": shown}
        draw_curve(packed).savefig(beside, format="png", dpi=150, metadata=metadata)


def _rows(packed: Packed) -> list[dict[str, Any]]:
    """The curve, or within milliseconds that curve and those within others, told apart by `limit`.

    There `milliseconds` are those of a clip.
    """
    times = packed.clip_times
    if not times.limits:
        return curve_rows(packed.curve)
    curves = {str(times.limits[0]): packed.curve, **packed.further}
    return [
        {"limit": limit, "milliseconds": times.milliseconds(row["members"]), **row}
        for limit, solutions in curves.items()
        for row in curve_rows(solutions)
    ]


def draw_curve(packed: Packed) -> Figure:
    """GAP on `search` against bytes: mixed precisions and uniform 8 bits, and what lies between.

    Above each curve with the standard error of its GAP as a band. That is of the clips, which are
    the same for both: below what the one has more than the other, with the error of that. Curves
    within other milliseconds than the bundle's have no band.
    """
    # Here, and not above: its import takes a third of a second, and most commands draw nothing.
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    compared, receipt = packed.comparison, packed.receipt
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7, 5.4), layout="constrained")
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    within = {
        f"within {limit} ms": tuple(Point(own.size, own.gap, 0.0) for own in solutions)
        for limit, solutions in packed.further.items()
    }
    drawn = chain(compared.best, compared.uniform8, *within.values())
    sizes = [point.bytes for point in drawn]
    # A curve goes on at the height of its last point for whoever has more room.
    end = max(*sizes, receipt.bytes) * 1.15
    curves = {
        "uniform 8 bits": (compared.uniform8, "C1"),
        "precisions chosen by tensor or member": (compared.best, "C0"),
    }
    curves |= {name: (points, f"C{n}") for n, (name, points) in enumerate(within.items(), start=2)}
    for name, (points, color) in curves.items():
        _draw_steps(above, points, end, color, name)
    # Open, and larger than a point: what lies beneath is still to be seen.
    above.plot(
        receipt.bytes,
        receipt.search_gap,
        "o",
        color="0.15",
        label="packed",
        markersize=11,
        markerfacecolor="none",
        markeredgewidth=1.5,
    )
    _draw_steps(below, compared.gains, end, "C0")
    below.axhline(0, color="C1", linewidth=1)
    low, high = min(sizes) / 1.15, end
    for axes in (above, below):
        if receipt.budget_bytes < 3 * high:
            high = max(high, receipt.budget_bytes * 1.05)
            axes.axvline(receipt.budget_bytes, color="0.6", linestyle=":", label="budget")
        axes.grid(alpha=0.25)
    below.set_xscale("log")
    below.set_xlim(low, high)
    # More names than these would run into each other.
    below.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 60 * low else (1, 3)))
    below.xaxis.set_major_formatter(EngFormatter("B"))
    below.xaxis.set_minor_formatter(NullFormatter())
    below.set_xlabel("bytes of the file")
    below.set_ylabel("gain")
    above.set_ylabel("GAP on search")
    ends = f"from {_described(packed.curve[0])} to {_described(packed.curve[-1])}"
    limits = packed.clip_times.limits[:1]
    kept = [f"within {limit} ms a clip" for limit in limits]
    above.set_title(", ".join([f"{len(packed.curve)} bundles", ends, *kept]), fontsize=10)
    above.legend(frameon=False, loc="best", title="bands: one standard error")
    return figure


def _draw_steps(
    axes: Axes, points: Sequence[Point], end: float, color: str, label: str | None = None
) -> None:
    """A curve that rises at its points, with its errors as a band."""
    if not points:
        return
    sizes = np.array([*(point.bytes for point in points), end])
    gaps, errors = (
        np.array([*values, values[-1]])
        for values in ([p.gap for p in points], [p.error for p in points])
    )
    low, high = gaps - errors, gaps + errors
    axes.fill_between(sizes, low, high, step="post", color=color, alpha=0.15, linewidth=0)
    axes.step(sizes, gaps, color=color, where="post", label=label, linewidth=1.6)
    axes.plot(sizes[:-1], gaps[:-1], "o", color=color, markersize=3.5)


def _described(solution: Solution) -> str:
    count = len(solution.choice)
    members = "1 member" if count == 1 else f"{count} members"
    return f"{members} in {format_bytes(solution.size)}"
