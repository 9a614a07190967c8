"""Bundles made to cost memory or time before they are refused."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zstandard

from benchmarks.faults.bundles import Parts, with_header
from benchmarks.faults.children import in_child
from benchmarks.faults.promise import Trial, promise
from benchmarks.faults.samples import write_small_bundle
from families import config_from_dict, config_to_dict, list_families
from quantize import Bundle
from quantize.errors import BundleError

MIB = 2**20
LARGEST = 16 * MIB
_MOST_MEMORY, _MOST_SECONDS = 200 * MIB, 1.0
_LONGEST_MESSAGE = 1000
HUGE = (65_537, 10**6, 3 * 10**8, 2**31, 10**12, 2**63, 10**30, 1e300, -1, 0)
Maker = Callable[[Parts], bytes | None]


@promise(
    "hostile",
    f"a bundle of up to {LARGEST // MIB} MiB is loaded or refused within "
    f"{_MOST_MEMORY // MIB} MiB and {_MOST_SECONDS:.0f} s, with one short line",
    how="crafted files, and every number of every family's configuration made huge; memory and "
    "processor time of a child",
    cases=700,
)
def load_hostile_bundles(trial: Trial) -> None:
    """Every crafted file is refused; every other one within the bounds."""
    path = trial.folder / "hostile.safetensors"
    worst_memory, worst_seconds = 0, 0.0
    for name, data, refused in _files(trial):
        path.write_bytes(data)
        ended = in_child(lambda: len(Bundle.load(path).members))
        what = f"{name} ({len(data):,} bytes): "
        kinds = ("refused",) if refused else ("refused", "returned")
        said = str(ended.value).removeprefix(str(path))
        fine = ended.kind in kinds and len(said) <= _LONGEST_MESSAGE and "\n" not in said
        within = ended.peak <= _MOST_MEMORY and ended.seconds <= _MOST_SECONDS
        cost = f"{ended.peak / MIB:.0f} MiB, {ended.seconds:.2f} s"
        trial.case(fine and within, f"{what}{cost}, {ended.kind}: {said[:200]}")
        worst_memory = max(worst_memory, ended.peak)
        worst_seconds = max(worst_seconds, ended.seconds)
    trial.figures.append(f"worst {worst_memory / MIB:.0f} MiB and {worst_seconds:.2f} s")


def _files(trial: Trial) -> Iterator[tuple[str, bytes, bool]]:
    """Name, content, and whether it has to be refused."""
    base = write_small_bundle(trial.folder / "base.safetensors")
    for name, make in CRAFTED.items():
        data = make(Parts.of(base))
        if data is not None:
            yield name, data[:LARGEST], True
    claims = list(_claims(trial.folder))
    order = trial.random.permutation(len(claims))
    for index in order[: max(0, trial.wanted - len(CRAFTED))].tolist():
        name, data = claims[index]
        yield name, data(), False


def _claims(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Each number in each family's configuration, and in the schema, made huge."""
    for family in list_families():
        path = folder / f"{family}.safetensors"
        try:
            write_small_bundle(path, {"only": (family, {})})
        except BundleError:
            continue
        parts = Parts.of(path)
        path.unlink()
        config = config_to_dict(config_from_dict(family, {}))
        for place in _numbers(config):
            for value in HUGE:
                yield (
                    f"{family} {'.'.join(map(str, place))}={value:g}",
                    _claim(parts, ("members", 0, "config", *place), value),
                )
    base = Parts.of(folder / "base.safetensors")
    for place in _numbers(base.manifest["schema"]):
        for value in HUGE:
            yield f"schema {place}={value:g}", _claim(base, ("schema", *place), value)


def _claim(parts: Parts, place: tuple[Any, ...], value: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        manifest = json.loads(json.dumps(parts.manifest))
        spot = manifest
        for key in place[:-1]:
            spot = spot[key]
        spot[place[-1]] = value
        return Parts(manifest, parts.tensors).to_bytes()

    return make


def _numbers(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where numbers stand in a JSON value."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield place
    for key, inner in items:
        yield from _numbers(inner, (*place, key))


def _with(**changes: Any) -> Maker:
    """The first member's configuration, changed."""

    def make(parts: Parts) -> bytes:
        parts.manifest["members"][0]["config"].update(changes)
        return parts.to_bytes()

    return make


def _family(name: str, **config: Any) -> Maker:
    """The first member is of another family."""

    def make(parts: Parts) -> bytes:
        parts.manifest["members"][0].update(family=name, config=config)
        return parts.to_bytes()

    return make


def _many_members(parts: Parts) -> bytes:
    member = parts.manifest["members"][0]
    count = (LARGEST - 10**6) // (len(json.dumps(member, separators=(",", ":"))) + 40)
    parts.manifest["members"] = [{**member, "name": f"m{n}"} for n in range(count)]
    return parts.to_bytes()


def _small_members(parts: Parts) -> bytes:
    members = [
        {"name": f"m{n}", "family": "logistic", "config": {}, "weight": 0.5} for n in range(150_000)
    ]
    parts.manifest["members"] = members
    return parts.to_bytes()


def _many_labels(parts: Parts) -> bytes:
    count = 1_500_000
    names = [f"v{n}" for n in range(600)]
    parts.manifest["schema"].update(
        num_labels=count, vertical_names=names, label_verticals=[[]] * count
    )
    return parts.to_bytes()


def _all_verticals(parts: Parts) -> bytes:
    """Tasks of a multi-task family are as many as there are verticals."""
    count, verticals = 12, 100_000
    parts.manifest["schema"].update(
        vertical_names=[f"v{n}" for n in range(verticals)],
        label_verticals=[list(range(verticals))] + [[0]] * (count - 1),
    )
    parts.manifest["members"][0].update(family="mmoe", config={})
    return parts.to_bytes()


def _many_streams(parts: Parts) -> bytes:
    streams = [{"name": f"s{n}", "size": 1, "encoding": "uint8"} for n in range(200_000)]
    parts.manifest["schema"]["streams"] = streams
    return parts.to_bytes()


def _nested(depth: int, opening: str, closing: str) -> Maker:
    """Nothing but brackets, over and over, in the metadata."""

    def make(parts: Parts) -> bytes:
        one = opening * depth + "0" + closing * depth
        text = "[" + ",".join([one] * (8 * MIB // len(one))) + "]"
        parts.manifest["receipt"] = None
        manifest = json.dumps(parts.manifest).replace("null", text)
        return with_header({"__metadata__": {"onegig": manifest}}, b"")

    return make


def _nested_header(parts: Parts) -> bytes:
    one = "[" * 900 + "]" * 900
    text = '{"t":[' + ",".join([one] * ((LARGEST - 1000) // (len(one) + 1))) + "]}"
    return with_header(text.encode(), b"")


def _empty_tensors(parts: Parts) -> bytes:
    entry = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    count = (LARGEST - MIB) // 70
    text = json.dumps({f"bag/{n}": entry for n in range(count)}, separators=(",", ":"))
    manifest = json.dumps({"onegig": json.dumps(parts.manifest)})
    return with_header(f'{{"__metadata__":{manifest},{text[1:]}'.encode(), b"")


def _zstandard(parts: Parts) -> bytes:
    """Frames of zeros, for a member that is as large as they claim."""
    hidden, width = 20_000, 20_000
    parts.manifest["members"] = [
        {"name": "m", "family": "perceptron", "weight": 1.0, "config": {"hidden": [width, hidden]}}
    ]
    frame = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(bytes(width * hidden))
    entry = {"dtype": "U8", "shape": [len(frame)]}
    names = ("hidden.0.weight", "hidden.1.weight", "classifier.weight")
    parts.tensors = {f"m/{name}/uniform8.zst": (entry, frame) for name in names}
    return parts.to_bytes()


def _bomb(growth: int) -> Maker:
    """Sound codes whose frames grow to `growth` times their size, the frames repeated."""

    def make(parts: Parts) -> bytes | None:
        columns = 1200
        count = LARGEST // 2 * growth // columns // 4
        entry_of: dict[str, tuple[dict[str, Any], bytes]] = {}
        frame = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(
            bytes(columns * count)
        )
        frame += bytes(max(0, columns * count // growth - len(frame)))
        entry_of["m/hidden.0.weight/uniform8.zst"] = ({"dtype": "U8", "shape": [len(frame)]}, frame)
        config = {"hidden": [count]}
        parts.manifest["members"] = [
            {"name": "m", "family": "perceptron", "weight": 1.0, "config": config}
        ]
        parts.tensors = entry_of
        return parts.to_bytes()

    return make


def _long_text(place: str) -> Maker:
    def make(parts: Parts) -> bytes:
        text = "\x1b[31m" + "A" * (10 * MIB)
        if place == "family":
            parts.manifest["members"][0]["family"] = text
        elif place == "key":
            parts.manifest["members"][0]["config"][text] = 1
        elif place == "mix":
            parts.manifest["mix"] = text
        else:
            parts.manifest["members"][0]["name"] = text
        return parts.to_bytes()

    return make


def _long_number(parts: Parts) -> bytes:
    manifest = json.dumps(parts.manifest).replace('"version": ', '"version": ' + "9" * 5 * MIB)
    return with_header({"__metadata__": {"onegig": manifest}}, parts.body())


def _claimed_header(length: int) -> Maker:
    return lambda parts: length.to_bytes(8, "little") + parts.to_bytes()[8:]


def _claimed_shape(shape: list[int]) -> Maker:
    def make(parts: Parts) -> bytes:
        name, (entry, data) = next(iter(parts.tensors.items()))
        parts.tensors[name] = ({**entry, "shape": shape}, data)
        return parts.to_bytes()

    return make


CRAFTED: dict[str, Maker] = {
    "clusters=3e8": _with(clusters=3 * 10**8),
    "hidden=3e8": _with(hidden=3 * 10**8),
    "a hidden layer of 1e9": _family("perceptron", hidden=[10**9]),
    "a million hidden layers": _family("perceptron", hidden=[1] * 10**6),
    "layers=3e8": _family("rnn", layers=3 * 10**8),
    "stages=1e9": _family("chain", stages=10**9),
    "experts=1e9": _family("moe", head={"kind": "mixture", "experts": 10**9}),
    "depth=1e9": _family("dmrnet", depth=10**9),
    "levels=1e9": _family("snr_trans", levels=10**9),
    "layers of a tower": _family("shared_bottom", tower_hidden=[1] * 10**6),
    "16 MB of one member repeated": _many_members,
    "150,000 members": _small_members,
    "1.5 million labels, 600 verticals": _many_labels,
    "100,000 verticals": _all_verticals,
    "200,000 streams": _many_streams,
    "900 nested lists": _nested(900, "[", "]"),
    "200 nested lists": _nested(200, "[", "]"),
    "200 nested mappings": _nested(200, '{"a":', "}"),
    "900 nested lists in the header": _nested_header,
    "empty tensors": _empty_tensors,
    "zstandard frames of zeros": _zstandard,
    "frames that grow 32 times": _bomb(32),
    "frames that grow 8 times": _bomb(8),
    "10 MB of a family's name": _long_text("family"),
    "10 MB of a key": _long_text("key"),
    "10 MB of a mix": _long_text("mix"),
    "10 MB of a member's name": _long_text("name"),
    "a number of five million digits": _long_number,
    "a header of 2^63 bytes": _claimed_header(2**63),
    "a header of 99 MB": _claimed_header(99 * 10**6),
    "a shape of 2^62": _claimed_shape([2**62]),
    "a shape that overflows": _claimed_shape([2**32, 2**32, 2**32]),
    "a shape of 500,000 ones": _claimed_shape([1] * 500_000),
    "an infinite number": _with(clusters=math.inf),
}
