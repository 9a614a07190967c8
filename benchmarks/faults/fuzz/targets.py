"""What is fed damaged files: how each is met, and how it has to be."""

import io
import json
import shutil
import struct
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import google_crc32c
import numpy as np
import torch

from benchmarks.faults.bundles import Parts, split, summed, with_header
from benchmarks.faults.fuzz.engine import Target
from benchmarks.faults.fuzz.mutate import mutated_bytes, mutated_json, mutated_message
from benchmarks.faults.samples import (
    FRAMES,
    MEANS,
    clips,
    content,
    fresh_state,
    indexed,
    write_clips,
    write_small_bundle,
    write_small_checkpoint,
)
from common.codec import from_plain, to_plain
from common.errors import UserError
from quantize import Bundle
from records import (
    Batch,
    DataError,
    Schema,
    SplitSpec,
    encode_clip,
    iterate_batches,
    open_split,
)
from records.tfrecord import wire
from records.tfrecord.example import parse_clip
from runs import RunError
from stages.packing.receipt import MemberReceipt, Receipt, read_receipt
from training.checkpoint import DamagedCheckpoint, load_checkpoint

_SCHEMAS = {"frames": FRAMES, "means": MEANS}
_DECAY = 0.9


# Examples: the fast path against protobuf, which its general path is.


def _examples(folder: Path) -> dict[str, list[bytes]]:
    return {
        name: [encode_clip(clip, schema) for clip in clips(schema, 8)]
        for name, schema in _SCHEMAS.items()
    }


def _make_example(state: dict[str, list[bytes]], random: Random) -> tuple[str, bytes]:
    name = random.choice(sorted(state))
    data = random.choice(state[name])
    change = random.choice((mutated_message, mutated_message, mutated_bytes))
    return name, change(data, random)


def _check_example(state: Any, name: str, data: bytes) -> str | None:
    ours = _said_of_clip(data, _SCHEMAS[name])
    with patch.object(wire, "walk", side_effect=wire.NotCanonicalError):
        wanted = _said_of_clip(data, _SCHEMAS[name])
    return None if ours == wanted else f"differs: {ours!r:.150} where protobuf has {wanted!r:.150}"


def _said_of_clip(data: bytes, schema: Schema) -> object:
    """What is read; None where it is refused."""
    try:
        return content(parse_clip(np.frombuffer(data, np.uint8), schema))
    except DataError:
        return None


# Records: shards against a reader of a few lines.


@dataclass(frozen=True)
class _Shards:
    path: Path
    sound: bytes


def _records(folder: Path) -> _Shards:
    path = write_clips(folder, FRAMES, 12)
    return _Shards(path, path.read_bytes())


def _make_records(state: _Shards, random: Random) -> tuple[str, bytes]:
    if random.random() < 0.5:
        return "raw", mutated_bytes(state.sound, random)
    # With sound checksums behind the change.
    payloads = _payloads(state.sound)
    assert payloads is not None
    for _ in range(random.choice((1, 1, 3))):
        place = random.randrange(len(payloads))
        change = random.choice((mutated_message, mutated_bytes))
        payloads[place] = change(payloads[place], random)
    return "summed", b"".join(map(_framed, payloads))


def _check_records(state: _Shards, name: str, data: bytes) -> str | None:
    state.path.write_bytes(data)
    payloads = _payloads(data)
    try:
        split = open_split(state.path.parent, "clips", SplitSpec("*"), FRAMES, cache=None)
        found = [content(clip) for clip in split.clips()]
    except DataError:
        return None
    if payloads is None:
        return f"{len(found)} records read where a checksum or a length is wrong"
    wanted = [_said_of_clip(payload, FRAMES) for payload in payloads]
    return None if found == wanted else "reads other clips than protobuf"


def _framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def _masked(data: bytes) -> int:
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _payloads(data: bytes) -> list[bytes] | None:
    """The records of a shard; None where anything is wrong."""
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        end = at + 12 + length
        if end + 4 > len(data) or data[at : end + 4] != _framed(data[at + 12 : end]):
            return None
        found.append(data[at + 12 : end])
        at = end + 4
    return found


# Bundles: refused, or with the scores of the sound one; where sums were made to fit, any scores.


@dataclass(frozen=True)
class _Bundles:
    path: Path
    sound: dict[str, bytes]
    batch: Batch
    scores: dict[str, torch.Tensor]


def _bundles(folder: Path) -> _Bundles:
    path = folder / "bundle.safetensors"
    shard = write_clips(folder / "data", FRAMES, 5)
    split = open_split(shard.parent, "clips", SplitSpec("*"), FRAMES, cache=None)
    (batch,) = iterate_batches(split, 8)
    sound, scores = {}, {}
    for precision, entropy in (("uniform8", False), ("channel4", True), ("kmeans5", True)):
        write_small_bundle(path, precision=precision, entropy=entropy)
        sound[precision] = path.read_bytes()
        scores[precision] = Bundle.load(path).predict(batch)
    return _Bundles(path, sound, batch, scores)


def _make_bundle(state: _Bundles, random: Random) -> tuple[str, bytes]:
    name = random.choice(sorted(state.sound))
    data = state.sound[name]
    kind = random.randrange(4)
    if kind == 0:
        return name, mutated_bytes(data, random)
    if kind == 1:
        header, body = split(data)
        header = mutated_json(header, random)
        if random.random() < 0.5:
            return name, with_header(header, body)
        return f"summed-{name}", summed(header, body)
    parts = Parts.of(data)
    if kind == 2:
        parts.manifest = mutated_json(parts.manifest, random)
    else:
        place = random.choice(sorted(parts.tensors))
        entry, content = parts.tensors[place]
        changed = mutated_bytes(content, random)
        if random.random() < 0.5:
            # Of the size that the shape claims.
            changed = (changed + content)[: len(content)]
        else:
            mutated = mutated_json(entry, random)
            entry = mutated if isinstance(mutated, dict) else entry
        parts.tensors[place] = (entry, changed)
    return f"summed-{name}", parts.to_bytes()


def _check_bundle(state: _Bundles, name: str, data: bytes) -> str | None:
    state.path.write_bytes(data)
    try:
        bundle = Bundle.load(state.path)
        scores = bundle.predict(state.batch)
    except UserError as error:
        said = str(error).removeprefix(str(state.path))
        return None if _is_short(said) else f"a long message: {said[:100]!r}"
    if name in state.scores:
        same = torch.equal(scores, state.scores[name])
        return None if same else "scores otherwise without a word"
    return None if bool(torch.isfinite(scores).all()) else "scores with NaN or an infinity"


def _is_short(said: str) -> bool:
    return len(said) <= 1000 and said.isprintable()


# Receipts: what is read can be written again.


@dataclass(frozen=True)
class _Receipts:
    path: Path
    sound: bytes


def _receipts(folder: Path) -> _Receipts:
    member = MemberReceipt("plain", "perceptron", "channel4", 1000, 0.25, 0.5, 0.51)
    receipt = Receipt(
        bytes=3000,
        sha256="0" * 64,
        gap=0.5,
        members=(member, member),
        hashes={"data": {"train": "0" * 64}, "students": {"plain": "1" * 64}},
        left_out=(member,),
    )
    data = json.dumps(to_plain(receipt), indent=2).encode()
    return _Receipts(folder / "receipt.json", data)


def _make_receipt(state: _Receipts, random: Random) -> tuple[str, bytes]:
    if random.random() < 0.4:
        return "json", mutated_bytes(state.sound, random)
    return "json", json.dumps(mutated_json(json.loads(state.sound), random)).encode()


def _check_receipt(state: _Receipts, name: str, data: bytes) -> str | None:
    state.path.write_bytes(data)
    try:
        receipt = read_receipt(state.path)
        again = from_plain(Receipt, to_plain(receipt), "again", RunError)
    except UserError as error:
        return None if _is_short(str(error)) else f"a long message: {str(error)[:100]!r}"
    return None if again == receipt else "is another one when written again"


# An index: whatever lies there, the split is the one that the shards have.


@dataclass(frozen=True)
class _Index:
    shards: Path
    cache: Path
    sound: dict[str, bytes]  # by the name in the cache
    split: object


def _index(folder: Path) -> _Index:
    shard = write_clips(folder / "data", FRAMES, 20)
    cache = folder / "index"
    split = indexed(shard.parent, cache)
    sound = {path.name: path.read_bytes() for path in cache.iterdir()}
    return _Index(shard.parent, cache, sound, split)


def _make_index(state: _Index, random: Random) -> tuple[str, bytes]:
    name = random.choice(sorted(state.sound))
    return name, mutated_bytes(state.sound[name], random)


def _check_index(state: _Index, name: str, data: bytes) -> str | None:
    shutil.rmtree(state.cache, ignore_errors=True)
    state.cache.mkdir()
    for place, sound in state.sound.items():
        (state.cache / place).write_bytes(data if place == name else sound)
    with redirect_stderr(io.StringIO()):
        found = indexed(state.shards, state.cache)
    return None if found == state.split else "another split without a word"


# Checkpoints: damaged ones count as none.


@dataclass(frozen=True)
class _Checkpoint:
    path: Path
    sound: bytes
    content: list[torch.Tensor]


def _checkpoint(folder: Path) -> _Checkpoint:
    path = write_small_checkpoint(folder / "checkpoint.safetensors")
    return _Checkpoint(path, path.read_bytes(), _tensors_of(fresh_state(7)))


def _tensors_of(state: Any) -> list[torch.Tensor]:
    optimizer = state.optimizer.state_dict()["state"]
    moments = [v for values in optimizer.values() for _, v in sorted(values.items())]
    tensors = [*state.model.state_dict().values(), *map(torch.as_tensor, moments)]
    return [*tensors, torch.tensor(state.progress.step)]


def _make_checkpoint(state: _Checkpoint, random: Random) -> tuple[str, bytes]:
    if random.random() < 0.6:
        return "raw", mutated_bytes(state.sound, random)
    header, body = split(state.sound)
    return "header", with_header(mutated_json(header, random), body)


def _check_checkpoint(state: _Checkpoint, name: str, data: bytes) -> str | None:
    state.path.write_bytes(data)
    fresh, untouched = fresh_state(3), _tensors_of(fresh_state(3))
    try:
        taken = load_checkpoint(state.path, fresh, _DECAY)
    except DamagedCheckpoint:
        taken = False
    wanted = state.content if taken else untouched
    if all(map(torch.equal, _tensors_of(fresh), wanted)):
        return None
    return "taken over though it is damaged" if taken else "half taken over"


_ALL: tuple[tuple[str, Callable[..., Any], Callable[..., Any], Callable[..., Any]], ...] = (
    ("records", _records, _make_records, _check_records),
    ("examples", _examples, _make_example, _check_example),
    ("bundles", _bundles, _make_bundle, _check_bundle),
    ("receipts", _receipts, _make_receipt, _check_receipt),
    ("index", _index, _make_index, _check_index),
    ("checkpoint", _checkpoint, _make_checkpoint, _check_checkpoint),
)
TARGETS = {name: Target(name, *parts) for name, *parts in _ALL}
