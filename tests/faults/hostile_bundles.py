"""Bundles that claim what they are too small for; each is written, refused, and measured.

`python -m tests.faults.hostile_bundles FOLDER` prints a line of JSON for each: what was said, the
seconds of processor time and the megabytes of memory that it took, and the size of the file.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard

import families
from common.codec import count_values, from_plain
from families.meta import without_memory
from quantize import Bundle, BundleError
from records import Schema

LARGEST_FILE = 16 * 10**6
# What the header of a file of this size may have, a little less each.
HEADER_BYTES, HEADER_VALUES, TENSORS = 5_900_000, 190_000, 5_900
SCHEMA: dict[str, Any] = {
    "name": "small",
    "level": "frame",
    "streams": [{"name": "rgb", "size": 8}],
    "num_labels": 4,
}
ONE = {"m/a": np.zeros(1, np.float32)}
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Measured:
    """What came of a file."""

    name: str
    said: str
    seconds: float
    megabytes: float
    size: int


def member(family: str, config: dict[str, Any], name: str = "m", **more: Any) -> dict[str, Any]:
    return {"name": name, "family": family, "config": config, "weight": 1.0, **more}


def manifest(*members: dict[str, Any], **changes: Any) -> str:
    values = {"version": 2, "schema": SCHEMA, "mix": "probability", "members": members}
    return _json({**values, "receipt": {}, **changes})


def file_of(text: str, tensors: Tensors, more: str = "") -> bytes:
    """A file of version 2, which has no checksums that a forger would have to compute.

    Args:
        text: the manifest.
        tensors: by name.
        more: JSON that follows in the header's metadata.
    """
    body, entries, end = [], [f'"__metadata__":{{"onegig":{_json(text)}{more}}}'], 0
    for name, values in tensors.items():
        dtype = {"float32": "F32", "uint8": "U8"}[str(values.dtype)]
        begin, end = end, end + values.nbytes
        entry = {"dtype": dtype, "shape": values.shape, "data_offsets": [begin, end]}
        entries.append(f"{json.dumps(name)}:{_json(entry)}")
        body.append(values.tobytes())
    return headed(("{" + ",".join(entries) + "}").encode(), b"".join(body))


def padded(text: str, tensors: Tensors) -> bytes:
    """A file that holds enough for its header to be as large as that of any of 16 MB."""
    size = LARGEST_FILE - len(file_of(text, tensors)) - 100
    return file_of(text, {**tensors, "m/large": np.zeros(max(size, 0), np.uint8)})


def headed(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def ones_of(family: str, config: dict[str, Any], schema: dict[str, Any]) -> Tensors:
    """The tensors of a member, which is called m."""
    with without_memory():
        model = families.build(family, config, from_plain(Schema, schema, "schema"))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return {f"m/{name}": np.ones(shape, np.float32) for name, shape in shapes.items()}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def labels(count: int) -> str:
    schema = {
        **SCHEMA,
        "num_labels": count,
        "label_verticals": [[number % 600] for number in range(count)],
        "vertical_names": [str(number) for number in range(600)],
    }
    return manifest(member("mmoe", {"task_weights": "uncertainty"}), schema=schema)


def flood(count: int) -> dict[str, Any]:
    return {f"k{number}": 1 for number in range(count)}


# What there may be any number of in a header. Each is made once to fill a file of 16 MB by itself,
# and once as large as a header of such a file may be, so that something else has to refuse it.
FLOODS: dict[str, Callable[[int], str]] = {
    "labels of 600 verticals": labels,
    "members": lambda n: manifest(*(member("moe", {}, f"m{k}") for k in range(n))),
    "lists 900 deep": lambda n: manifest(receipt={"a": [json.loads("[" * 900 + "]" * 900)] * n}),
    "lists 90 deep": lambda n: manifest(receipt={"a": [json.loads("[" * 90 + "]" * 90)] * n}),
    "mappings": lambda n: '{"a":' * n + "1" + "}" * n,
    "unknown keys": lambda n: manifest(member("moe", {}), **flood(n)),
    "unknown keys of the schema": lambda n: manifest(schema={**SCHEMA, **flood(n)}),
    "unknown keys of a member": lambda n: manifest(member("moe", {}, **flood(n))),
    "unknown keys of a configuration": lambda n: manifest(member("moe", flood(n))),
    "hidden layers": lambda n: manifest(member("perceptron", {"hidden": [1] * n})),
    "streams": lambda n: manifest(
        member("moe", {"input_norm": "none"}),
        schema={**SCHEMA, "streams": [{"name": str(k), "size": 1} for k in range(n)]},
    ),
    "a long text": lambda n: manifest(schema={**SCHEMA, "name": "a" * n}),
    "a long wide text": lambda n: manifest(schema={**SCHEMA, "name": "\U0001f600" + "a" * n}),
    "a long family": lambda n: manifest(member("a" * n, {})),
    "a long number": lambda n: '{"version":' + "9" * n + "}",
    "a long fraction": lambda n: '{"version":0.' + "9" * n + "}",
}


def fill(make: Callable[[int], str], within: bool) -> bytes:
    """See `FLOODS`."""
    most = {len: HEADER_BYTES, count_values: HEADER_VALUES} if within else {len: LARGEST_FILE}
    few, many = (file_of(make(count), {}) for count in (1, 10_001))
    count = min(
        int(10_000 * (limit - measure(few)) / growth)
        for measure, limit in most.items()
        if (growth := measure(many) - measure(few)) > 0
    )
    return padded(make(int(0.95 * count)), ONE)


def deep(family: str, key: str, count: int) -> bytes:
    schema = {**SCHEMA, "label_verticals": [[0]] * 4, "vertical_names": ["a"]}
    return file_of(manifest(member(family, {key: count}), schema=schema), ONE)


def deep_with_tensors() -> bytes:
    """As many stages as there may be, and all the tensors that a file may have."""
    tensors = {f"m/t{number}": np.zeros(1, np.float32) for number in range(TENSORS)}
    return padded(manifest(member("chain", {"stages": 100})), tensors)


def wrong_at_the_end() -> bytes:
    """A member of all the tensors that a file may have, all of them right but one variance."""
    config = {"hidden": [4] * (TENSORS // 6), "norm": "batch"}
    schema = {**SCHEMA, "num_labels": 750_000}
    tensors = ones_of("perceptron", config, schema)
    last = [name for name in tensors if name.endswith("running_var")][-1]
    tensors[last] = -tensors[last]
    return file_of(manifest(member("perceptron", config), schema=schema), tensors)


def last_member_wrong() -> bytes:
    """As many members as there are tensors for, all of them right but the last."""
    schema = {**SCHEMA, "streams": [{"name": "rgb", "size": 1}], "num_labels": 650}
    config, count = {"input_norm": "none"}, TENSORS // 2 - 200
    one = ones_of("logistic", config, schema)
    tensors = {f"m{k}/{name[2:]}": each for k in range(count) for name, each in one.items()}
    tensors[f"m{count - 1}/classifier.head.classifier.linear.bias"] = np.zeros(2, np.float32)
    members = (member("logistic", config, f"m{k}", weight=1 / count) for k in range(count))
    return file_of(manifest(*members, schema=schema), tensors)


def tables_of_verticals() -> bytes:
    """Tensors for as many tasks as there are verticals, and a table of tasks and labels."""
    tensors = {f"m/t{number}": np.zeros(1, np.float32) for number in range(TENSORS)}
    return padded(labels(45_000), tensors)


def brackets_in_disguise() -> bytes:
    """As JSON may also write them; the reader of the header sees none."""
    nest, comma = "\\u005b" * 900 + "\\u005d" * 900, "\\u002c"
    inner = '{\\"receipt\\":[' + comma.join([nest] * 520) + "]}"
    text = '{"__metadata__":{"onegig":"' + inner + '"},"m/a":'
    size = 10 * 10**6
    entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    return headed(f"{text}{_json(entry)}}}".encode(), bytes(size))


def deep_long_keys() -> bytes:
    """Of which a message would name the way to the last one."""
    receipt: Any = 1
    for _ in range(150):
        receipt = {"k" * 1_000: receipt}
    return file_of(manifest(member("moe", {}), receipt=receipt), ONE)


def frame(size: int, growth: int) -> np.ndarray:
    symbols = np.zeros(size, np.uint8)
    some = size // growth
    symbols[:some] = np.random.default_rng(0).integers(0, 256, some)
    made = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(symbols.data)
    return np.frombuffer(made, np.uint8)


def frames(size: int, width: int, growth: int) -> bytes:
    """One member whose weights, up to a bad codebook, are frames that grow."""
    schema = {**SCHEMA, "streams": [{"name": "rgb", "size": width}]}
    config = {"hidden": [size // width], "input_norm": "none"}
    tensors = ones_of("perceptron", config, schema)
    large = next(name for name, values in tensors.items() if values.size > 10**6)
    tensors[f"{large}/uniform8.zst"] = frame(tensors.pop(large).size, growth)
    tensors[f"{large}/codebook"] = np.full(256, 3e38, np.float32)
    return file_of(manifest(member("perceptron", config), schema=schema), tensors)


def texts() -> bytes:
    more = "".join(f',"k{number}":"1"' for number in range(1_000_000))
    return file_of(manifest(), ONE, more)


def tensors_of_nothing() -> bytes:
    return file_of(manifest(), {f"m/{k}": np.zeros(0, np.uint8) for k in range(200_000)})


MAKERS: dict[str, Callable[[], bytes]] = {
    "rnn of 3e8 layers": lambda: deep("rnn", "layers", 3 * 10**8),
    "bilstm of 3e8 layers": lambda: deep("bilstm", "layers", 3 * 10**8),
    "qrnn of 3e8 layers": lambda: deep("qrnn", "layers", 3 * 10**8),
    "ple of 3e8 layers": lambda: deep("ple", "layers", 3 * 10**8),
    "snr_trans of 3e8 levels": lambda: deep("snr_trans", "levels", 3 * 10**8),
    "chain of 1e9 stages": lambda: deep("chain", "stages", 10**9),
    "chain of 100 stages, 5,900 tensors": deep_with_tensors,
    "mmoe of 1e15 experts": lambda: deep("mmoe", "experts", 10**15),
    "5,900 tensors, one wrong": wrong_at_the_end,
    "2,750 members, the last one wrong": last_member_wrong,
    "600 verticals, 45,000 labels, 5,900 tensors": tables_of_verticals,
    "brackets in disguise": brackets_in_disguise,
    "long keys 150 deep": deep_long_keys,
    "6 MB of frames that become 200 MB": lambda: frames(2 * 10**8, 10_000, 33),
    "14 MB of frames that become 70 MB": lambda: frames(7 * 10**7, 10_000, 5),
    "a million texts": texts,
    "200,000 tensors": tensors_of_nothing,
    "noise": lambda: headed(random.Random(0).randbytes(LARGEST_FILE - 8)),
    "only brackets": lambda: headed(b"[" * 6 * 10**6, bytes(10**7)),
    "only spaces": lambda: headed(b" " * 6 * 10**6, bytes(10**7)),
    **{f"{n}, 16 MB": partial(fill, make, False) for n, make in FLOODS.items()},
    **{f"{n}, as allowed": partial(fill, make, True) for n, make in FLOODS.items()},
}


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


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(folder: Path) -> Iterator[Measured]:
    """All of them, each removed after it was measured."""
    torch.set_num_threads(1)
    small = folder / "small"
    small.write_bytes(file_of(manifest(member("moe", {})), ONE))
    # What is imported and built once.
    _refused(small, "small")
    for name, make in MAKERS.items():
        path = folder / "hostile.safetensors"
        path.write_bytes(make())
        gc.collect()
        yield measure(path, name)


if __name__ == "__main__":
    for found in measured(Path(sys.argv[1])):
        print(json.dumps(vars(found)), flush=True)
