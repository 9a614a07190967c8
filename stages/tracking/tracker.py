"""What of a run is logged while it is worked on, by the process that the command is.

A run of MLflow for each configuration, with parameters, scores and files; within it one for each
training, as soon as that is done. Both are found again by their tags: what a command that was
killed has logged is not logged again by the next.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.codec import from_plain
from common.errors import UserError
from common.files import read_json, write_json
from common.messages import warn
from common.problems import one_line
from runs import content_key
from runs.checksums import read_checked_json
from runs.marker import DONE_NAME, Marker
from runs.store import TASK_NAME
from stages.config import Config
from stages.job_files import JOB_NAME
from stages.packing.card import CARD_NAME
from stages.packing.receipt import RECEIPT_NAME, read_receipt
from stages.summaries import TrainingSummary
from stages.tracking.store import Figure, MlflowStore, shown
from training.log import METRICS_NAME, logged

IDENTITY_NAME = "tracking.json"
_RUN, _CONFIGURATION = "onegig.run", "onegig.configuration"
_TRAINING, _DIGEST = "onegig.training", "onegig.digest"
# Keys that change no result: commands that differ in these work on the same run.
_WITHOUT_RESULT = {
    "stage",
    "outputs",
    "local_outputs",
    "executor",
    "jobs",
    "parts",
    "on_code_change",
    "silent_minutes",
    "verbosity",
    "bundle",
    "split",
    "format",
    "output",
    "tracking",
}
_BUNDLE, _ENSEMBLE, _CHOICE_NAME = "bundle", "ensemble", "ensemble.json"
_SCORES = ("gap", "map_at_10", "map")


class Tracker:
    """Logs what a command makes, or finds made; with `tracking.to=null` nothing.

    A store that fails on the way is said once, and the run goes on without it.

    Args:
        config: of the command.
        root: the run's folder.
    """

    def __init__(self, config: Config, root: Path) -> None:
        self._config, self._root = config, root
        self._store: MlflowStore | None = None
        self._run = self._parent = ""
        self._done: set[str] = set()

    @contextmanager
    def session(self) -> Iterator[None]:
        """Logs what is done within; to be entered while the run is held.

        Raises:
            ConfigError: MLflow is not installed, or cannot be reached.
        """
        if self._config.tracking.to is None:
            yield
            return
        self._store = MlflowStore(self._config.tracking.uri, self._root)
        self._try(self._begin)
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            self._try(self._log_results)
            self._try(lambda store: store.set_status(self._parent, status))
            self._store = None

    def done(self, name: str) -> None:
        """Takes note of a task of the run that is done by this configuration; logs a training."""
        if self._store is not None and name not in self._done:
            self._done.add(name)
            self._try(lambda store: self._log_training(store, name))

    def _try(self, log: Callable[[MlflowStore], None]) -> None:
        if self._store is None:
            return
        try:
            log(self._store)
        # Whatever a database, a server or MLflow raises: no training is lost for it.
        except Exception as error:
            self._store = None
            warn(
                f"tracking: {shown(one_line(error))}; the run goes on without, and the "
                "next command logs what is missing"
            )

    def _begin(self, store: MlflowStore) -> None:
        plain = self._config.shown()
        parameters = {key: value for key, value in plain.items() if key not in _WITHOUT_RESULT}
        self._run = _identity(self._root / IDENTITY_NAME)
        tags = {_RUN: self._run, _CONFIGURATION: content_key(parameters)}
        found = store.find(tags)
        self._parent = found[0] if found else store.create(self._config.run, tags)
        store.set_status(self._parent, "RUNNING")
        store.log_parameters(self._parent, parameters)

    def _log_training(self, store: MlflowStore, name: str) -> None:
        folder = self._root / name
        marker = Marker.read(folder)
        if marker is None or not (folder / JOB_NAME).exists():
            return
        job = read_checked_json(folder / JOB_NAME)
        if job["kind"] != "training":
            return
        tags = {_RUN: self._run, _TRAINING: name, _DIGEST: marker.digest}
        found = store.find(tags)
        if found and found[1] == "FINISHED":
            return
        if found:
            store.delete(found[0])
        ended = _milliseconds(folder / DONE_NAME)
        run = store.create(name, tags, self._parent, _milliseconds(folder / TASK_NAME))
        setting = {key: job["setting"][key] for key in ("family", "config")}
        own = {key: job[key] for key in ("train", "seed")}
        store.log_parameters(run, setting | own)
        summary = from_plain(TrainingSummary, marker.summary, f"{folder / DONE_NAME}: summary")
        store.log_figures(run, [*_steps(folder / METRICS_NAME), *_final(summary)], ended)
        store.set_status(run, "FINISHED", ended)

    def _log_results(self, store: MlflowStore) -> None:
        """The scores and files of what this command asked for, as they are now."""
        if _ENSEMBLE in self._done:
            path = self._root / _ENSEMBLE / _CHOICE_NAME
            found = read_json(path)
            scores = {f"ensemble/{split}": found[split] for split in ("search", "report")}
            store.log_figures(self._parent, list(_numbers("", scores)), _milliseconds(path))
        names = []
        if _BUNDLE in self._done:
            receipt = self._root / _BUNDLE / RECEIPT_NAME
            store.log_figures(self._parent, _packed(receipt), _milliseconds(receipt))
            names += [f"{_BUNDLE}/{RECEIPT_NAME}", f"{_BUNDLE}/{CARD_NAME}", "curve.png"]
        if self._config.stage in ("all", "report"):
            names.append("report.html")
        for path in (self._root / name for name in names):
            if path.exists():
                store.log_file(self._parent, path)


def _identity(path: Path) -> str:
    """What tells the run from all others, wherever its folder is moved."""
    try:
        return str(read_json(path)["run"])
    except (UserError, KeyError, TypeError):
        identity = secrets.token_hex(16)
        write_json(path, {"run": identity})
        return identity


def _milliseconds(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def _steps(path: Path) -> Iterator[Figure]:
    """What a training logged on its way; one that takes no steps logged nothing."""
    for line in logged(path) if path.exists() else ():
        step = int(line.pop("step"))
        yield from _numbers("", line, step)


def _numbers(place: str, values: Mapping[str, Any], step: int = 0) -> Iterator[Figure]:
    """The numbers in a mapping, by their keys with slashes between."""
    for key, value in values.items():
        name = f"{place}/{key}" if place else key
        if isinstance(value, Mapping):
            yield from _numbers(name, value, step)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield Figure(name, value, step)


def _final(summary: TrainingSummary) -> Iterator[Figure]:
    """Scores of the weights that were kept, and what the training took."""
    scores = {
        "search": {"gap": getattr(summary, f"gap_search_{summary.kept}")},
        "report": {
            "gap": getattr(summary, f"gap_report_{summary.kept}"),
            **{name: getattr(summary, f"{name}_report") for name in _SCORES[1:]},
            **{f"{name}_error": getattr(summary, f"{name}_error_report") for name in _SCORES},
        },
    }
    cost = ("parameters", "bytes", "training_seconds", "peak_memory")
    yield from _numbers("final", {**scores, **{name: getattr(summary, name) for name in cost}})


def _packed(path: Path) -> list[Figure]:
    """Scores of a bundle, with their errors, and its bytes."""
    receipt = read_receipt(path)
    scored = [f"{name}{ending}" for name in _SCORES for ending in ("", "_error")]
    scored += ["gap_float", "uniform8_gap", "uniform8_gain_error", "flat_gap", "flat_gain_error"]
    found = {
        "report": {name: getattr(receipt, name) for name in scored},
        "search": {"gap": receipt.search_gap, "gap_error": receipt.search_gap_error},
        "bytes": receipt.bytes,
        "budget_bytes": receipt.budget_bytes,
    }
    return list(_numbers("", found))
