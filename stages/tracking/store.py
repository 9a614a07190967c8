"""MLflow's runs, found again by their tags, so that nothing is logged twice."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from common.errors import ConfigError
from common.files import sha256_file
from common.problems import one_line

_EXPERIMENT = "onegig"
_SQLITE = "sqlite:///"
_PARENT = "mlflow.parentRunId"
_CREDENTIALS = re.compile(r"(://)[^/@\s]*@")
# What MLflow takes in one request, how long a value may be, and which characters a name has.
_METRICS_AT_ONCE, _PARAMETERS_AT_ONCE, _LONGEST = 1000, 100, 6000
_NO_NAME = re.compile(r"[^\w .:/-]")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Figure:
    """A number by name, after so many steps."""

    name: str
    value: float
    step: int = 0


class MlflowStore:
    """An experiment of MLflow, by default `onegig`; MLFLOW_EXPERIMENT_NAME names another.

    Args:
        uri: of the server or database; None: that of MLFLOW_TRACKING_URI, or one in `folder`.
        folder: the run's.

    Raises:
        ConfigError: MLflow is not installed, or cannot be reached there.
    """

    def __init__(self, uri: str | None, folder: Path) -> None:
        # Nobody who asks for a log of a run asks for MLflow's own statistics of its users.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ConfigError(
                "tracking: MLflow is not installed; pip install -e '.[mlflow]' in the checkout"
            ) from None
        # A new database tells of every change that its layout ever had.
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
        uri = uri or f"{_SQLITE}{folder.resolve() / 'mlflow.db'}"
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(name)
            self._experiment: str = (
                found.experiment_id if found else self._client.create_experiment(name, _place(uri))
            )
        except Exception as error:
            raise ConfigError(f"tracking.uri: {shown(uri)}: {shown(one_line(error))}") from None

    def find(self, tags: Mapping[str, str]) -> tuple[str, str] | None:
        """The identity and the status of the run with these tags; None where there is none."""
        conditions = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self._client.search_runs([self._experiment], conditions, max_results=1)
        return (found[0].info.run_id, found[0].info.status) if found else None

    def create(
        self,
        name: str,
        tags: Mapping[str, str],
        parent: str | None = None,
        begun: int | None = None,
    ) -> str:
        """Creates a run with its tags at once, and returns its identity.

        Args:
            name: that MLflow shows.
            tags: by which it is found again.
            parent: the run within which it is.
            begun: when, in milliseconds since 1970; None: now.
        """
        within = {_PARENT: parent} if parent else {}
        made = self._client.create_run(
            self._experiment, start_time=begun, tags={**tags, **within}, run_name=name
        )
        return str(made.info.run_id)

    def delete(self, run: str) -> None:
        """Takes a run away that was not logged to its end."""
        self._client.delete_run(run)

    def set_status(self, run: str, status: str, ended: int | None = None) -> None:
        """RUNNING, FINISHED, FAILED or KILLED; the end in milliseconds since 1970, None: now."""
        if status == "RUNNING":
            self._client.update_run(run, status)
        else:
            self._client.set_terminated(run, status, ended)

    def log_parameters(self, run: str, values: Mapping[str, Any]) -> None:
        """Logs plain values, mappings by their dotted keys; the same once more is no error."""
        from mlflow.entities import Param

        params = [Param(_name(name), text[:_LONGEST]) for name, text in _leaves("", values)]
        for some in _in_pieces(params, _PARAMETERS_AT_ONCE):
            self._client.log_batch(run, params=some)

    def log_figures(self, run: str, figures: Sequence[Figure], when: int) -> None:
        """Logs numbers, at that time in milliseconds since 1970; the same once more is no other."""
        from mlflow.entities import Metric

        metrics = [Metric(_name(own.name), own.value, when, own.step) for own in figures]
        for some in _in_pieces(metrics, _METRICS_AT_ONCE):
            self._client.log_batch(run, metrics=some)

    def log_file(self, run: str, path: Path) -> None:
        """Logs a file, unless it was logged as it is."""
        tag, digest = f"onegig.sha256.{path.name}", sha256_file(path)
        if self._client.get_run(run).data.tags.get(tag) != digest:
            self._client.log_artifact(run, str(path))
            self._client.set_tag(run, tag, digest)


def shown(text: str) -> str:
    """A text without the credentials that a URL in it may have.

    Example:
        >>> shown("no answer from https://user:secret@host/")
        'no answer from https://***@host/'
    """
    return _CREDENTIALS.sub(r"\1***@", text)


def _place(uri: str) -> str | None:
    """Where files go: beside a database that is a file; elsewhere MLflow knows."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE)).resolve().with_name("mlruns").as_uri()


def _name(text: str) -> str:
    return _NO_NAME.sub("_", text)


def _leaves(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, own in value.items():
            yield from _leaves(f"{place}.{key}" if place else key, own)
    else:
        yield place, str(value)


def _in_pieces(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
