"""Bundles made to cost memory or time before they are refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.bundles import Parts
from benchmarks.faults.children import in_child
from benchmarks.faults.promise import Trial, promise
from benchmarks.faults.samples import TASKS, write_small_bundle
from families import config_from_dict, config_to_dict, list_families
from quantize import Bundle
from tests.faults.hostile_bundles import MAKERS

_MIB = 2**20
_MOST_MEMORY, _MOST_SECONDS = 200 * _MIB, 1.0
_LONGEST_MESSAGE = 1000
# Where a count is expected; at some of them a bundle is sound.
_CLAIMS = (65_537, 10**6, 3 * 10**8, 2**31, 10**12, 2**63, 10**30, 1e300, -1, 0)
Maker = Callable[[], bytes]


@promise(
    "hostile",
    f"a bundle of up to 16 MB is loaded or refused within {_MOST_MEMORY // _MIB} MiB and "
    f"{_MOST_SECONDS:.0f} s, with one short line",
    how="crafted files, and every number of every family's configuration and of a schema made "
    "huge, checksums fitting; memory and processor time of a child",
    cases=800,
)
def load_hostile_bundles(trial: Trial) -> None:
    """Every crafted file is refused, every other one loaded or refused, all within the bounds."""
    base = write_small_bundle(trial.folder / "base.safetensors", schema=TASKS)
    # What is imported and built once.
    Bundle.load(base)
    path = trial.folder / "hostile.safetensors"
    worst_memory, worst_seconds = 0, 0.0
    for name, make, kinds in _files(trial, base.read_bytes()):
        path.write_bytes(make())
        ended = in_child(lambda: len(Bundle.load(path).members))
        said = str(ended.value).removeprefix(str(path))
        fine = ended.kind in kinds and len(said) <= _LONGEST_MESSAGE and said.isprintable()
        within = ended.peak <= _MOST_MEMORY and ended.seconds <= _MOST_SECONDS
        cost = f"{ended.peak / _MIB:.0f} MiB, {ended.seconds:.2f} s"
        what = f"{name} ({path.stat().st_size:,} bytes)"
        trial.case(fine and within, f"{what}: {cost}, {ended.kind}: {said[:200]}")
        worst_memory = max(worst_memory, ended.peak)
        worst_seconds = max(worst_seconds, ended.seconds)
    trial.figures.append(f"at worst {worst_memory / _MIB:.0f} MiB and {worst_seconds:.2f} s")


def _files(trial: Trial, base: bytes) -> Iterator[tuple[str, Maker, tuple[str, ...]]]:
    """What each is called, how it is made, and how loading it may end."""
    for name, make in MAKERS.items():
        yield name, make, ("refused",)
    claims = list(_claims(trial.folder, Parts.of(base)))
    order = trial.random.permutation(len(claims)).tolist()
    for index in order[: max(1, trial.wanted - len(MAKERS))]:
        yield *claims[index], ("refused", "returned")


def _claims(folder: Path, base: Parts) -> Iterator[tuple[str, Maker]]:
    """Each number in a schema and in each family's configuration, made huge."""
    yield from _claimed("schema", base, ("schema",))
    for family in list_families():
        path = write_small_bundle(folder / "one", {"only": (family, {})}, schema=TASKS)
        parts = Parts.of(path.read_bytes())
        config = config_to_dict(config_from_dict(family, {}))
        parts.manifest["members"][0]["config"] = config
        yield from _claimed(family, parts, ("members", 0, "config"))


def _claimed(name: str, parts: Parts, place: tuple[Any, ...]) -> Iterator[tuple[str, Maker]]:
    whole = parts.manifest
    for key in place:
        whole = whole[key]
    for inner in _numbers(whole):
        for value in _CLAIMS:
            what = f"{name} {'.'.join(map(str, inner))}={value:g}"
            yield what, _claim(parts, (*place, *inner), value)


def _claim(parts: Parts, place: tuple[Any, ...], value: float) -> Maker:
    def make() -> bytes:
        manifest = json.loads(json.dumps(parts.manifest))
        spot = manifest
        for key in place[:-1]:
            spot = spot[key]
        spot[place[-1]] = value
        return Parts(manifest, parts.tensors).to_bytes()

    return make


def _numbers(value: Any) -> Iterator[tuple[Any, ...]]:
    """The ways to the numbers of a JSON value."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *rest) for rest in _numbers(inner))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield ()
