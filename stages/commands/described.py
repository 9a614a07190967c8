"""What there is to run, by what its files say of it: importing stages takes seconds."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.errors import ConfigError
from common.registry import about_unknown

_ROOM = Path(__file__).resolve().parent.parent
_CONF = _ROOM.parent / "conf"
_IN_SHORT = "# In short: "


@dataclass(frozen=True)
class Described:
    """A stage or an experiment: its name, and what it does in a line."""

    name: str
    help: str


@cache
def own_stages() -> tuple[Described, ...]:
    """The project's own stages, in the order of `builtin`, as their decorators describe them."""
    names = [
        alias.name
        for node in _tree("builtin").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return tuple(stage for name in names for stage in _stages_in(_tree(name)))


def _tree(module: str) -> ast.Module:
    return ast.parse((_ROOM / f"{module}.py").read_bytes())


def _stages_in(tree: ast.Module) -> Iterator[Described]:
    decorators = (
        d for node in tree.body if isinstance(node, ast.FunctionDef) for d in node.decorator_list
    )
    for call in decorators:
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "stage":
            said = {own.arg: own.value for own in call.keywords}
            yield Described(ast.literal_eval(call.args[0]), ast.literal_eval(said["help"]))


def check_stage(name: str) -> None:
    """Refuses what is none of the project's own stages.

    Raises:
        ConfigError: as the registry of stages does.
    """
    names = [stage.name for stage in own_stages()]
    if name not in names:
        raise ConfigError(about_unknown("stage", name, names))


@cache
def experiments() -> tuple[Described, ...]:
    """Those of conf/experiment, with what each says of itself `In short`."""
    return tuple(
        Described(path.stem, _in_short(path)) for path in sorted(_CONF.glob("experiment/*.yaml"))
    )


def is_experiment(name: str) -> bool:
    """Whether it is a name of conf/experiment, or a YAML file."""
    return name in {own.name for own in experiments()} or Path(name).is_file()


def _in_short(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((own.removeprefix(_IN_SHORT) for own in lines if own.startswith(_IN_SHORT)), "")
