"""What all users of Optuna share."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import optuna

# Is given what a study searched, such as "weights", and the study, which is in memory.
Keep = Callable[[str, optuna.Study], None]
_keep: ContextVar[Keep | None] = ContextVar("keep", default=None)


@contextmanager
def studies_kept(keep: Keep) -> Iterator[None]:
    """Has the studies of searches handed to `keep`, each when it is done.

    A search is the same whether its study is kept or not: it is over by then.
    """
    token = _keep.set(keep)
    try:
        yield
    finally:
        _keep.reset(token)


def hand_over(what: str, study: optuna.Study) -> None:
    """Hands a search's study to whoever wants to keep it."""
    keep = _keep.get()
    if keep is not None:
        keep(what, study)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna logs every trial and warns of what it calls experimental; the result says it all."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Trials that are asked for and told have their heartbeats from who asks.
            warnings.filterwarnings("ignore", "Heartbeat of storage")
            yield
    finally:
        optuna.logging.set_verbosity(level)
