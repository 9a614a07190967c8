"""The words of a command line, looked at before Hydra takes them for overrides."""

from collections.abc import Sequence

from common.errors import ConfigError
from common.problems import did_you_mean, quoted
from stages.described import experiments, own_stages

# Of Hydra's options those that are of use here; some want a word behind them.
_OPTIONS = {"-m", "--multirun", "-c", "--cfg", "--resolve"}
_CFG = ("job", "hydra", "all")
_OTHER_OPTIONS = ("-q", "--quiet", "-v", "--verbose", "--help", "--version")


def check_arguments(arguments: Sequence[str]) -> None:
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
        elif "=" not in word.lstrip("=") and not word.startswith("~"):
            raise ConfigError(f"{quoted(word)} is no KEY=VALUE; {_meant(word, after)}")
        elif word.startswith("="):
            raise ConfigError(f"{quoted(word)} has no key; write KEY=VALUE without spaces")
        before = word


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
    """What somebody may want who wrote a word without a value."""
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
