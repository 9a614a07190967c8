"""Single bits flipped in everything that is stored."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import numpy as np
import torch

from benchmarks.faults.children import in_child, where
from benchmarks.faults.line import difference
from benchmarks.faults.promise import Trial, promise
from benchmarks.faults.samples import (
    FRAMES,
    fresh_state,
    indexed,
    write_clips,
    write_small_bundle,
    write_small_checkpoint,
)
from common.files import read_json
from quantize import Bundle, BundleError
from records import DataError, SplitSpec, open_split
from runs import Task
from runs.marker import DONE_NAME
from runs.store import TASK_NAME
from training.checkpoint import DamagedCheckpoint, load_checkpoint

_DECAY = 0.9
# By kind, the files of a run that a task vouches for.
STORED = {
    "predictions": "teachers/*/predictions-*.safetensors",
    "weights": "students/*/weights.safetensors",
    "soft targets": "soft/*/*.safetensors",
    "ensemble": "ensemble/ensemble.json",
    "solutions": "*/solutions.json",
    DONE_NAME: f"*/*/{DONE_NAME}",
    "bundle": "bundle/bundle.safetensors",
    "receipt": "bundle/receipt.json",
}


def flip(path: Path, bit: int) -> None:
    """Turns one bit of a file over, in its place; size and name stay."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (before,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([before ^ 1 << bit % 8]))


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """One bit of a file is the other one for as long as this lasts."""
    flip(path, bit)
    try:
        yield
    finally:
        flip(path, bit)


def _bits(trial: Trial, path: Path, count: int) -> list[int]:
    """Random ones, or all where there are not as many."""
    there = path.stat().st_size * 8
    if there <= count:
        return list(range(there))
    return trial.random.choice(there, count, replace=False).tolist()


@promise(
    "shards",
    "a flipped bit of a shard is found",
    how="bits of TFRecord shards, read whole",
    cases=10_000,
)
def flip_shards(trial: Trial) -> None:
    path = write_clips(trial.folder, FRAMES, 12)
    spec = SplitSpec("*.tfrecord")
    for bit in _bits(trial, path, trial.wanted):
        with flipped(path, bit):
            try:
                list(open_split(path.parent, "clips", spec, FRAMES, cache=None).clips())
                trial.case(False, f"bit {bit} was read without a word")
            except DataError:
                trial.case(True, "")


@promise(
    "index",
    "a damaged index is made again",
    how="bits flipped, bytes cut off, files missing; the split that is read is the same",
    cases=1000,
)
def damage_index(trial: Trial) -> None:
    shard = write_clips(trial.folder / "data", FRAMES, 30)
    cache = trial.folder / "index"
    sound = indexed(shard.parent, cache)
    kept = {path: path.read_bytes() for path in sorted(cache.iterdir())}
    files = list(kept)
    random = trial.random
    for number in range(trial.wanted):
        path = files[number % len(files)]
        data = kept[path]
        at = int(random.integers(len(data)))
        kind = number % 10
        if kind == 0:
            path.unlink()
        elif kind == 1:
            path.write_bytes(data[:at])
        else:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        what = f"{path.name}, damage {kind} at byte {at}"
        try:
            with redirect_stderr(io.StringIO()):
                same = indexed(shard.parent, cache) == sound
            trial.case(same, f"{what}: another split")
        except Exception as error:
            trial.case(False, f"{what}: {where(error)}")
        for file, sound_data in kept.items():
            file.write_bytes(sound_data)


@promise(
    "checkpoint",
    "a damaged checkpoint counts as none",
    how="bits flipped anywhere in it; nothing of it is taken over",
    cases=2000,
)
def flip_checkpoints(trial: Trial) -> None:
    path = write_small_checkpoint(trial.folder / "checkpoint.safetensors")
    header = 8 * (8 + int.from_bytes(path.read_bytes()[:8], "little"))
    # Half of them in the header, which is the smaller part.
    bits = {*_bits(trial, path, trial.wanted // 2)}
    bits |= set(trial.random.integers(0, header, trial.wanted - len(bits)).tolist())
    for bit in sorted(bits):
        state = fresh_state(3)
        with flipped(path, bit):
            try:
                taken = load_checkpoint(path, state, _DECAY)
            except DamagedCheckpoint:
                taken = False
            except Exception as error:
                trial.case(False, f"bit {bit}: {where(error)}")
                continue
        untouched = fresh_state(3).model.state_dict()
        same = all(torch.equal(t, untouched[n]) for n, t in state.model.state_dict().items())
        trial.case(not taken and same, f"bit {bit}: {'taken over' if taken else 'half taken over'}")


@promise(
    "bundle",
    "a flipped bit of a bundle is refused by name",
    how="bits flipped anywhere in bundles at several precisions, with entropy coding and without",
    cases=4000,
)
def flip_bundles(trial: Trial) -> None:
    forms = [("uniform8", False), ("channel4", False), ("kmeans5", True), ("float16", False)]
    for precision, entropy in forms:
        path = trial.folder / f"{precision}.safetensors"
        write_small_bundle(path, precision=precision, entropy=entropy)
        for bit in _bits(trial, path, trial.wanted // len(forms)):
            with flipped(path, bit):
                try:
                    Bundle.load(path)
                    trial.case(False, f"{path.name}: bit {bit} was loaded without a word")
                except BundleError as error:
                    trial.case(path.name in str(error), f"bit {bit} is refused without its name")


@promise(
    "stored",
    "a file of a run that is not the one that was written is not used",
    how=f"bits flipped in {', '.join(STORED)} of a run: the task does not count as done",
    cases=1600,
)
def flip_stored(trial: Trial) -> None:
    line = trial.line.finished.copy(trial.folder / "copy")
    for pattern in STORED.values():
        paths = sorted(line.run.glob(pattern))
        sound = {path: in_child(_says(path.parent)).value for path in paths}
        for number in range(max(1, trial.wanted // len(STORED))):
            path = paths[number % len(paths)]
            bit = int(np.random.default_rng((trial.seed, number)).integers(path.stat().st_size * 8))
            with flipped(path, bit):
                # In a process of its own: what one has verified once it may believe.
                ended = in_child(_says(path.parent))
            name = path.relative_to(line.run)
            # The figures of DONE may be written in several ways.
            same = path.name == DONE_NAME and ended.value == sound[path] is not None
            fine = ended.kind == "returned" and (ended.value is None or same)
            trial.case(fine, f"{name}: bit {bit}: {ended.kind} {ended.value}")


def _says(folder: Path) -> Callable[[], object]:
    """What the task of a folder says of itself, None where it is not done."""

    def call() -> object:
        prepared = read_json(folder / TASK_NAME)
        task = Task(folder.name, folder, prepared["inputs"])
        return {"digest": task.digest(), **task.summary()} if task.is_done() else None

    return call


@promise(
    "again",
    "what was damaged is named and made again, to the same bytes",
    how="whole commands after a flip in " + ", ".join(STORED),
    cases=len(STORED),
)
def make_again(trial: Trial) -> None:
    undisturbed = trial.line.finished
    line = undisturbed.copy(trial.folder / "copy")
    for number, (kind, pattern) in enumerate(list(STORED.items())[: trial.wanted]):
        path = sorted(line.run.glob(pattern))[0]
        random = np.random.default_rng((trial.seed, number))
        bit = int(random.integers(path.stat().st_size * 8))
        flip(path, bit)
        status, err = line.call("stage=all")
        name = path.parent.name if kind == DONE_NAME else path.name
        said = [text for text in err.splitlines() if name in text]
        trial.case(status == 0 and bool(said), f"{kind}: status {status}, {name}: {err[-200:]}")
        differ = difference(undisturbed.results(), line.results())
        trial.case(not differ, f"{kind}: other bytes: {differ}", count=0)
        if differ:
            shutil.rmtree(line.folder)
            undisturbed.copy(line.folder)
