"""Shards on their way from object storage to copies on this machine, ahead of who reads them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from common.errors import UserError
from common.objects import CONNECTIONS, StoredObject, read_range
from records.objects.copies import Copies, Copy
from records.objects.folder import RemoteShards

# Of a request; with so many at once, that is what a process holds of shards in memory.
_PIECE = 8 << 20
# Of the bytes of all copies, how many may be there before they are asked for.
_AHEAD = 4
_LOOK_SECONDS = 0.5


class Fetcher:
    """Copies of shards, fetched by several requests at once.

    Once it is told in which order shards will be asked for, a thread fetches those that come next.
    What it does not manage, or another process does, is not its affair: who asks for a shard gets
    it, or the error. Threads are started by the first use, so that it can be made before a fork.
    """

    def __init__(self, shards: RemoteShards) -> None:
        self._shards = shards
        self._copies = Copies(shards.folder.copies, shards.folder.most)
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: _Ahead | None = None

    def expect(self, order: Iterable[Path]) -> None:
        """Says which shards will be asked for, each once, in about this order."""
        self.close()
        self._ahead = _Ahead(self._requests(), self._shards, self._copies, tuple(order))

    def copy(self, path: Path) -> Copy:
        """The copy of a shard.

        Raises:
            ObjectError: It cannot be fetched, or changed since it was listed.
        """
        if self._ahead is not None:
            self._ahead.reached(path)
        name, stored = self._shards.copy_name(path), self._shards.objects[path]
        while (copy := self._copies.use(name)) is None:
            with self._copies.writing(name, stored.size, wait=True) as file:
                if file is not None:
                    download = _Download(self._requests(), self._shards.url(path), stored, file)
                    download.finish()
        return copy

    def trim(self) -> None:
        """Makes room again after something was made of a copy, beside it."""
        self._copies.trim()

    def blame(self, path: Path, text: str) -> str:
        """What is wrong with a shard, said of its URL; who asks next fetches it anew."""
        copy = self._copies.place(self._shards.copy_name(path))
        copy.unlink(missing_ok=True)
        return text.replace(str(copy), self._shards.url(path))

    def close(self) -> None:
        """Fetches nothing ahead any more; may be used again."""
        if self._ahead is not None:
            self._ahead.stop()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._ahead is not None:
            self._ahead.join()
        self._ahead = self._pool = None

    def _requests(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(CONNECTIONS, "fetch")
        return self._pool


class _Download:
    """An object whose pieces are under way to a file."""

    def __init__(
        self, pool: ThreadPoolExecutor, url: str, stored: StoredObject, file: BinaryIO
    ) -> None:
        self._url, self._stored, self._file = url, stored, file
        self._pieces: list[Future[None]] = []
        starts = range(0, stored.size, _PIECE)
        self._missing, self._turn = len(starts), threading.Lock()
        try:
            for start in starts:
                self._pieces.append(pool.submit(self._fetch, start))
        except RuntimeError:
            # The pool was closed meanwhile.
            self.stop()
            raise

    @property
    def left(self) -> list[Future[None]]:
        """Pieces that are not there yet."""
        return [piece for piece in self._pieces if not piece.done()]

    def finish(self) -> None:
        """Waits for all of it.

        Raises:
            ObjectError: As in `read_range`.
        """
        try:
            for piece in self._pieces:
                piece.result()
        finally:
            self.stop()

    def stop(self) -> None:
        """Waits until no piece is written any more: the file may then be closed."""
        running = [piece for piece in self._pieces if not piece.cancel()]
        for piece in running:
            piece.exception()

    def _fetch(self, start: int) -> None:
        data = read_range(self._url, self._stored, start, min(start + _PIECE, self._stored.size))
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file.fileno(), view, start)
            view, start = view[written:], start + written
        with self._turn:
            self._missing -= 1
            is_last = not self._missing
        if is_last:
            # Here other shards come meanwhile; who makes the copy would wait for the disk.
            os.fsync(self._file.fileno())


class _Ahead:
    """The thread that fetches what comes next, as far as a part of the copies' room allows."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        shards: RemoteShards,
        copies: Copies,
        order: Sequence[Path],
    ) -> None:
        self._pool, self._shards, self._copies, self._order = pool, shards, copies, order
        self._number = {path: number for number, path in enumerate(order)}
        # Bytes of all shards before each.
        self._before = [0, *accumulate(shards.objects[path].size for path in order)]
        self._turn = threading.Condition()
        self._reached, self._stopped = 0, False
        self._thread = threading.Thread(target=self._run, name="fetch ahead", daemon=True)
        self._thread.start()

    def reached(self, path: Path) -> None:
        """A shard was asked for: the ones behind it come next."""
        with self._turn:
            self._reached = max(self._reached, self._number.get(path, 0))
            self._turn.notify()

    def stop(self) -> None:
        """Begins no further shard."""
        with self._turn:
            self._stopped = True
            self._turn.notify()

    def join(self) -> None:
        """Waits until the thread has ended."""
        self._thread.join()

    def _run(self) -> None:
        flying: deque[_Flight] = deque()
        try:
            for number, path in enumerate(self._order):
                if not self._may_begin(number, flying):
                    return
                flight = self._begun(path)
                if flight is not None:
                    flying.append(flight)
                # So many keep all connections busy.
                _settle(flying, 2 * CONNECTIONS)
            _settle(flying, 0)
        except (UserError, OSError, RuntimeError, CancelledError):
            # Who asks for the shard meets the same, and can say so. Of a pool that is closed come
            # the last two.
            return
        finally:
            for flight in flying:
                flight.give_up()

    def _may_begin(self, number: int, flying: deque[_Flight]) -> bool:
        """Waits for a shard's turn; False when nothing is wanted any more."""
        while True:
            with self._turn:
                if self._stopped or self._is_near(number):
                    return not self._stopped
                if not flying:
                    self._turn.wait()
            _settle(flying, 0)

    def _is_near(self, number: int) -> bool:
        bytes_ahead = self._before[number + 1] - self._before[self._reached + 1]
        return number <= self._reached + 1 or bytes_ahead <= self._shards.folder.most // _AHEAD

    def _begun(self, path: Path) -> _Flight | None:
        stored, stack = self._shards.objects[path], ExitStack()
        with stack:
            name = self._shards.copy_name(path)
            file = stack.enter_context(self._copies.writing(name, stored.size, wait=False))
            if file is None:
                return None
            download = _Download(self._pool, self._shards.url(path), stored, file)
            return _Flight(download, stack.pop_all())


@dataclass(frozen=True, eq=False)
class _Flight:
    """A download, and what makes it a copy when it has ended."""

    download: _Download
    writing: ExitStack

    def land(self) -> None:
        """Waits for it; then there is the copy.

        Raises:
            ObjectError: As in `read_range`.
        """
        with self.writing:
            self.download.finish()

    def give_up(self) -> None:
        """There will be no copy of it."""
        self.download.stop()
        self.writing.__exit__(InterruptedError, InterruptedError(), None)


def _settle(flying: deque[_Flight], most: int) -> None:
    """Waits until so many pieces are under way at most, and makes copies of what is complete."""
    left = {piece for flight in flying for piece in flight.download.left}
    while len(left) > most:
        # Of those that a pool cancels when it is closed, nobody is told.
        wait(left, _LOOK_SECONDS, FIRST_COMPLETED)
        left = {piece for piece in left if not piece.done()}
    while flying and not flying[0].download.left:
        flying.popleft().land()
