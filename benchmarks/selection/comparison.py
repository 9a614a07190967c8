"""Every method on five ranges of clips in turn: weights from other clips, scored on these."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.harness import timed
from benchmarks.selection.evidence import Evidence
from benchmarks.selection.methods import FLAT, OURS, available, flat
from ensemble import WeightedScorer
from metrics.bootstrap import standard_error
from records.config import id_hash

RANGES = 5
FLOAT_MEAN = "flat mean, float32"


def measure(evidence: Evidence, clips: int) -> pd.DataFrame:
    """Chooses weights on at most so many clips outside of each range, and scores them within it.

    Returns:
        A row a range and method: `gap` on the range and `gap_error`, its standard error; `gain`,
        what that is more than the flat mean has, and `gain_error`; `lead`, what it is more than a
        run's own way has, and `lead_error`; `members` that have a weight; `seconds` from stored
        predictions to weights; `chosen` and `unseen`, the numbers of clips.
    """
    rows = []
    for number, (chosen, unseen) in enumerate(divided(evidence.ids, clips), start=1):
        seen, other = evidence.select(chosen), evidence.select(unseen)
        members = list(seen.members.values())
        scorer = WeightedScorer(list(other.members.values()), other.labels)
        found = [
            (name, scorer, *timed(partial(method, members, seen.labels)))
            for name, method in available().items()
        ]
        if other.whole:
            whole = WeightedScorer(list(other.whole.values()), other.labels)
            found.insert(1, (FLOAT_MEAN, whole, 0.0, flat(members, seen.labels)))
        gaps = {name: float(by.gap(row[None]).gap[0]) for name, by, _, row in found}
        drawn = {name: by.resampled_gap(row) for name, by, _, row in found}
        rows += [
            {
                "method": name,
                "range": number,
                "gap": gaps[name],
                "gap_error": standard_error(drawn[name]),
                "gain": gaps[name] - gaps[FLAT],
                "gain_error": standard_error(drawn[name] - drawn[FLAT]),
                "lead": gaps[name] - gaps[OURS],
                "lead_error": standard_error(drawn[name] - drawn[OURS]),
                "members": np.count_nonzero(weights),
                "seconds": seconds,
                "chosen": len(chosen),
                "unseen": len(unseen),
            }
            for name, _, seconds, weights in found
        ]
    return pd.DataFrame(rows)


def divided(ids: np.ndarray, clips: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each range by hash of the id, the numbers of clips to choose on, and of its own.

    The hash is salted: splits and folds are cut by the hash of the id itself.
    """
    places = np.array([id_hash(f"selection/{name}") for name in ids])
    own = (places * RANGES).astype(np.int64)
    for number in range(RANGES):
        others = np.random.default_rng(number).permutation(np.flatnonzero(own != number))
        yield np.sort(others[:clips]), np.flatnonzero(own == number)


def markdown(table: pd.DataFrame) -> str:
    """A row a method: what it gains on each range and on average, against ours, and its seconds."""
    numbers = [str(number) for number in sorted(table["range"].unique())]
    header = ["weights", *numbers, "mean", "over a run's own way", "members", "seconds"]
    lines = [_line(header), _line(["---"] * len(header))]
    for name, rows in table.groupby("method", sort=False):
        column = "gap" if name == FLAT else "gain"
        cells = [
            _figure(*pair, signed=name != FLAT)
            for pair in zip(rows[column], rows[f"{column}_error"], strict=True)
        ]
        cells.append(_figure(*_mean(rows, column), signed=name != FLAT))
        cells.append("" if name == OURS else _figure(*_mean(rows, "lead"), signed=True))
        cells += [f"{rows[column].mean():.1f}" for column in ("members", "seconds")]
        lines.append(_line([str(name), *cells]))
    return "\n".join(lines)


def _mean(rows: pd.DataFrame, column: str) -> tuple[float, float]:
    """Over the ranges, and its error: they have no clip in common, so errors are independent."""
    errors = rows[f"{column}_error"]
    return float(rows[column].mean()), float(np.sqrt((errors**2).sum()) / len(rows))


def _figure(value: float, error: float, *, signed: bool) -> str:
    return f"{value:{'+' if signed else ''}.4f} +- {error:.4f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
