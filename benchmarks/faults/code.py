"""Files that ask to be executed: what Python runs while they are read."""

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.bundles import Parts, with_header
from benchmarks.faults.children import in_child
from benchmarks.faults.promise import Trial, promise
from benchmarks.faults.samples import FRAMES, fresh_state, write_clips, write_small_bundle
from common.errors import UserError
from distill.soft_targets import SoftTargets
from quantize import Bundle
from records import SplitSpec, load_schema, open_split
from runs import Predictions
from training.checkpoint import DamagedCheckpoint, load_checkpoint

# Of the events that Python reports, those behind which there is code: new, loaded, or elsewhere.
_CODE = {
    "code.__new__",
    "compile",
    "ctypes.dlopen",
    "exec",
    "function.__new__",
    "import",
    "marshal.loads",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.system",
    "pickle.find_class",
    "socket.connect",
    "subprocess.Popen",
}


class _Payload:
    """Unpickled, it makes the file that must not be there."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


@promise(
    "code",
    "reading a file executes nothing of it",
    how="calls, pickles, module names, templates and references of OmegaConf and YAML at every "
    "place of a bundle, in predictions, soft targets, checkpoints, an index and a schema; "
    "Python's own reports of what it executes, imports and starts",
    cases=400,
)
def read_payloads(trial: Trial) -> None:
    """No event of `_CODE` behind what a sound file causes, and no trace of the payload."""
    canary = trial.folder / "executed"
    readers = _readers(trial.folder, canary)
    for read, _ in readers:
        # What is imported at the first use is so before anything is watched.
        _events(read)
    places = [(number, n) for number, (_, files) in enumerate(readers) for n in range(len(files))]
    few = trial.random.permutation(len(places))[: trial.wanted].tolist()
    for number, index in (places[n] for n in sorted(few)):
        read, files = readers[number]
        name, put = files[index]
        put()
        ended = in_child(partial(_events, read))
        what = f"{name}: {ended.kind} {ended.value}"
        trial.case(ended.kind == "returned" and not ended.value and not canary.exists(), what)


def _events(read: Callable[[], object]) -> list[str]:
    """The code that reading a file led to."""
    found: list[str] = []
    watching = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in _CODE:
            found.append(f"{event} {str(arguments)[:80]}")

    sys.addaudithook(note)
    try:
        read()
    except (UserError, DamagedCheckpoint):
        pass
    finally:
        watching = False
    return found


Files = list[tuple[str, Callable[[], object]]]


def _readers(folder: Path, canary: Path) -> list[tuple[Callable[[], object], Files]]:
    """Ways to read, each with the files to lay where it reads."""
    texts = _texts(canary)
    pickled = pickle.dumps(_Payload(canary))
    bundle = write_small_bundle(folder / "bundle.safetensors")
    parts = Parts.of(bundle.read_bytes())
    tensors = folder / "tensors.safetensors"
    bare = [
        ("a pickle", pickled),
        ("a pickle in a header", with_header(pickled, b"")),
        ("a header of calls", with_header({"__metadata__": {"onegig": texts[0]}}, b"")),
        ("objects", _npy(canary)),
    ]
    bare_files: Files = [(name, _put(tensors, data)) for name, data in bare]
    shard = write_clips(folder / "data", FRAMES, 3)
    cache = folder / "index"

    def read_index() -> object:
        return open_split(shard.parent, "clips", SplitSpec("*"), FRAMES, cache=cache)

    read_index()
    (rows,) = cache.rglob("*.index")
    schema = folder / "schema.yaml"
    schema.write_text("name: a\nlevel: frame\nstreams: [{name: a, size: 3}]\nnum_labels: 4\n")
    yamls = [
        f"!!python/object/apply:builtins.open ['{canary}', w]",
        f"!!python/object/apply:os.system ['touch {canary}']",
        "!!python/name:os.system ''",
        f"name: ${{oc.env:HOME}}{{{{7*7}}}}\n_target_: os.system\ncommand: touch {canary}",
    ]
    return [
        (
            lambda: Bundle.load(bundle),
            [
                (f"bundle {place}: {text[:40]!r}", _put(bundle, data))
                for place, text, data in _bundles(parts, texts)
            ],
        ),
        (lambda: Predictions.load(tensors), bare_files),
        (lambda: SoftTargets.load(tensors, 10), bare_files),
        (lambda: load_checkpoint(tensors, fresh_state(1), 0.9), bare_files),
        (read_index, [("index", _put(rows, _npy(canary))), ("index", _put(rows, pickled))]),
        (
            lambda: load_schema(schema),
            [(f"schema {text[:40]!r}", _put(schema, text.encode())) for text in yamls],
        ),
    ]


def _texts(canary: Path) -> list[str]:
    touch = f"touch {canary}"
    return [
        f"__import__('os').system('{touch}')",
        "os.system",
        "os:system",
        "torch.hub",
        "antigravity",
        f"${{oc.env:HOME}}; {touch}",
        f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}} $({touch})",
        f"!!python/object/apply:os.system ['{touch}']",
        pickle.dumps(_Payload(canary), protocol=0).decode("latin-1"),
    ]


def _bundles(parts: Parts, texts: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """A payload at every place of the manifest, as a value and as a key."""
    count = len(list(_places(parts.manifest)))
    for index in range(count):
        for text in texts:
            for as_key in (False, True):
                manifest = json.loads(json.dumps(parts.manifest))
                owner, key = list(_places(manifest))[index]
                if not as_key:
                    owner[key] = text
                elif isinstance(owner, dict):
                    owner[text] = {"_target_": text, "__reduce__": [text]}
                else:
                    owner.append({"_target_": text, "__class__": text})
                yield f"{key}", text, Parts(manifest, parts.tensors).to_bytes()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def _npy(canary: Path) -> bytes:
    """A NumPy file of one pickled object."""
    array = np.empty(1, dtype=object)
    array[0] = _Payload(canary)
    path = canary.with_name("object.npy")
    np.save(path, array, allow_pickle=True)
    return path.read_bytes()


def _put(path: Path, data: bytes) -> Callable[[], object]:
    return lambda: path.write_bytes(data)
