"""What `--help`, `--version` and a wrong Python are answered with, before anything is imported.

So it has to do with what comes with Python, of any version.
"""

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from stages.commands.described import Described, experiments, own_stages

_ROOT = Path(__file__).resolve().parent.parent
_OLDEST = (3, 11)
# One of each half of the installation: what reads the command line, and what computes.
_PACKAGES = ("hydra", "torch")
USAGE = "usage: python orchestrate.py stage=STAGE [experiment=NAME] [KEY=VALUE ...]"
_BEGIN = """\
begin with
  python orchestrate.py stage=all experiment=smoke
  python orchestrate.py stage=all experiment=demo"""
KEYS = {
    "data.root": "folder of the shards: data.root=/path/to/yt8m",
    "budget": "bytes of the bundle: 300MB; stage=pack budget=[1MB,2MB] makes one for each",
    "limit.milliseconds": "what a clip may take on this machine, one thread; limit.batch=1 or 64",
    "run": "name of the run, a folder below `outputs`",
    "outputs": "folder of runs, or a URL: outputs=s3://bucket/runs",
    "members": "members.NAME.config.KEY=VALUE changes a model, ~members.NAME takes it out",
    "train": "train.epochs=3 for all members, members.NAME.train.epochs=3 for one",
    "folds": "folds=5 chooses everything on clips that the models did not see",
    "copies": "with folds, how many models of each are packed at most",
    "jobs": "processes at once; 0: as many as keep all cores busy",
    "time_limit": "2h, 90m: trainings then take fewer steps",
    "device": "auto, cpu or cuda",
    "seed": "another one, other models",
    "bundle": "the file that predict, evaluate and export read, if not the run's own",
    "split": "train, search, report or test: what they read",
    "format": "kaggle or top10, of stage=predict; output=/path/to/file",
    "extensions": "[/path/to/mine.py]: families, precisions, stages, formats of your own",
}
_OPTIONS = {
    "-m": "--multirun: a run for each value of KEY=A,B",
    "-q, -v": "--quiet: results and warnings; --verbose: details",
    "--cfg job": "prints the configuration, and runs nothing",
    "--version": "prints the version",
}


def answer_at_once(arguments: Sequence[str]) -> None:
    """Ends the process where the arguments ask for a text, or this Python cannot do the rest."""
    if "--version" in arguments:
        _end(f"onegig {version()}", 0)
    if "--help" in arguments or "-h" in arguments:
        _end(help_text(), 0)
    if sys.version_info < _OLDEST:
        running = ".".join(map(str, sys.version_info[:2]))
        _end(f"onegig: Python 3.11 to 3.13 is needed, this one is {running}; {_instead()}", 2)
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        _end(f"onegig: {missing[0]} is not installed for {sys.executable}; {_instead()}", 2)


def _end(text: str, status: int) -> None:
    print(text, file=sys.stderr if status else sys.stdout)
    sys.exit(status)


def _instead() -> str:
    """What to type where this Python lacks the packages."""
    python = Path(".venv", "bin", "python")
    made = (_ROOT / python).exists()
    return f"type {python} orchestrate.py ..." + ("" if made else ", after make .venv/.installed")


def version() -> str:
    """The checkout's, as `pyproject.toml` has it."""
    import tomllib

    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def help_text() -> str:
    """Stages, experiments, and the keys that matter, a line each."""
    keys = [Described(name, text) for name, text in KEYS.items()]
    options = [Described(name, text) for name, text in _OPTIONS.items()]
    return "\n\n".join(
        (
            USAGE,
            listing("stages", own_stages()),
            listing("experiments, or experiment=/path/to/mine.yaml", experiments()),
            listing("keys that matter; --cfg job shows all", keys),
            listing("options", options),
            _BEGIN,
        )
    )


def first_screen() -> str:
    """What there is, and what to type first."""
    parts = (listing("stages", own_stages()), listing("experiments", experiments()), _BEGIN)
    return "\n\n".join((USAGE, *parts)) + "\n\n--help shows the keys that matter"


def listing(title: str, rows: Iterable[Described]) -> str:
    """A line for each, below a title."""
    rows = list(rows)
    width = max(len(row.name) for row in rows) + 2
    return "\n".join((title, *(f"  {row.name:<{width}}{row.help}".rstrip() for row in rows)))
