"""What a promise is, what trying it leaves behind, and the table of all."""

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.faults.line import Line

Check = Callable[["Trial"], None]
_SHOWN = 300


@dataclass
class Trial:
    """One promise while it is tried.

    Attributes:
        seed: Everything random comes from it.
        wanted: How many cases are asked for; a check rounds it as its cases come.
        folder: Its own, empty at first.
        line: A finished run, not to be changed.
        cases: How many there were.
        failures: What did not hold, a line each.
        figures: What was measured on the way, for the table.
    """

    seed: int
    wanted: int
    folder: Path
    line: Line
    cases: int = 0
    failures: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    @property
    def random(self) -> np.random.Generator:
        """The same numbers at every call."""
        return np.random.default_rng(self.seed)

    def case(self, held: bool, otherwise: str, count: int = 1) -> bool:
        """Counts a case, or several that are one check, and says how it failed."""
        self.cases += count
        if not held:
            self.failures.append(" ".join(otherwise.split())[:_SHOWN])
        return held


@dataclass(frozen=True)
class Promise:
    """What is promised, how that is tried, and by how many cases in a whole trial."""

    name: str
    says: str
    how: str
    cases: int
    check: Check


PROMISES: dict[str, Promise] = {}


def promise(name: str, says: str, *, how: str, cases: int) -> Callable[[Check], Check]:
    """Adds the decorated check to `PROMISES`."""

    def add(check: Check) -> Check:
        PROMISES[name] = Promise(name, says, how, cases, check)
        return check

    return add


def try_promise(promise: Promise, trial: Trial) -> Trial:
    """Runs a check; one that breaks off has failed."""
    try:
        promise.check(trial)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        trial.case(False, f"broke off at {where} with {type(error).__name__}: {error}")
    return trial


def table(trials: Iterable[tuple[Promise, Trial]]) -> str:
    """The promises in Markdown, a row each."""
    rows = ["| promise | how it is tried | cases | failures |", "| --- | --- | ---: | ---: |"]
    for promise, trial in trials:
        how = "; ".join([promise.how, *trial.figures])
        failed = len(trial.failures)
        rows.append(f"| `{promise.name}`: {promise.says} | {how} | {trial.cases:,} | {failed:,} |")
    return "\n".join(rows)
