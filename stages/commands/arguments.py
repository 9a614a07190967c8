"""The words of a command line, looked at before Hydra takes them for overrides."""

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from common.errors import ConfigError
from common.problems import did_you_mean, quoted
from stages.commands.described import experiments, own_stages
from stages.commands.refusals import without_password

# Of Hydra's options those that are of use here; some want a word behind them.
_OPTIONS = {"-m", "--multirun", "-c", "--cfg", "--resolve"}
_CFG = ("job", "hydra", "all")
_GROUPS = ("experiment", "data", "train", "executor", "tracking")
_OTHER_OPTIONS = ("-q", "--quiet", "-v", "--verbose", "--help", "--version")


def check_words(arguments: Sequence[str]) -> None:
    """Refuses what is neither an option nor `KEY=VALUE`, `+KEY=VALUE` or `~KEY`.

    Raises:
        ConfigError: it says what may have been meant.
    """
    before = ""
    for position, word in enumerate(arguments):
        after = arguments[position + 1] if position + 1 < len(arguments) else ""
        if before in ("-c", "--cfg"):
            if word not in _CFG:
                raise ConfigError(f"{before} {word}: must be one of {', '.join(_CFG)}")
        elif word.startswith("-"):
            _check_option(word, after)
        elif word.startswith("="):
            raise ConfigError(f"{quoted(word)} has no key; write KEY=VALUE without spaces")
        elif "=" not in word and not word.startswith("~"):
            value = next((own.lstrip("=") for own in arguments[position + 1 :] if own != "="), "")
            raise ConfigError(f"{quoted(word)} is no KEY=VALUE; {_meant(word, value)}")
        before = word


def check_overrides(arguments: Sequence[str]) -> None:
    """Refuses overrides that Hydra cannot read, or would read as what nobody means.

    Args:
        arguments: words that `check_words` lets pass; files of experiments have names.

    Raises:
        ConfigError: it quotes the first such override.
    """
    parser, sweeps = OverridesParser.create(), {"-m", "--multirun"} & set(arguments)
    for word in arguments:
        if word.startswith("-") or ("=" not in word and not word.startswith("~")):
            continue
        try:
            override = parser.parse_override(word)
        except HydraException as error:
            raise ConfigError(f"{_shown(word)} cannot be read: {_cause(word, error)}") from None
        if override.is_sweep_override() and not sweeps and override.key_or_group == "stage":
            raise ConfigError(f"{_shown(word)}: one stage at a time; stage=all does all in order")
        if override.is_sweep_override() and not sweeps:
            raise ConfigError(
                f"{_shown(word)} has several values: a list is written in brackets, "
                f"{override.key_or_group}=[A,B], and -m makes a run for each value"
            )
        _check_group(word, override)


def _shown(word: str) -> str:
    return quoted(without_password(word))


def _cause(word: str, error: HydraException) -> str:
    if "=~" in word:
        return "~ stands for no folder here; write $HOME"
    if any(word.count(pair[0]) != word.count(pair[1]) for pair in ("{}", "[]", "()")):
        return "a bracket is not closed; put the whole in quotes, 'KEY={A: [1, 2]}'"
    lines = str(error).splitlines() or [""]
    return f"{without_password(lines[0])}; put a text in two pairs of quotes, 'KEY=\"a: b\"'"


def _check_group(word: str, override: Override) -> None:
    """Refuses `train=5` and `data={root: ...}`: they name files of conf/."""
    group = override.key_or_group
    is_name = override.is_delete() or override.is_sweep_override()
    if group not in _GROUPS or is_name:
        return
    value = override.value()
    if value == "" or not isinstance(value, str | None):
        keys = "" if group == "experiment" else f"; keys are set one by one, {group}.KEY=VALUE"
        raise ConfigError(f"{_shown(word)}: {group}= takes a name of conf/{group}{keys}")


def _check_option(word: str, after: str) -> None:
    if word in ("-c", "--cfg") and not after:
        raise ConfigError(f"{word}: must be followed by one of {', '.join(_CFG)}")
    if word in _OPTIONS or word in [f"--cfg={what}" for what in _CFG]:
        return
    key, known = word.lstrip("-"), sorted((*_OPTIONS, *_OTHER_OPTIONS))
    meant = did_you_mean(word, known) or f"there are {', '.join(known)}"
    if "=" in key:
        meant = f"keys have no dashes: write {key}"
    elif after and not after.startswith("-") and "=" not in after:
        meant = f"keys have no dashes: write {key}={after}"
    raise ConfigError(f"unknown option {quoted(word)}; {meant}")


def _meant(word: str, after: str) -> str:
    """What somebody may want who wrote a word without a value, and another one behind it."""
    for key, known in (("stage", own_stages()), ("experiment", experiments())):
        names = {own.name for own in known}
        if word == key and after in names:
            return f"did you mean {key}={after}?"
        if word in names:
            return f"did you mean {key}={word}?"
    if word.endswith((".yaml", ".yml")):
        return f"did you mean experiment={word}?"
    if after and "=" not in after and not after.startswith("-"):
        return f"did you mean {word}={after}?"
    return f"give it a value, {word}=..., without spaces about the ="
