"""What Hydra refuses, in one line that says what to write instead."""

import re
from collections.abc import Sequence
from pathlib import PurePath

from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from common.problems import did_you_mean
from stages.commands.described import experiments
from stages.config import config_from

_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")
# Hydra ends with where it looked, with how to add a key that does not exist, and with its types.
_NOISE = ("Config search path:", "To append to your config", "See https:", "object_type=")


def one_line(error: BaseException) -> str:
    """An error and what caused it, on one line."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _about_missing(PurePath(error.missing_cfg_file), error.options or ())
    text = str(error)
    for noise in _NOISE:
        text = text.split(noise)[0]
    if error.__cause__ is not None:
        text += ": " + str(error.__cause__).splitlines()[0]
    return without_password(" ".join(text.split()))


def without_password(text: str) -> str:
    """The same without the password of a storage's URL, as it may stand in what cannot be read."""
    return _PASSWORD.sub(r"\1***@", text)


def check_key(refused: ConfigCompositionException) -> None:
    """Says which keys there are, where it was an unknown one that Hydra refused.

    Raises:
        ConfigError: it was.
    """
    if isinstance(refused.__cause__, ConfigAttributeError | ConfigKeyError):
        # The codec says so.
        config_from({str(refused.__cause__.full_key): None})


def _about_missing(file: PurePath, options: Sequence[str]) -> str:
    """That a group of conf/ has no file of a name."""
    group, name = file.parent.as_posix(), file.name
    known = [own.name for own in experiments()] if group == "experiment" else list(options)
    text = f"{group}: there is no conf/{file}.yaml; there are {', '.join(known)}"
    own = "; one of your own is named by its path, with its ending .yaml"
    meant = did_you_mean(name, known)
    return text + (f"; {meant}" if meant else own if group == "experiment" else "")
