"""What the benchmarks share: the clock, and how figures are printed."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pandas as pd

from common.allocator import environment

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds that a call took, and what it returned."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def best_times(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of each contender's fastest call; to free what it returns is part of it.

    They take turns, so that a busy machine slows them alike.
    """
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(repeats):
        for name, call in contenders.items():
            began = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def ratios(seconds: Mapping[str, float], to: str) -> dict[str, float]:
    """Every other contender's seconds divided by those of `to`."""
    return {name: took / seconds[to] for name, took in seconds.items() if name != to}


def as_job(module: str) -> None:
    """Starts the module anew, unless memory is kept as in a job: that must be said beforehand."""
    if environment().items() - os.environ.items():
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **environment()})


def print_table(title: str, table: pd.DataFrame) -> None:
    print(title)
    print(table.to_string(float_format="{:,.6g}".format, na_rep="-"))


def print_figures(title: str, figures: Mapping[str, Any]) -> None:
    """Prints as a table what there is by contender, and below it every other figure."""
    tabled = {name: figure for name, figure in figures.items() if isinstance(figure, Mapping)}
    if tabled:
        print_table(title, pd.DataFrame(tabled))
    else:
        print(title)
    for name, figure in figures.items():
        if name not in tabled:
            print(f"{name}: {figure:,}" if isinstance(figure, int) else f"{name}: {figure:.6g}")
