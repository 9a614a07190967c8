"""The command that tries the promises: what it counts, what it finds, what it may not overlook."""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.faults import __main__ as command
from benchmarks.faults.checks import PROMISES
from benchmarks.faults.children import in_child
from benchmarks.faults.fuzz.engine import Target, case_random, fuzz
from benchmarks.faults.fuzz.targets import TARGETS
from benchmarks.faults.line import Line
from benchmarks.faults.promise import Promise, Trial, table, try_promise
from common.errors import UserError

RELIABILITY = Path(command.__file__).parents[2] / "docs" / "reliability.md"


def tried(name: str, cases: int, folder: Path) -> Trial:
    trial = Trial(1, cases, folder, Line(folder / "undisturbed"))
    return try_promise(PROMISES[name], trial)


@pytest.mark.parametrize(("name", "cases"), [("bytes", 6), ("code", 12), ("memory", 1)])
def test_promise_holds(name: str, cases: int, tmp_path: Path) -> None:
    trial = tried(name, cases, tmp_path)
    assert trial.cases >= cases
    assert trial.failures == []


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_refused_or_read_aright(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    state = target.prepare(tmp_path)
    for number in range(30):
        file, data = target.make(state, case_random(1, name, number))
        assert target.check(state, file, data) is None, (number, file, data)


def test_what_fails_is_counted_and_ends_the_command_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(trial: Trial) -> None:
        for number in range(trial.wanted):
            trial.case(number % 2 == 0, f"number {number}")

    def broken(trial: Trial) -> None:
        raise ValueError("broken")

    kept = Promise("kept", "holds", "by hand", 2, lambda trial: None)
    monkeypatch.setattr(command, "PROMISES", {"kept": kept})
    assert command.main([]) == 0
    bad = {
        "half": Promise("half", "holds", "by hand", 80, half),
        "broken": Promise("broken", "holds", "by hand", 1, broken),
    }
    monkeypatch.setattr(command, "PROMISES", bad)
    capsys.readouterr()
    # A tenth of the minutes, a tenth of the cases.
    assert command.main(["--minutes", str(command.WHOLE_MINUTES / 10)]) == 1
    out, err = capsys.readouterr()
    assert "| `half`: holds | by hand | 8 | 4 |" in out
    assert "| `broken`: holds | by hand | 1 | 1 |" in out
    assert "number 3" in err and "ValueError: broken" in err


def test_every_promise_stands_in_the_table_of_the_page() -> None:
    promises = RELIABILITY.read_text().partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(PROMISES)
    header = table([]).splitlines()
    assert all(line in RELIABILITY.read_text() for line in header)


@pytest.mark.parametrize("name", TARGETS)
def test_a_case_of_the_fuzzer_comes_out_the_same_again(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    state = target.prepare(tmp_path)
    made = [target.make(state, case_random(5, name, number)) for number in range(20)]
    assert made == [target.make(state, case_random(5, name, number)) for number in range(20)]
    assert len({data for _, data in made}) > 10


def planted(name: str, fault: str) -> Target:
    """A target of which each case goes wrong."""

    def make(state: Any, random: Random) -> tuple[str, bytes]:
        return "file", random.randbytes(4)

    def check(state: Any, file: str, data: bytes) -> str | None:
        if fault == "raises":
            raise KeyError("planted")
        if fault == "dies":
            # Otherwise pytest's own account of it is printed among the results.
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "takes memory":
            bytearray(8 * 2**30)
        return "differs"

    return Target(name, lambda folder: None, make, check)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raises", "KeyError"),
        ("dies", "SIGSEGV"),
        ("takes memory", "MemoryError"),
        ("differs", "differs"),
    ],
)
def test_the_fuzzer_keeps_the_file_that_led_to_a_fault(
    fault: str, told: str, tmp_path: Path
) -> None:
    report = fuzz([planted("planted", fault)], 3, 0.01, tmp_path)
    _, number, text = report.findings[0]
    assert (number, told in text) == (0, True)
    kept = tmp_path / "planted-3-0-file"
    assert kept.read_bytes() == case_random(3, "planted", 0).randbytes(4)
    assert "| planted |" in report.table()


def test_a_child_is_measured_and_bounded() -> None:
    def refuse() -> None:
        raise UserError("no")

    def fill() -> int:
        # Mapped for itself: an allocator may have as much that is free and already counted.
        with mmap.mmap(-1, 64 * 2**20) as mapped:
            return mapped.write(b"x" * len(mapped))

    assert in_child(lambda: [1, "a"]).value == [1, "a"]
    assert (in_child(refuse).kind, in_child(refuse).value) == ("refused", "no")
    assert in_child(fill).peak > 60 * 2**20
    assert in_child(fill, memory=32 * 2**20).kind == "raised"
    assert in_child(lambda: time.sleep(60), seconds=0.1).kind == "died"
    assert in_child(lambda: os.kill(os.getpid(), signal.SIGKILL)).kind == "died"
