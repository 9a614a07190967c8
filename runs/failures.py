"""How jobs end, and what is said of those that fail."""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# A job that succeeds begins a line of its log so to have it shown.
NOTE = "note: "
# How a job ends that met no space, no memory and the like; its last line says it.
MACHINE_FAILED = os.EX_OSERR
_TAIL_LINES = 20
_TAIL_BYTES = 8192
_NAMED = 20


@dataclass(frozen=True)
class Result:
    """How a job ended.

    Attributes:
        name: The job's name.
        returncode: 0 when it succeeded; minus the signal's number when a signal ended it.
        ending: What ended it, in words: `was killed by SIGKILL (out of memory?)`.
        log: What it wrote to.
        tail: The last lines of that, as far as they are of this attempt.
        notes: Lines that it wrote for the user to see, without their `NOTE`.
        unwanted: Whether it was told to end since its source did not want it any more.
    """

    name: str
    returncode: int
    ending: str
    log: Path
    tail: str = ""
    notes: tuple[str, ...] = ()
    unwanted: bool = False

    @property
    def message(self) -> str | None:
        """None when it succeeded; otherwise its name, what ended it, and its log's end."""
        if not self.returncode:
            return None
        end = f"; the end of {self.log}:\n{self.tail}" if self.tail else ""
        return f"{self.name} {self.ending}{end}"

    @property
    def last_line(self) -> str:
        """What it said last, else how it ended; of the user's mistakes, that says all."""
        return self.tail.splitlines()[-1] if self.tail else self.ending

    @property
    def likeness(self) -> tuple[str, str]:
        """The same for jobs that failed alike, each over a file in a folder of its own."""
        last = self.last_line
        if self.tail and self.returncode == MACHINE_FAILED:
            # Whichever file it was that there was no space for.
            last = last.rpartition(": ")[2]
        folder = str(self.log.parent)
        return self.ending.replace(folder, ""), last.replace(folder, "")


def describe_failures(results: Iterable[Result], *, last_lines: bool = False) -> str:
    """What is said of those that failed; such as failed alike are named together.

    Args:
        results: Those that succeeded are left out.
        last_lines: Whether the last line of a log says all.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.returncode:
            groups.setdefault(result.likeness, []).append(result)
    if last_lines:
        found = [(_names(group), group[0]) for group in groups.values()]
        if len(found) == 1 and found[0][1].tail:
            # Every process met the same input.
            return found[0][1].last_line
        return "\n".join(f"{names}: {first.last_line}" for names, first in found)
    return "\n".join(
        str(group[0].message)
        if len(group) == 1
        else f"{len(group)} jobs failed alike: {_names(group)}: {group[0].message}"
        for group in groups.values()
    )


def _names(group: list[Result]) -> str:
    more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
    return ", ".join(result.name for result in group[:_NAMED]) + more


def describe_exit(code: int) -> str:
    """What ended a process, from its return code: `was killed by SIGKILL (out of memory?)`."""
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def log_tail(path: Path, start: int) -> str:
    """The last lines of a log from byte `start` on, where this attempt began to write."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            begin = log.seek(max(start, end - _TAIL_BYTES))
            # A device in its place has no end.
            text = log.read(max(0, end - begin)).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:]).strip()


def notes_of(tail: str) -> tuple[str, ...]:
    """What a job wrote into its log for the user to see."""
    lines = tail.splitlines()
    return tuple(line.removeprefix(NOTE) for line in lines if line.startswith(NOTE))


def why_silent(log: Path) -> str:
    """Of the empty log of a job that failed: perhaps nothing can be written to it."""
    try:
        with log.open("ab", buffering=0) as file:
            file.write(b"\n")
    except OSError as error:
        return f"{log} cannot be written: {error.strerror}"
    return f"{log} is empty"
