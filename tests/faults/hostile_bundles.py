"""Bundles that claim what they are too small for; each is written, refused, and measured.

`python -m tests.faults.hostile_bundles FOLDER` prints a line of JSON for each: what was said, the
seconds of processor time and the megabytes of memory that it took, and the size of the file.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard

import families
from families.meta import without_memory
from quantize import Bundle, BundleError
from records import Schema

LARGEST_FILE = 16 * 10**6
SCHEMA: dict[str, Any] = {
    "name": "small",
    "level": "frame",
    "streams": [{"name": "rgb", "size": 8}],
    "num_labels": 4,
}
MAKERS: dict[str, Callable[[], bytes]] = {}
_MANY = 100_000_000


@dataclass(frozen=True)
class Measured:
    """What came of a file."""

    name: str
    said: str
    seconds: float
    megabytes: float
    size: int


def hostile(make: Callable[[], bytes]) -> Callable[[], bytes]:
    MAKERS[make.__name__] = make
    return make


def member(family: str, config: dict[str, Any], name: str = "m") -> dict[str, Any]:
    return {"name": name, "family": family, "config": config, "weight": 1.0}


def manifest(members: list[dict[str, Any]], schema: Any = None, **more: Any) -> dict[str, Any]:
    schema = SCHEMA if schema is None else schema
    values = {"version": 2, "schema": schema, "mix": "probability", "members": members}
    return {**values, "receipt": {}, **more}


def file_of(text: Any, tensors: dict[str, np.ndarray] | None = None, raw: str = "") -> bytes:
    """A file of version 2, which has no checksums that a forger would have to compute."""
    text = text if isinstance(text, str) else json.dumps(text, separators=(",", ":"))
    body, entries, end = [], [f'"__metadata__":{{"onegig":{json.dumps(text)}{raw}}}'], 0
    for name, values in (tensors or {}).items():
        dtype = {"float32": "F32", "uint8": "U8"}[str(values.dtype)]
        begin, end = end, end + values.nbytes
        entry = {"dtype": dtype, "shape": values.shape, "data_offsets": [begin, end]}
        entries.append(f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'))}")
        body.append(values.tobytes())
    header = ("{" + ",".join(entries) + "}").encode()
    return len(header).to_bytes(8, "little") + header + b"".join(body)


def filled(make: Callable[[int], bytes]) -> bytes:
    """The largest of the files of (1, 2, 4, ...) x 1.1^n things that has 16 MB at most."""
    count = 1
    while len(make(2 * count)) <= LARGEST_FILE:
        count *= 2
    while len(make(count + count // 10 + 1)) <= LARGEST_FILE:
        count += count // 10 + 1
    return make(count)


def weights_of(family: str, config: dict[str, Any], schema: Any = None) -> dict[str, np.ndarray]:
    """Zeros for every tensor of a member, variances of 1."""
    values = Schema(**_built(SCHEMA if schema is None else schema))
    with without_memory():
        state = families.build(family, config, values).state_dict()
    return {f"m/{name}": np.ones(tuple(t.shape), np.float32) for name, t in state.items()}


def _built(schema: dict[str, Any]) -> dict[str, Any]:
    from common.codec import from_plain

    return vars(from_plain(Schema, schema, "schema"))


for _family, _config in {
    "rnn": {"variant": "stacked", "layers": 3 * _MANY},
    "bilstm": {"layers": 3 * _MANY},
    "qrnn": {"layers": 3 * _MANY},
    "ple": {"layers": 3 * _MANY},
    "snr_trans": {"levels": 3 * _MANY},
    "chain": {"stages": 10 * _MANY},
    "dmrnet": {"depth": 10 * _MANY},
    "moe": {"head": {"kind": "mixture", "experts": 10**15}},
}.items():
    MAKERS[f"deep_{_family}"] = lambda family=_family, config=_config: file_of(  # type: ignore[misc]
        manifest([member(family, config)]), {"m/a": np.zeros(1, np.float32)}
    )


@hostile
def deep_with_tensors() -> bytes:
    """As many stages as there may be, and all the tensors that a file may have."""
    tensors = {f"m/t{n}": np.zeros(1, np.float32) for n in range(4_000)}
    return file_of(manifest([member("chain", {"stages": 100})]), tensors)


@hostile
def long_lists() -> bytes:
    """Hidden layers without end, and thousands of tensors that could be theirs."""
    tensors = {f"m/t{n}": np.zeros(1, np.float32) for n in range(5_000)}
    return file_of(manifest([member("perceptron", {"hidden": [1] * 100_000})]), tensors)


@hostile
def wrong_at_the_end() -> bytes:
    """A member of 5,500 tensors, all of them right but one variance."""
    config = {"hidden": [4] * 1_090, "norm": "batch"}
    tensors = weights_of("perceptron", config)
    tensors[next(name for name in reversed(tensors) if name.endswith("running_var"))][0] = -1.0
    return file_of(manifest([member("perceptron", config)]), tensors)


def many_labels(labels: int, verticals: int) -> dict[str, Any]:
    return {
        **SCHEMA,
        "num_labels": labels,
        "label_verticals": [[number % verticals] for number in range(labels)],
        "vertical_names": [str(number) for number in range(verticals)],
    }


@hostile
def verticals() -> bytes:
    config = {"task_weights": "uncertainty"}
    one = {"m/a": np.zeros(1, np.float32)}
    schema = many_labels(1_500_000, 600)
    return file_of(manifest([member("mmoe", config)], schema), one)


@hostile
def verticals_within_bounds() -> bytes:
    """As many as a header of a file of 16 MB may have."""
    config = {"task_weights": "uncertainty"}
    tensors = {f"m/t{n}": np.zeros(1, np.float32) for n in range(3_000)}
    tensors["m/large"] = np.zeros(3_500_000, np.float32)
    return file_of(manifest([member("mmoe", config)], many_labels(60_000, 600)), tensors)


@hostile
def members() -> bytes:
    return file_of(manifest([member("moe", {}, f"m{n}") for n in range(150_000)]))


@hostile
def members_with_tensors() -> bytes:
    """All of them right, but for the last."""
    schema = {**SCHEMA, "streams": [{"name": "rgb", "size": 1}], "num_labels": 1}
    config = {"input_norm": "none"}
    one = weights_of("logistic", config, schema)
    tensors = {f"m{n}/{key[2:]}": value for n in range(2_300) for key, value in one.items()}
    tensors[next(reversed(tensors))] = np.zeros(2, np.float32)
    some = [{**member("logistic", config, f"m{n}"), "weight": 1 / 2_300} for n in range(2_300)]
    return file_of(manifest(some, schema), tensors)


@hostile
def members_of_few_tensors() -> bytes:
    tensors = {f"m{n}/a": np.zeros(1, np.float32) for n in range(4_500)}
    return file_of(manifest([member("moe", {}, f"m{n}") for n in range(4_500)]), tensors)


@hostile
def nested_lists() -> bytes:
    nest = "[" * 900 + "]" * 900
    return filled(lambda n: file_of(f'{{"receipt":[{",".join([nest] * n)}]}}'))


@hostile
def nested_lists_in_disguise() -> bytes:
    """Brackets as JSON may also write them."""
    nest, comma = "\\u005b" * 900 + "\\u005d" * 900, "\\u002c"
    inner = '{\\"receipt\\":[' + comma.join([nest] * 1_400) + "]}"
    header = ('{"__metadata__":{"onegig":"' + inner + '"}}').encode()
    return len(header).to_bytes(8, "little") + header


@hostile
def deep_mappings() -> bytes:
    return filled(lambda n: file_of('{"a":' * n + "1" + "}" * n))


@hostile
def deep_long_keys() -> bytes:
    """Of which a message names the way to the last one."""
    receipt: Any = 1
    for _ in range(150):
        receipt = {"k" * 1_000: receipt}
    return file_of(manifest([member("moe", {})], receipt=receipt))


def frame(size: int, growth: int) -> np.ndarray:
    """One that becomes `size` bytes and has no less than a share of them."""
    generator = np.random.default_rng(0)
    symbols = np.zeros(size, np.uint8)
    symbols[: size // growth] = generator.integers(0, 256, size // growth)
    made = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(symbols.data)
    return np.frombuffer(made, np.uint8)


@hostile
def frames() -> bytes:
    """6 MB that become 190 MB of codes, and these the weights."""
    config = {"hidden": [4_000, 4_000, 4_000], "input_norm": "none"}
    tensors = weights_of("perceptron", config, wide := {**SCHEMA, "num_labels": 40_000})
    for name in [name for name, values in tensors.items() if values.size > 10**6]:
        size = tensors.pop(name).size
        tensors[f"{name}/uniform8.zst"] = frame(size, 33)
        tensors[f"{name}/codebook"] = np.zeros(256, np.float32)
    return file_of(manifest([member("perceptron", config)], wide), tensors)


@hostile
def frames_within_bounds() -> bytes:
    """As many codes as compressed ones may become, before something is found to be wrong."""
    config = {"hidden": [8_300], "input_norm": "none"}
    schema = {**SCHEMA, "streams": [{"name": "rgb", "size": 9_000}]}
    tensors = weights_of("perceptron", config, schema)
    name = next(name for name, values in tensors.items() if values.size > 10**6)
    size = tensors.pop(name).size
    tensors[f"{name}/uniform8.zst"] = frame(size, 5)
    tensors[f"{name}/codebook"] = np.full(256, 3e38, np.float32)
    return file_of(manifest([member("perceptron", config)], schema), tensors)


def unknown(count: int, level: str) -> bytes:
    keys = {f"k{n}": 1 for n in range(count)}
    one = {"m/a": np.zeros(1, np.float32)}
    if level == "manifest":
        return file_of(manifest([member("moe", {})], **keys), one)
    if level == "schema":
        return file_of(manifest([member("moe", {})], {**SCHEMA, **keys}), one)
    if level == "member":
        return file_of(manifest([{**member("moe", {}), **keys}]), one)
    if level == "config":
        return file_of(manifest([member("moe", keys)]), one)
    return file_of(manifest([]), one, "".join(f',"{key}":"1"' for key in keys))


for _level, _count in itertools.product(
    ("manifest", "schema", "member", "config", "metadata"), (1_000_000, 140_000)
):
    MAKERS[f"unknown_{_level}_{_count}"] = lambda level=_level, count=_count: unknown(  # type: ignore[misc]
        count, level
    )


@hostile
def tensors_of_nothing() -> bytes:
    return filled(
        lambda n: file_of(manifest([]), dict.fromkeys(map(str, range(n)), np.zeros(0, np.uint8)))
    )


@hostile
def one_long_text() -> bytes:
    return filled(lambda n: file_of(manifest([], {**SCHEMA, "name": "\U0001f600" * n})))


@hostile
def one_long_text_as_it_is() -> bytes:
    """In UTF-8, of which each character takes four bytes in memory."""
    text = json.dumps(manifest([member("x" * 10**6, {})]), ensure_ascii=False)
    header = ('{"__metadata__":{"onegig":' + json.dumps(text, ensure_ascii=False)).encode()
    header += b"}" + b" " * 8
    long = header.replace(b"small", "\U0001f600".encode() * 900_000 + b"a" * 2_200_000)
    return (len(long) + 1).to_bytes(8, "little") + long + b"}"


@hostile
def a_long_number() -> bytes:
    return filled(lambda n: file_of('{"version":' + "9" * n + "}"))


@hostile
def a_long_fraction() -> bytes:
    return filled(lambda n: file_of('{"version":0.' + "9" * n + "}"))


@hostile
def many_streams() -> bytes:
    streams = [{"name": str(n), "size": 1} for n in range(40_000)]
    config = {"input_norm": "none"}
    one = {"m/a": np.zeros(1, np.float32)}
    return file_of(manifest([member("moe", config)], {**SCHEMA, "streams": streams}), one)


@hostile
def noise() -> bytes:
    content = random.Random(0).randbytes(LARGEST_FILE)
    return (LARGEST_FILE - 8).to_bytes(8, "little") + content[8:]


@hostile
def brackets() -> bytes:
    return (LARGEST_FILE - 8).to_bytes(8, "little") + b"[" * (LARGEST_FILE - 8)


@hostile
def spaces() -> bytes:
    return (LARGEST_FILE - 8).to_bytes(8, "little") + b" " * (LARGEST_FILE - 8)


def measure(path: Path, name: str) -> Measured:
    """Loads a file in a child of this process, which has imported everything."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(vars(_refused(path, name))).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return Measured(**json.loads(said))


def _refused(path: Path, name: str) -> Measured:
    gc.collect()
    before, started = _peak(), time.process_time()
    try:
        Bundle.load(path)
        said = "loaded"
    except BundleError as error:
        said = str(error)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"[:500]
    seconds = time.process_time() - started
    return Measured(name, said, seconds, (_peak() - before) / 2**10, path.stat().st_size)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(folder: Path) -> Iterator[Measured]:
    """All of them, each removed after it was measured."""
    torch.set_num_threads(1)
    small = folder / "small"
    small.write_bytes(file_of(manifest([member("moe", {})])))
    # What is imported and built once.
    _refused(small, "small")
    for name, make in MAKERS.items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(make())
        gc.collect()
        yield measure(path, name)
        path.unlink()


if __name__ == "__main__":
    for found in measured(Path(sys.argv[1])):
        print(json.dumps(vars(found)), flush=True)
