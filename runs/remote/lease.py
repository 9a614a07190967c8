"""Who may write to a run in object storage: one command at a time, by objects that are numbered.

The last number counts. Whoever wants the run creates the next one, which object storage grants to
one alone, and writes it again every half minute. One that has not been written for five minutes is
of a command that is dead, or cut off: the next number may be created. So nothing has to be replaced
on a condition, which fewer storages can than to create on one.

A command that was stopped for minutes and goes on finds a higher number, and puts nothing more. If
it is stopped again between that look and a put, object storage cannot keep it from the put.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from common.codec import from_plain, parse_json, to_plain
from common.errors import UserError
from common.messages import warn
from common.units import format_seconds
from runs.errors import RunError
from runs.remote.folder import ObjectFolder

LEASES = "LOCK"
BEAT_SECONDS = 30.0
SILENT_SECONDS = 300.0


class RunTaken(RunError):
    """Another command has the run, or finished a task of it meanwhile."""


@dataclass(frozen=True)
class Holder:
    """What a lease says of the command that has it.

    Attributes:
        copy: the working copy that it works on; that has a lock of its own.
        host: its machine.
        process: its number there.
        mark: tells it from all others.
        ended: whether it has given the run back.
    """

    copy: str
    host: str
    process: int
    mark: str
    ended: bool = False

    @classmethod
    def this(cls, copy: str) -> Holder:
        """This process."""
        return cls(copy, socket.gethostname(), os.getpid(), secrets.token_hex(8))

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Lease:
    """The right to write to a run.

    Args:
        objects: the run's.
        copy: names the working copy, whose own lock is held: another command on it is dead.
    """

    def __init__(self, objects: ObjectFolder, copy: str) -> None:
        self._objects = objects
        self._holder = Holder.this(copy)
        self._number = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Has it meanwhile.

        Raises:
            RunTaken: On entering, when another command has it.
            RunError: The storage does not refuse to create what there is.
            ObjectError: The storage cannot be used.
        """
        self._take()
        ended = threading.Event()
        beats = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        beats.start()
        try:
            yield
        finally:
            ended.set()
            beats.join()
            # It is given back by its silence then.
            with suppress(UserError):
                self.check()
                self._write(replace(self._holder, ended=True))

    @property
    def number(self) -> int:
        """That of the object which grants it."""
        return self._number

    def check(self) -> None:
        """Raises `RunTaken` where it is another's by now."""
        check_lease(self._objects, self._number)

    def _take(self) -> None:
        last = max(_numbers(self._objects), default=0)
        holder = _read(self._objects, last)
        if holder and not self._is_free(last, holder):
            raise self._in_use(holder)
        self._number = last + 1
        own = _bytes(self._holder)
        came_first = self._objects.create(_name(self._number), own)
        if came_first != own:
            raise self._in_use(_holder(came_first))
        numbers = _numbers(self._objects)
        if max(numbers) != self._number:
            # The one that was seen is long gone, and others came and went meanwhile.
            self._objects.delete([_name(self._number)])
            raise self._in_use(_read(self._objects, max(numbers)))
        if not self._objects.keeps_conditions(_name(self._number)):
            raise RunError(
                f"{self._objects.url}: this storage writes over objects that are not to be written "
                "over (If-None-Match), so that two commands could work on one run; use another"
            )
        self._objects.delete(_name(number) for number in numbers - {self._number})

    def _is_free(self, number: int, holder: Holder) -> bool:
        if holder.ended or holder.copy == self._holder.copy:
            return True
        return self._objects.seconds_since_written(_name(number)) > SILENT_SECONDS

    def _in_use(self, holder: Holder | None) -> RunTaken:
        return RunTaken(
            f"run {self._objects.url} is in use by {holder or 'another command'}: wait for it to "
            f"end or stop it; if it is dead, the run is free after {format_seconds(SILENT_SECONDS)}"
        )

    def _beat(self, ended: threading.Event) -> None:
        """Says every half minute that the command lives, until it has lost the run."""
        is_warned = False
        while not ended.wait(BEAT_SECONDS):
            try:
                self.check()
                self._write(self._holder)
                is_warned = False
            except RunTaken as taken:
                warn(str(taken))
                return
            except UserError as error:
                if not is_warned:
                    warn(f"{error}; it is tried again")
                is_warned = True

    def _write(self, holder: Holder) -> None:
        self._objects.write(_name(self._number), _bytes(holder))


def check_lease(objects: ObjectFolder, number: int) -> None:
    """Raises `RunTaken` where the right to write to a run is another's than that of a number."""
    last = max(_numbers(objects), default=0)
    if last != number:
        raise RunTaken(
            f"{objects.url}: {_read(objects, last) or 'another command'} has taken the run since "
            "this command was not heard of; what it has done lies on this machine: give the "
            "command again when the other has ended"
        )


def _numbers(objects: ObjectFolder) -> set[int]:
    names = (name.rpartition("/")[2] for name in objects.list(LEASES))
    return {int(name) for name in names if name.isascii() and name.isdigit()}


def _read(objects: ObjectFolder, number: int) -> Holder | None:
    data = objects.read(_name(number)) if number else None
    return None if data is None else _holder(data)


def _name(number: int) -> str:
    return f"{LEASES}/{number:08}"


def _bytes(holder: Holder) -> bytes:
    return json.dumps(to_plain(holder)).encode()


def _holder(data: bytes) -> Holder:
    return from_plain(Holder, parse_json(data, LEASES), LEASES, RunError)
