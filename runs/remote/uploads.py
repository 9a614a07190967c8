"""Puts what a command finishes while it goes on working."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from common.errors import UserError
from common.interrupts import Terminated, take_time
from common.messages import say, warn
from runs.errors import RunError
from runs.remote.lease import RunTaken
from runs.remote.working_copy import WorkingCopy

# How often what is only begun is put: checkpoints, from which another machine goes on.
BEGUN_SECONDS = 300.0


class Uploads:
    """A thread that puts what was finished, and the last put at the end.

    No training ends since a storage does not answer: what could not be put is tried again, at the
    latest at the end.

    Args:
        copy: What is put.
        url: Where, for messages.
    """

    def __init__(self, copy: WorkingCopy, url: str) -> None:
        self._copy, self._url = copy, url
        self._news, self._ended = threading.Event(), False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Uploads:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Puts the rest.

        Raises:
            RunTaken: Another command has the run.
            RunError: The storage does not answer.
        """
        self._ended = True
        self._news.set()
        if kind in (KeyboardInterrupt, Terminated):
            take_time()
            say(f"{self._url}: putting what is done; once more, and the next command does it")
        self._thread.join()
        try:
            if self._failure:
                raise self._failure
            self._copy.push(begun=True, closing=True)
            say(f"{self._url}: all that is done is there")
        except (UserError, OSError) as failed:
            taken = isinstance(failed, RunTaken)
            said = (
                str(failed) if taken else f"{failed}; nothing is lost here: give the command again"
            )
            if kind is None:
                raise (RunTaken if taken else RunError)(said) from None
            if failed is not error:
                warn(said)

    def wake(self) -> None:
        """Says that there is something new.

        Raises:
            RunTaken: Another command has the run.
        """
        if self._failure:
            raise self._failure
        self._news.set()

    def _run(self) -> None:
        last, is_warned = time.monotonic(), False
        while not self._ended:
            self._news.wait(BEGUN_SECONDS)
            self._news.clear()
            if self._ended:
                return
            begun = time.monotonic() - last >= BEGUN_SECONDS
            try:
                self._copy.push(begun=begun)
                last = time.monotonic() if begun else last
            except RunTaken as taken:
                self._failure = taken
                return
            except FileNotFoundError:
                # It was removed meanwhile, as a trial that is stopped.
                continue
            except (UserError, OSError) as error:
                if not is_warned:
                    warn(f"{error}; it is put later")
                is_warned = True
            except Exception as defect:
                self._failure = defect
                return
