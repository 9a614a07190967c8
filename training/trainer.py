"""The one training loop, of teachers and students alike."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from common.errors import ConfigError
from families.base import FamilyModule
from records import Batch, FrameSampling, Split, iterate_batches
from runs import NOTE
from training.averaging import WeightAverage
from training.checkpoint import (
    CHECKPOINT_NAME,
    DamagedCheckpoint,
    TrainingState,
    load_checkpoint,
    save_checkpoint,
)
from training.config import TrainConfig
from training.device import autocast
from training.evaluation import Evaluation, Stopped
from training.log import TrainingLog
from training.objective import Objective
from training.optimizer import clip_gradients, make_optimizer
from training.schedule import Schedule


class Interrupted(Exception):
    """SIGTERM came; the checkpoint is written."""


@dataclass(frozen=True)
class Beside:
    """Clips without labels that every batch has beside those of the training split.

    Attributes:
        split: their records.
        share: how much of a batch they are.
    """

    split: Split
    share: float

    def clips(self, batch_size: int) -> int:
        """How many of them there are in a batch.

        Raises:
            ConfigError: none, or none but them, or more than there are.
        """
        clips = round(self.share * batch_size)
        if not 0 < clips < batch_size or clips > len(self.split):
            raise ConfigError(
                f"distill.unlabeled.share: {self.share:g} of a batch of {batch_size} are {clips} "
                f"clips, and there are {len(self.split)}; give at least one of either kind, and no "
                "more than there are"
            )
        return clips


@dataclass(frozen=True)
class Phases:
    """How many steps a training takes.

    Attributes:
        main: steps of the first phase.
        averaging: steps of the second, in which a moving average of the weights is kept.
        per_epoch: steps an epoch.
    """

    main: int
    averaging: int
    per_epoch: int

    @property
    def total(self) -> int:
        return self.main + self.averaging

    @classmethod
    def plan(cls, clips: int, train: TrainConfig, beside: int = 0) -> Phases:
        """Counts the steps; a batch that would be short is left out.

        Args:
            clips: of the training split.
            train: the settings.
            beside: how many clips of a batch are not of it.

        Raises:
            ConfigError: an epoch has no full batch.
        """
        per_epoch = clips // (train.batch_size - beside)
        if per_epoch == 0:
            raise ConfigError(
                f"train.batch_size: {train.batch_size} is more than the {clips} training clips"
            )
        main = max(1, round(train.epochs * per_epoch))
        averaging = round(train.averaging_epochs * per_epoch)
        if train.max_steps is not None:
            main, averaging = min(main, train.max_steps), 0
        return cls(main, averaging, per_epoch)


@dataclass(frozen=True)
class Trained:
    """What a training leaves behind, on the model's device.

    Attributes:
        main: the weights at the end of the first phase.
        average: the averaged weights, if there was a second phase.
        clips: how many it took, each as often as it came.
        clips_per_second: over the steps that this process took, without scoring.
        evaluation_seconds: how long it took to score the weights on the way.
    """

    main: dict[str, Tensor]
    average: dict[str, Tensor] | None
    clips: int
    clips_per_second: float
    evaluation_seconds: float = 0.0


class Trainer:
    """Trains one model; killed at any step and started again, it ends at the same weights.

    Args:
        model: a family's module on its device, freshly initialized.
        objective: gives loss and output.
        split: the training records.
        train: the settings.
        seed: of the order of clips, frame draws and dropout.
        folder: where checkpoint, metrics (JSON lines), TensorBoard events and progress go.
        draws_frames: whether the family takes frames drawn at random (else a sequence).
        workers: decoding processes.
        beside: clips that go with them, which the objective tells apart by their ids.
        evaluation: scores the weights every `train.evaluate_every` epochs; None: never.

    Raises:
        ConfigError: a batch is no whole number of clips of either kind.
    """

    def __init__(
        self,
        model: FamilyModule,
        objective: Objective,
        split: Split,
        train: TrainConfig,
        *,
        seed: int,
        folder: Path,
        draws_frames: bool,
        workers: int = 0,
        beside: Beside | None = None,
        evaluation: Evaluation | None = None,
    ) -> None:
        self._objective = objective
        self._split = split
        self._train = train
        self._seed = seed
        self._folder = folder
        self._workers = workers
        self._sampling = FrameSampling(
            draw=train.draw_frames if draws_frames else None,
            first=train.first_frames,
            shuffle=train.shuffle_frames,
        )
        self._device = next(model.parameters()).device
        self._evaluation = evaluation
        self._beside = beside
        self._clips_beside = beside.clips(train.batch_size) if beside else 0
        self._phases = Phases.plan(len(split), train, self._clips_beside)
        self._schedule = Schedule(train, self._phases.main, self._phases.per_epoch)
        self._state = TrainingState(model, make_optimizer(model, train))
        self._stop_requested = False
        self._saved = 0.0

    def run(self) -> Trained:
        """Trains from the last checkpoint, or from the start, to the end.

        Raises:
            Interrupted: on SIGTERM, after a checkpoint.
            Diverged: the loss is not finite.
        """
        if not self._resumes(self._folder / CHECKPOINT_NAME):
            torch.manual_seed(self._seed)
        first = self._state.step
        started = self._saved = time.monotonic()
        evaluated_before = self._state.evaluation_seconds
        log = TrainingLog(self._folder, self._phases.total, first)
        with closing(log), self._on_sigterm():
            # It may have been stopped while the weights were scored.
            self._settle(log)
            for batch in self._batches():
                loss, norm = self.step(batch.to(self._device))
                rate = self._schedule.learning_rate(self._state.step - 1)
                log.record(self._state.step, loss, norm, rate, len(batch))
                self._settle(log)
        evaluating = self._state.evaluation_seconds - evaluated_before
        seconds = time.monotonic() - started - evaluating
        state, per_step = self._state, self._train.batch_size
        return Trained(
            main=state.model.state_dict() if state.main is None else state.main,
            average=None if state.average is None else state.average.state_dict(),
            clips=state.step * per_step,
            clips_per_second=(state.step - first) * per_step / seconds,
            evaluation_seconds=state.evaluation_seconds,
        )

    def _resumes(self, checkpoint: Path) -> bool:
        """Whether there is a checkpoint to go on from; a damaged one counts as none."""
        try:
            return load_checkpoint(checkpoint, self._state, self._train.averaging_decay)
        except DamagedCheckpoint as damaged:
            print(f"{NOTE}{damaged} is damaged; the training begins anew", flush=True)
            return False

    def _batches(self) -> Iterator[Batch]:
        """Batches from the state's step on, to the end."""
        steps = self._phases.total - self._state.step
        batches = self._stream(self._split, self._train.batch_size - self._clips_beside)
        if self._beside:
            others = self._stream(self._beside.split, self._clips_beside)
            batches = map(Batch.followed_by, batches, others)
        yield from islice(batches, steps)

    def _stream(self, split: Split, clips: int) -> Iterator[Batch]:
        """Batches of so many clips of a split, epoch after epoch, from the state's step on."""
        first, start = divmod(self._state.step, len(split) // clips)
        for epoch in count(first):
            yield from iterate_batches(
                split,
                clips,
                sampling=self._sampling,
                shuffle_seed=self._seed,
                epoch=epoch,
                start_batch=start if epoch == first else 0,
                workers=self._workers,
                drop_last=True,
            )

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One update; returns loss and gradient norm without waiting for the device."""
        state = self._state
        if state.step == self._phases.main:
            state.main = {k: v.detach().clone() for k, v in state.model.state_dict().items()}
            state.average = WeightAverage(state.model, self._train.averaging_decay)
        for group in state.optimizer.param_groups:
            group["lr"] = self._schedule.learning_rate(state.step)
        state.model.train()
        with autocast(self._device, self._train.precision):
            loss, _ = self._objective(state.model, batch)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.model.add_penalty_gradient()
        norm = clip_gradients(state.model.parameters(), self._train.clip_norm, self._train.clip)
        state.optimizer.step()
        state.step += 1
        if state.average is not None:
            state.average.update(state.model)
        return loss.detach(), norm

    def _settle(self, log: TrainingLog) -> None:
        """What follows a step: the weights are scored and the state is saved, if it is time.

        Raises:
            Interrupted: on SIGTERM, after a checkpoint.
        """
        with suppress(Stopped):
            self._evaluate_if_due(log)
        now = time.monotonic()
        if self._stop_requested or now - self._saved > self._train.checkpoint_seconds:
            save_checkpoint(self._folder / CHECKPOINT_NAME, self._state)
            self._saved = now
        if self._stop_requested:
            raise Interrupted

    def _evaluate_if_due(self, log: TrainingLog) -> None:
        """Scores the weights if it is time, and they are not scored yet.

        While an average is kept, it is the average that is scored.

        Raises:
            Stopped: on SIGTERM.
        """
        state = self._state
        if self._evaluation is None or state.evaluated == state.step or not self._is_due():
            return
        started = time.monotonic()
        phase = "main" if state.average is None else "average"
        with _carrying(state.model, state.average) as model:
            scores = self._evaluation.score(model, lambda: self._stop_requested)
        seconds = time.monotonic() - started
        epoch = state.step / self._phases.per_epoch
        log.record_evaluation(state.step, epoch, phase, scores, seconds)
        state.evaluated = state.step
        state.evaluation_seconds += seconds

    def _is_due(self) -> bool:
        """Whether weights are scored at this step: at the end of a phase, and in between."""
        step, phases = self._state.step, self._phases
        if step in (phases.main, phases.total):
            return True
        between = (self._train.evaluate_every or math.inf) * phases.per_epoch
        return step // between > (step - 1) // between

    @contextmanager
    def _on_sigterm(self) -> Iterator[None]:
        def request(signum: int, frame: FrameType | None) -> None:
            self._stop_requested = True

        before = signal.signal(signal.SIGTERM, request)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _carrying(model: FamilyModule, average: WeightAverage | None) -> Iterator[FamilyModule]:
    """The model with averaged weights, if there are any; it has its own again afterwards."""
    if average is None:
        yield model
        return
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(average.state_dict())
    try:
        yield model
    finally:
        model.load_state_dict(own)
