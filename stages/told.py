"""What stages tell the user of the processes that they started."""

from common.messages import say_more, warn
from runs import Result


def say_notes(result: Result) -> None:
    """Tells what a process wrote for the user to see, and with `-v` all of it."""
    for note in result.notes:
        warn(f"{result.name}: {note}")
    for line in () if result.returncode else result.tail.splitlines():
        say_more(f"{result.name}: {line}")
