"""Ids of clips as no one would choose them, through a submission and back."""

import csv
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.faults.line import PROGRAM
from benchmarks.faults.promise import Trial, promise
from quantize import read_bundle
from records import Clip, DataError, Schema, SplitSpec, encode_clip, open_split, write_shards

_PIECES = (
    *"abcXYZ0189-_./+ \t\n\r\v\f\0\x1b\x7f\"'`,;:|\\#=@%!?*[]{}()<>~^&$",
    "\r\n",
    '""',
    "\x85",
    "\u2028",
    "\ufeff",
    "\u202e",
    "\u200b",
    "é",
    "e\u0301",
    "漢",
    "🎬",
    "NaN",
    "NA",
    "null",
    "-1e5",
    "007",
    "=1+1",
)
_STYLES = ("kaggle", "top10")
_LONGEST = 40


@promise(
    "ids",
    "an id that is accepted comes out of the submission as it went in",
    how="clips with ids of quotes, separators, controls and many scripts, in both formats; read "
    "with Python's csv and with pandas",
    cases=2000,
)
def send_ids_through(trial: Trial) -> None:
    """Each accepted id is a case; what is refused is refused one by one, as damaged data."""
    bundle = trial.line.finished.bundle
    schema = read_bundle(bundle).schema
    features = _features(schema, trial.random)
    tried = list(dict.fromkeys(_ids(trial.random, trial.wanted)))
    accepted = [name for name in tried if _is_accepted(name, schema, features, trial.folder)]
    trial.figures.append(f"of {len(tried):,} ids {len(accepted):,} were accepted")
    data = trial.folder / "data"
    records = (encode_clip(Clip(i, np.array([0]), features), schema) for i in accepted)
    write_shards(data, "ids", records, per_shard=500)
    trial.case(len(accepted) > trial.wanted // 10, "hardly any id is accepted", count=0)
    for style in _STYLES:
        output = trial.folder / f"{style}.csv"
        words = [f"bundle={bundle}", f"data.root={data}", f"outputs={trial.folder / 'outputs'}"]
        words += [f"output={output}", f"format={style}"]
        call = subprocess.run(
            [*PROGRAM, "stage=predict", *words], capture_output=True, text=True, check=False
        )
        if not trial.case(call.returncode == 0, f"{style}: {call.stderr[-250:]}", count=0):
            continue
        with output.open(newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        frame = pd.read_csv(output, dtype=str, keep_default_na=False)
        _compare(trial, f"{style}, csv", accepted, [row[0] for row in rows])
        _compare(trial, f"{style}, pandas", accepted, frame["VideoId"].tolist())


def _ids(random: np.random.Generator, count: int) -> list[str]:
    lengths = random.integers(1, 9, count).tolist()
    return ["".join(random.choice(_PIECES, length))[:_LONGEST] for length in lengths]


def _features(schema: Schema, random: np.random.Generator) -> dict[str, np.ndarray]:
    frames = (2,) if schema.level == "frame" else ()
    return {
        stream.name: random.integers(0, 2, (*frames, stream.size)).astype(stream.encoding)
        for stream in schema.streams
    }


def _is_accepted(name: str, schema: Schema, features: dict[str, np.ndarray], folder: Path) -> bool:
    """Whether a shard with this id alone can be read."""
    alone = folder / "alone"
    write_shards(alone, "alone", [encode_clip(Clip(name, np.array([0]), features), schema)])
    try:
        split = open_split(alone, "alone", SplitSpec("*.tfrecord"), schema, cache=None)
        return [clip.id for clip in split.clips()] == [name]
    except DataError:
        return False


def _compare(trial: Trial, what: str, sent: list[str], found: list[str]) -> None:
    trial.case(len(found) == len(sent), f"{what}: {len(found)} rows of {len(sent)} clips", count=0)
    for one, other in zip(sent, found, strict=False):
        if not trial.case(one == other, f"{what}: {one!r} became {other!r}"):
            return
