"""Studies as tables and pictures: history, parallel coordinates, importances, Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.files import atomic_path
from report.tables import write_table
from runs import content_key
from stages.tune import StudyRecord, TrialRecord, Tuned
from tune.config import BYTES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A column of parallel coordinates names so many of its values.
_TICKS = 5
_GREY = "0.7"
_NAMES = {
    "gap": "GAP",
    "map": "MAP",
    "map_at_10": "MAP@10",
    "hit_at_1": "Hit@1",
    "perr": "PERR",
    BYTES: "bytes at 8 bits",
}


def write_study(tuned: Tuned, study: StudyRecord) -> None:
    """Writes `<member>.csv` with all trials, and the pictures, into the studies' folder.

    A picture takes long: it names what it shows, and is drawn when that changes.
    """
    rows = trial_rows(study)
    write_table(tuned.folder / f"{study.member}.csv", rows)
    shown = content_key([rows, study.importances, study.family])
    pictures: dict[str, Callable[[StudyRecord], Figure]] = {"history": draw_history}
    if len(_complete(study)) > 1:
        pictures["parallel"] = draw_parallel
    if study.importances:
        pictures["importances"] = draw_importances
    if len(study.objectives) > 1:
        pictures["front"] = draw_front
    for name, draw in pictures.items():
        _write_picture(tuned.folder / f"{study.member}-{name}.png", shown, draw, study)


def trial_rows(study: StudyRecord) -> list[dict[str, Any]]:
    """Every trial: its state, values, parameters, and what it took."""
    keys = list(dict.fromkeys(key for trial in study.trials for key in trial.parameters))
    return [
        {
            "trial": trial.number,
            "state": "kept" if trial.number in study.kept else trial.state,
            **dict(zip_longest(study.objectives, trial.values)),
            **{key: trial.parameters.get(key) for key in keys},
            "evaluations": len(trial.intermediate),
            "seconds": None if trial.seconds is None else round(trial.seconds, 1),
            "why": trial.why,
        }
        for trial in study.trials
    ]


def draw_history(study: StudyRecord) -> Figure:
    """The first objective by trial, the best so far, and what was pruned on its way."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure()
    name, done = study.objectives[0], _complete(study)
    pruned = [t for t in study.trials if t.state == "pruned" and t.values]
    best = min if name == BYTES else max
    axes.plot(*_points(pruned), "x", color=_GREY, label=f"pruned, on the way ({len(pruned)})")
    axes.plot(*_points(done), "C0o", markersize=4, label=f"trained to the end ({len(done)})")
    numbers, values = _points(done)
    if values:
        line = list(accumulate(values, best))
        axes.step([*numbers, study.trials[-1].number], [*line, line[-1]], "C0-", where="post")
    kept = [trial for trial in done if trial.number in study.kept]
    axes.plot(*_points(kept), "C3*", markersize=11, label="kept")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{_NAMES[name]} on search")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="best", fontsize=8)
    return _titled(figure, axes, study)


def draw_parallel(study: StudyRecord) -> Figure:
    """Every trial that was trained to its end as a line over its parameters, coloured by score."""
    import matplotlib as mpl

    done = _complete(study)
    keys = list(study.importances) or list(done[0].parameters)
    name = study.objectives[0]
    columns = [_column([trial.parameters[key] for trial in done]) for key in keys]
    columns.append(_column([trial.values[0] for trial in done]))
    figure, axes = _figure(width=1.6 + 1.25 * len(columns))
    scores = np.array([trial.values[0] for trial in done])
    colours = mpl.colormaps["viridis"]((scores - scores.min()) / (np.ptp(scores) or 1))
    for place in np.argsort(scores):
        heights = [column[0][place] for column in columns]
        kept = done[place].number in study.kept
        axes.plot(heights, color=colours[place], linewidth=2.4 if kept else 1, alpha=0.9)
    for place, (_, ticks) in enumerate(columns):
        axes.axvline(place, color="0.4", linewidth=0.8)
        for height, text in ticks:
            axes.annotate(
                text,
                (place, height),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                parse_math=False,
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6},
            )
    axes.set_xlim(-0.1, len(columns) - 0.45)
    labels = [*map(_short, keys), f"{_NAMES[name]}\non search"]
    axes.set_xticks(range(len(columns)), labels, fontsize=8)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return _titled(figure, axes, study)


def draw_importances(study: StudyRecord) -> Figure:
    """Which share of the first objective's spread each parameter explains."""
    figure, axes = _figure(height=1.2 + 0.35 * len(study.importances))
    keys = list(study.importances)[::-1]
    bars = axes.barh(range(len(keys)), [study.importances[key] for key in keys], color="C0")
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks(range(len(keys)), keys, fontsize=8)
    axes.set_xlabel(f"share of the spread of {_NAMES[study.objectives[0]]} that is explained")
    axes.margins(x=0.1)
    return _titled(figure, axes, study)


def draw_front(study: StudyRecord) -> Figure:
    """Two objectives against each other, and the trials that no other one beats in both."""
    from matplotlib.ticker import EngFormatter

    figure, axes = _figure()
    done = _complete(study)
    signs = np.array([1 if name == BYTES else -1 for name in study.objectives])
    losses = np.array([trial.values for trial in done]) * signs
    front = [
        trial
        for trial, own in zip(done, losses, strict=True)
        if not any((other <= own).all() and (other < own).any() for other in losses)
    ]
    # What is minimised lies to the left, what is maximised above.
    across, up = (1, 0) if study.objectives[1] == BYTES else (0, 1)
    kept = [trial for trial in front if trial.number in study.kept]
    front.sort(key=lambda trial: trial.values[across])
    for trials, style, label in (
        (done, {"color": _GREY, "marker": "o", "linestyle": ""}, "trained to the end"),
        (front, {"color": "C0", "marker": "o", "linestyle": "-"}, "Pareto front"),
        (kept, {"color": "C3", "marker": "*", "linestyle": "", "markersize": 11}, "kept"),
    ):
        x, y = ([trial.values[place] for trial in trials] for place in (across, up))
        axes.plot(x, y, label=label, **style)  # type: ignore[arg-type]
    for place, axis in ((across, axes.xaxis), (up, axes.yaxis)):
        name = study.objectives[place]
        if name == BYTES:
            axis.set_major_formatter(EngFormatter("B"))
        axis.set_label_text(_NAMES[name] if name == BYTES else f"{_NAMES[name]} on search")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="best", fontsize=8)
    return _titled(figure, axes, study)


def _complete(study: StudyRecord) -> list[TrialRecord]:
    return [trial for trial in study.trials if trial.state == "complete"]


def _points(trials: Sequence[TrialRecord]) -> tuple[list[int], list[float]]:
    return [trial.number for trial in trials], [trial.values[0] for trial in trials]


def _column(values: Sequence[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Heights from 0 to 1 of a parameter's values, and some of them by height.

    Numbers have a scale, a logarithmic one where they span more than a decade; others have places.
    """
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = np.array(values, float)
        is_log = numbers.min() > 0 and numbers.max() > 20 * numbers.min()
        scaled = np.log10(numbers) if is_log else numbers
        ends, span = np.unique(scaled), np.ptp(scaled) or 1.0
        if len(ends) > _TICKS:
            ends = np.linspace(scaled.min(), scaled.max(), _TICKS)
        heights = (ends - scaled.min()) / span
        named = [f"{value:.3g}" for value in (10**ends if is_log else ends)]
        return (scaled - scaled.min()) / span, list(zip(heights, named, strict=True))
    names = sorted(set(map(str, values)))
    places = {name: place / max(1, len(names) - 1) for place, name in enumerate(names)}
    heights = np.array([places[str(value)] for value in values])
    return heights, [(place, name) for name, place in places.items()]


def _short(key: str) -> str:
    """A key over two lines, without what all have."""
    return key.removeprefix("config.").replace("train.", "train\n")


def _figure(width: float = 7.0, height: float = 4.2) -> tuple[Figure, Axes]:
    # Here, and not above: its import takes a third of a second, and most commands draw nothing.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def _titled(figure: Figure, axes: Axes, study: StudyRecord) -> Figure:
    counts = f"{len(study.trials)} trials, {len(_complete(study))} trained to the end"
    axes.set_title(f"{study.member} ({study.family}): {counts}", fontsize=10)
    return figure


def _write_picture(
    path: Path, shown: str, draw: Callable[[StudyRecord], Figure], study: StudyRecord
) -> None:
    if path.is_file() and shown.encode() in path.read_bytes():
        return
    with atomic_path(path) as beside:
        # Nothing of the time or the program goes into the file: same study, same bytes.
        metadata = {"Software": None, "Source": shown}
        draw(study).savefig(beside, format="png", dpi=150, metadata=metadata)
