"""SIGTERM as a wish: a training heeds it where it can be continued from."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """SIGTERM came; the checkpoint is written."""


class StopRequest:
    """Whether SIGTERM came.

    Attributes:
        made: whether it did.
    """

    def __init__(self) -> None:
        self.made = False

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Meanwhile SIGTERM ends nothing, and is noted."""

        def request(signum: int, frame: FrameType | None) -> None:
            self.made = True

        before = signal.signal(signal.SIGTERM, request)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
