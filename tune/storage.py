"""Where studies are kept: a file of the run, or a database that several machines share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial

from common.studies import quiet_optuna
from tune.errors import TuneError

STUDIES_NAME = "studies.db"
# What a trial has to say whose it is; a shared storage asks.
WORKER = "worker"
_DRIVER = "postgresql+psycopg"
# A trial whose process died without a word is tried again when it has been silent for so many
# heartbeats, and so often.
_SILENT_HEARTBEATS = 3
_RETRIES = 3
_BUSY_SECONDS = 60
_ATTEMPTS = 5


class StudyStorage:
    """An open storage of studies.

    Args:
        folder: of the run's studies.
        url: of a shared database; None: a file in the folder.
        heartbeat_seconds: how often a process says on a shared one that it lives.

    Attributes:
        shared: whether other processes may work on the same studies.
        silent_seconds: after which a process counts as dead.
        place: what the storage is called in messages; it has no password.

    Raises:
        TuneError: it cannot be opened, or a package is missing.
    """

    def __init__(self, folder: Path, url: str | None, heartbeat_seconds: int) -> None:
        self.shared = url is not None
        self.silent_seconds = _SILENT_HEARTBEATS * heartbeat_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._secrets: list[str] = []
        path = folder / STUDIES_NAME
        self.place = str(path)
        self._url = f"sqlite:///{path.resolve()}"
        if url is not None:
            self._url = self._of_database(url)
        else:
            folder.mkdir(parents=True, exist_ok=True)
        with self.errors(), quiet_optuna():
            self.optuna = self._open()

    def _of_database(self, text: str) -> str:
        # Here and below, and not above: its import takes a quarter of a second, and most commands
        # have no studies.
        from sqlalchemy import URL, make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise TuneError(
                "tune.storage: not a URL; give postgresql://user@host/database"
            ) from None
        if url.drivername not in ("postgresql", _DRIVER):
            raise TuneError(
                f"tune.storage: a URL of {url.drivername}; give postgresql://user@host/database, "
                "or nothing for a file of the run"
            )
        if find_spec("psycopg") is None:
            raise TuneError("tune.storage: needs a package: pip install -e '.[postgresql]'")
        url = url.set(drivername=_DRIVER)
        without = URL.create("postgresql", url.username, None, url.host, url.port, url.database)
        self.place = without.render_as_string()
        passwords = [url.password, *url.normalized_query.get("password", ())]
        self._secrets = [word for word in passwords if word]
        return url.render_as_string(hide_password=False)

    def _open(self) -> RDBStorage:
        from sqlalchemy.event import listens_for
        from sqlalchemy.exc import IntegrityError, ProgrammingError

        connect = {} if self.shared else {"timeout": _BUSY_SECONDS}
        for attempt in range(_ATTEMPTS):
            try:
                storage = RDBStorage(
                    self._url,
                    engine_kwargs={"pool_pre_ping": True, "connect_args": connect},
                    heartbeat_interval=self._heartbeat_seconds if self.shared else None,
                    grace_period=self.silent_seconds if self.shared else None,
                    heartbeat_stale_trial_callback=_try_again,
                )
                if not self.shared:
                    listens_for(storage.engine, "connect")(_write_ahead)
                    storage.engine.dispose()
                return storage
            except (IntegrityError, ProgrammingError, optuna.exceptions.StorageInternalError):
                # Another process may be making the same tables.
                if not self.shared or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.2 * 2**attempt)
        raise AssertionError

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Says in a line what the database says.

        Raises:
            TuneError: in its place.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            found: BaseException = error
            while isinstance(found.__cause__, Exception):
                found = found.__cause__
            said = " ".join(str(found).split()) or type(found).__name__
            for secret in self._secrets:
                said = said.replace(secret, "***")
            hint = "see that it runs" if self.shared else "remove it to begin the studies anew"
            raise TuneError(
                f"{self.place}: {said[:300]}; {hint}, then give the command again"
            ) from None

    def copy(self, name: str, study: optuna.Study) -> None:
        """Writes a study that is done under a name, in the place of one that has it already."""
        with self.errors(), quiet_optuna():
            if name in optuna.get_all_study_names(self.optuna):
                optuna.delete_study(study_name=name, storage=self.optuna)
            own = optuna.create_study(
                storage=self.optuna, study_name=name, directions=study.directions
            )
            own.add_trials(study.get_trials(deepcopy=False))

    def close(self) -> None:
        """Gives its connections back."""
        self.optuna.remove_session()
        self.optuna.engine.dispose()


def _try_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Has a trial that was given up waiting for another process, of which it is not yet."""
    trial.user_attrs.pop(WORKER, None)
    RetryHeartbeatStaleTrialCallback(_RETRIES)(study, trial)


def _write_ahead(connection: Any, _: object) -> None:
    """Has a file's writes go through a log: one who reads, such as a dashboard, stops none of them.

    A kill loses nothing that was written, a power cut the last of it at most.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


class Heartbeats:
    """Says on a shared storage that the trials of this process live, as long as it does.

    Args:
        storage: where to.
    """

    def __init__(self, storage: StudyStorage) -> None:
        self._storage = storage
        self._trials: set[int] = set()
        self._lock = Lock()
        self._ended = Event()
        self._thread = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeats:
        if self._storage.shared:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._storage.shared:
            self._thread.join()

    def begin(self, trial_id: int) -> None:
        """From now on this trial lives."""
        if self._storage.shared:
            self._storage.optuna.record_heartbeat(trial_id)
            with self._lock:
                self._trials.add(trial_id)

    def end(self, trial_id: int) -> None:
        """This trial is done."""
        with self._lock:
            self._trials.discard(trial_id)

    def _beat(self) -> None:
        while not self._ended.wait(self._storage._heartbeat_seconds):
            with self._lock:
                trials = sorted(self._trials)
            for trial_id in trials:
                try:
                    with self._storage.errors():
                        self._storage.optuna.record_heartbeat(trial_id)
                except TuneError:
                    # Whoever asks for the next trial meets the same, and says it.
                    break
