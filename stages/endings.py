"""How the process of a job ends: its exit status, and the line that it says."""

from collections.abc import Callable

from common import system_errors
from common.errors import UserError
from runs import MACHINE_FAILED
from training.stop import Interrupted


class Ended(Exception):
    """The process is to end so.

    Attributes:
        status: its exit status.
        said: its last line.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


def ending_of(work: Callable[[], None]) -> tuple[int, str]:
    """Exit status and last line of a process that does some work.

    0: done. 2: the user's input is wrong. 143: stopped by SIGTERM after a checkpoint.
    `MACHINE_FAILED`: no space, no memory and the like. A defect is raised.
    """
    try:
        work()
    except Ended as ended:
        return ended.status, ended.said
    except Interrupted:
        return 143, ""
    except UserError as error:
        return 2, str(error)
    except OSError as error:
        status = 2 if system_errors.is_of_path(error) else MACHINE_FAILED
        return status, system_errors.describe(error)
    return 0, ""
