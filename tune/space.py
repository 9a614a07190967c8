"""The space of a study: what is tried for which of a member's keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MinLen
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from common.codec import from_plain, read_yaml, to_plain
from common.errors import UserError
from tune.errors import TuneError

FAMILY_SPACES = Path(__file__).resolve().parent.parent / "conf" / "tune"
# A mapping with one of these keys says what is tried; any other one is on the way to such.
_SAID_BY = ("choices", "low", "high")
_PARTS = ("config", "train")


@dataclass(frozen=True)
class Choices:
    """One of several values, in no order."""

    choices: Annotated[tuple[Any, ...], MinLen(1)]

    def bounds(self) -> Iterator[tuple[str, Any]]:
        """What a family has to accept, each with what it is called."""
        return ((f"choice {label(value)}", value) for value in self.choices)

    def distribution(self) -> BaseDistribution:
        """As Optuna has it; a list is its JSON text there, which a storage can hold."""
        return CategoricalDistribution([label(value) for value in self.choices])

    def value(self, suggested: Any) -> Any:
        """What a member is given for a suggestion."""
        return next(value for value in self.choices if label(value) == suggested)


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`: whole where both are, else any.

    Attributes:
        log: whether small ones are as likely as large ones, digit by digit.
        step: of what may come, from `low` on.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise TuneError(f"high is {self.high:g}, below low, which is {self.low:g}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise TuneError("log needs low above 0, and no step")
        if self.step is not None and (
            self.step <= 0 or (self._whole and not isinstance(self.step, int))
        ):
            raise TuneError("step must be above 0, and whole where low and high are")

    @property
    def _whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def bounds(self) -> Iterator[tuple[str, Any]]:
        """As in `Choices`."""
        yield f"low {self.low:g}", self.low
        yield f"high {self.high:g}", self.high

    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        if self._whole:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def value(self, suggested: Any) -> Any:
        """As in `Choices`."""
        return suggested


Tried = Choices | Range
# By a member's key, such as `config.hidden` or `train.learning_rate`.
Space = Mapping[str, Tried]


def label(value: Any) -> Any:
    """A choice as a storage, a table and a picture have it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(to_plain(value))


def member_spaces(given: Mapping[str, Any]) -> dict[str, dict[str, Tried | None]]:
    """What `tune.space` says, by member and by the member's key; None takes a key out.

    Args:
        given: keys such as `members.deep.config.hidden`, nested or with dots.

    Raises:
        TuneError: a key is none of a member, or a value says nothing to try.
    """
    found: dict[str, dict[str, Tried | None]] = {}
    for key, value in _flat(given):
        where = f"tune.space.{key}"
        root, _, rest = key.partition(".")
        # A member's name may have dots, `config` and `train` stand behind it.
        cuts = [rest.find(f".{part}.") for part in _PARTS]
        cut = min((place for place in cuts if place > 0), default=0)
        if root != "members" or not cut:
            raise TuneError(f"{where}: give members.NAME.config.KEY or members.NAME.train.KEY")
        own = found.setdefault(rest[:cut], {})
        own[rest[cut + 1 :]] = None if value is None else _tried(value, where)
    return found


def family_space(family: str) -> dict[str, Tried]:
    """The space that the project has for a family; empty for one of a user's own file.

    Raises:
        TuneError: the file is not as it has to be.
    """
    path = FAMILY_SPACES / f"{family}.yaml"
    if not path.is_file():
        return {}
    values = read_yaml(path, TuneError)
    return {key: _tried(value, f"{path}: {key}") for key, value in values.items()}


def laid_over(base: Space, changes: Mapping[str, Tried | None]) -> dict[str, Tried]:
    """A family's space with a member's own keys in place of, or beside, the family's."""
    return {key: tried for key, tried in {**base, **changes}.items() if tried is not None}


def check_space(space: Space, where: str, accept: Callable[[Mapping[str, Any]], object]) -> None:
    """Tries every bound of every key on what refuses what it cannot take.

    Args:
        space: of a member.
        where: how its keys are called, for messages.
        accept: is given a value by key; all others of the member stay.

    Raises:
        TuneError: a key does not exist, or a bound is refused; the first one is named.
    """
    for key, tried in space.items():
        for name, value in tried.bounds():
            try:
                accept({key: value})
            except UserError as refused:
                raise TuneError(f"{where}.{key}: {name}: {refused}") from None


def with_values(
    config: Mapping[str, Any], train: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A member's `config` and `train` with other values for some of their keys."""
    parts = {"config": config, "train": train}
    for key, value in values.items():
        parts = _with_value(parts, key.split("."), value)
    return dict(parts["config"]), dict(parts["train"])


def value_at(parts: Mapping[str, Any], key: str) -> Any:
    """What stands under a member's key, None where nothing does."""
    found: Any = parts
    for step in key.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _with_value(of: Mapping[str, Any], steps: list[str], value: Any) -> dict[str, Any]:
    first, *rest = steps
    inner = of.get(first)
    below = inner if isinstance(inner, Mapping) else {}
    return {**of, first: _with_value(below, rest, value) if rest else value}


def _flat(given: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        path = f"{before}{key}"
        if isinstance(value, Mapping) and value and not any(name in value for name in _SAID_BY):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def _tried(value: Any, where: str) -> Tried:
    if not isinstance(value, Mapping):
        raise TuneError(f"{where}: give {{choices: [...]}} or {{low: ..., high: ...}}")
    if "choices" in value:
        return from_plain(Choices, value, where, TuneError)
    return from_plain(Range, value, where, TuneError)
