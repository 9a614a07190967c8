"""What a training leaves for people to look at: metrics, TensorBoard events, and its progress.

`metrics.jsonl` in the task's folder has two kinds of lines, both in the order of their steps. Every
20 steps, and at the first and the last one:

    {"step": 40, "loss": 1.2, "gradient_norm": 0.9, "learning_rate": 0.001, "clips_per_second": 310}

For every evaluation, `step` of `steps` steps and `epoch` epochs after the start:

    {"step": 46, "steps": 460, "epoch": 1.0, "phase": "main", "seconds": 0.4,
     "search": {"gap": 0.41, "hit_at_1": 0.52, "perr": 0.38}}

`phase` is "main", or "average" where the averaged weights were scored; `seconds` is what it took. A
line of an evaluation is on the disk before the training goes on. After a kill the lines of steps
that are taken again are dropped and written again; those of evaluations come out with the same
scores. No step has two evaluations.
"""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar
from torch import Tensor

from common.errors import UserError
from common.files import naming, write_bytes
from runs import append_progress

METRICS_NAME = "metrics.jsonl"
_PROGRESS_SECONDS = 2.0
_LOG_STEPS = 20


class Diverged(UserError):
    """The loss is no longer finite; the message names the step and what to lower."""


class TrainingLog:
    """Metrics of a training: JSON lines, TensorBoard events, and the progress that a parent reads.

    Losses stay on the device until they are logged, every `_LOG_STEPS` steps.

    Args:
        folder: the task's.
        first_step: those that a checkpoint has; what was logged of later ones is forgotten.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._folder = folder
        self._path = folder / METRICS_NAME
        _drop_lines_after(self._path, first_step)
        self._lines = self._path.open("a")
        self._events = _events_writer(folder / "events", first_step)
        self._clips = 0
        self._since = self._shown = time.monotonic()
        self._reported: dict[str, float] = {}

    def close(self) -> None:
        """Writes what is not written yet."""
        with naming(self._path):
            self._lines.close()
            self._events.close()

    def record(
        self, step: int, steps: int, loss: Tensor, norm: Tensor, rate: float, clips: int
    ) -> None:
        """Takes note of a step.

        Args:
            step: steps taken.
            steps: to take.
            loss: a scalar on the model's device.
            norm: that of the gradient, likewise.
            rate: the learning rate.
            clips: of the step.

        Raises:
            Diverged: the loss is not finite.
            OSError: there is no space for it.
        """
        self._clips += clips
        if step % _LOG_STEPS == 0 or step in (1, steps):
            self._log(step, loss, norm, rate)
        # Also where twenty steps take long: a job that reports nothing counts as hanging.
        now = time.monotonic()
        if step == steps or now - self._shown > _PROGRESS_SECONDS:
            self._shown = now
            with naming(self._path):
                self._lines.flush()
            append_progress(self._folder, step, steps, **self._reported)

    def record_evaluation(
        self,
        step: int,
        steps: int,
        epoch: float,
        phase: str,
        scores: Mapping[str, float],
        seconds: float,
    ) -> None:
        """Takes note of what the weights score, on the disk when it returns.

        Args:
            step: steps taken.
            steps: to take.
            epoch: epochs taken.
            phase: whose weights they are, "main" or "average".
            scores: by name.
            seconds: how long it took, which counts for no speed.

        Raises:
            OSError: there is no space for it.
        """
        self._since += seconds
        self._reported["search_gap"] = scores["gap"]
        place = {"step": step, "steps": steps, "epoch": epoch}
        figures = {**place, "phase": phase, "seconds": seconds}
        with naming(self._path):
            self._lines.write(json.dumps({**figures, "search": scores}) + "\n")
            self._lines.flush()
            os.fsync(self._lines.fileno())
        self._write_events(step, {f"search/{name}": score for name, score in scores.items()})
        append_progress(self._folder, step, steps, **self._reported)

    def _log(self, step: int, loss: Tensor, norm: Tensor, rate: float) -> None:
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(
                f"the loss is {value} at step {step}; lower train.learning_rate or train.clip_norm"
            )
        now = time.monotonic()
        speed = self._clips / max(now - self._since, 1e-9)
        self._clips, self._since = 0, now
        figures = {
            "loss": value,
            "gradient_norm": norm.item(),
            "learning_rate": rate,
            "clips_per_second": speed,
        }
        self._reported |= {"loss": value, "clips_per_second": speed}
        with naming(self._path):
            self._lines.write(json.dumps({"step": step, **figures}) + "\n")
        self._write_events(step, figures)

    def _write_events(self, step: int, figures: Mapping[str, float]) -> None:
        with naming(self._path):
            for name, figure in figures.items():
                summary = scalar(name, figure)
                self._events.write_event(Event(wall_time=time.time(), step=step, summary=summary))


def logged(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a training's metrics so far, oldest first, without one that is cut short.

    Raises:
        OSError: there are none.
    """
    for line in path.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            values = json.loads(line)
            if isinstance(values, dict):
                yield values


def last_loss(folder: Path) -> float | None:
    """The last loss that was logged in a training's folder; None where there is none."""
    losses = [line["loss"] for line in logged(folder / METRICS_NAME) if "loss" in line]
    return losses[-1] if losses else None


def _events_writer(folder: Path, first_step: int) -> EventsWriter:
    """Writes TensorBoard events; what there is of steps from `first_step` on is shown no more.

    tensorboardX's SummaryWriter writes in a thread. Where that meets a full disk it dies, and the
    training would wait for it for ever.
    """
    folder.mkdir(exist_ok=True)
    writer = EventsWriter(str(folder / "events"))
    begin = SessionLog(status=SessionLog.START)
    writer.write_event(Event(wall_time=time.time(), step=first_step, session_log=begin))
    return writer


def _drop_lines_after(path: Path, step: int) -> None:
    """Forgets what was logged past the checkpoint: those steps are taken again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            break
    write_bytes(path, "".join(f"{line}\n" for line in kept).encode())
