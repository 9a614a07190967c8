"""The one training loop, of teachers and students alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from families.base import FamilyModule
from records import Batch, FrameSampling, Split
from runs import NOTE, append_log
from training.averaging import WeightAverage, carrying, weights_of
from training.checkpoint import (
    CHECKPOINT_NAME,
    DamagedCheckpoint,
    Progress,
    TrainingState,
    load_checkpoint,
    save_checkpoint,
)
from training.config import TrainConfig
from training.course import COURSE_NAME, Course, Phases, load_legs, save_legs
from training.evaluation import Evaluation, Stopped
from training.feed import Beside, Feed
from training.gradients import Gradients
from training.load import LoadMeter
from training.log import TrainingLog, last_loss
from training.objective import Objective
from training.optimizer import clip_gradients, make_optimizer
from training.ranks import ALONE, Ranks
from training.schedule import Schedule
from training.stop import Interrupted, StopRequest
from training.time_limit import Stopwatch, TimeLimit
from training.trained import Trained


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
        stop: epochs after which the first phase ends; None: `train` decides it.
        limit: what it may take; None: all that it needs.
        ranks: the processes that share the training; each has a trainer of the same arguments.
        clock: seconds.

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
        stop: float | None = None,
        limit: TimeLimit | None = None,
        ranks: Ranks = ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._train = train
        self._seed = seed
        self._folder = folder
        sampling = FrameSampling(
            draw=train.draw_frames if draws_frames else None,
            first=train.first_frames,
            shuffle=train.shuffle_frames,
        )
        self._feed = Feed(split, train.batch_size, sampling, seed, workers, beside, ranks)
        self._device = next(model.parameters()).device
        self._ranks = ranks
        self._gradients = Gradients(model, objective, train, ranks)
        self._evaluation = evaluation
        self._limit = limit
        self._clock = clock
        planned = Phases.plan(len(split), train, self._feed.clips_beside)
        self._per_epoch = planned.per_epoch
        self._course = Course.of(planned, stop)
        self._schedule = Schedule(train, planned.main, planned.per_epoch)
        self._state = TrainingState(model, make_optimizer(model, train))
        self._stop = StopRequest()
        self._spent = self._started = self._saved = 0.0

    def run(self) -> Trained:
        """Trains from the last checkpoint, or from the start, to the end.

        Raises:
            Interrupted: on SIGTERM, after a checkpoint.
            Diverged: the loss is not finite.
        """
        planned = self._course.total
        self._resume()
        progress = self._state.progress
        self._saved = self._started = self._clock()
        self._spent = progress.seconds
        stopwatch = Stopwatch(self._limit or TimeLimit(), self._spent, progress.step)
        load = LoadMeter(self._device)
        with ExitStack() as stack:
            log = None
            if self._ranks.leads:
                log = stack.enter_context(closing(TrainingLog(self._folder, progress.step)))
            stack.enter_context(self._stop.awaited())
            # It may have been stopped while the weights were scored.
            self._settle(log, stopwatch)
            for batch in self._batches():
                rate = self._learning_rate()
                self._settle(log, stopwatch, (*self.step(batch), rate))
                load.sample()
        return self._trained(planned, load)

    def _trained(self, planned: int, load: LoadMeter) -> Trained:
        state, progress, course = self._state, self._state.progress, self._course
        stop = None
        if progress.best_step:
            stop = (course.position(progress.best_step - 1) + 1) / self._per_epoch
        return Trained(
            main=self._first_phase() if state.main is None else state.main,
            average=None if state.average is None else state.average.state_dict(),
            clips=progress.step * self._train.batch_size,
            seconds=progress.seconds - progress.evaluation_seconds,
            evaluation_seconds=progress.evaluation_seconds,
            epochs=(progress.best_step or course.main) / self._per_epoch,
            stop=stop,
            steps=progress.step,
            planned_steps=planned,
            shortened=course.is_shortened,
            loss=last_loss(self._folder),
            cpu_load=load.cpu(),
            gpu_load=load.gpu(),
        )

    def _resume(self) -> None:
        """Goes on from the checkpoint, if there is one; a damaged one counts as none.

        Where the time was short, and is not any more, the training begins anew.
        """
        if self._limit is None and self._ranks.leads:
            (self._folder / COURSE_NAME).unlink(missing_ok=True)
        legs = () if self._limit is None else load_legs(self._folder)
        checkpoint, decay = self._folder / CHECKPOINT_NAME, self._train.averaging_decay
        try:
            found = load_checkpoint(checkpoint, self._state, decay, self._may_go_on)
        except DamagedCheckpoint as damaged:
            if self._ranks.leads:
                print(f"{NOTE}{damaged} is damaged; the training begins anew", flush=True)
            found = False
        if not found:
            torch.manual_seed(self._seed)
        progress = self._state.progress
        if legs[: len(progress.legs)] != progress.legs:
            legs = progress.legs
        self._course = replace(self._course, legs=legs or self._course.legs, ended=progress.ended)
        where = f"goes on at step {progress.step:,}" if found else "begins"
        steps = f"{self._course.total:,} steps of {self._train.batch_size} clips"
        if self._ranks.leads:
            append_log(self._folder, f"{where}: {steps}")

    def _may_go_on(self, progress: Progress) -> bool:
        return not progress.legs or self._limit is not None

    def _batches(self) -> Iterator[Batch]:
        """Batches from the state's step on, to the end."""
        batches = self._feed.batches(self._state.progress.step)
        while self._state.progress.step < self._course.total:
            yield self._ranks.each(lambda: next(batches))

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One update; returns loss and gradient norm without waiting for the device."""
        state = self._state
        if state.progress.step == self._course.main:
            state.main = self._first_phase()
            state.average = WeightAverage(state.model, self._train.averaging_decay)
        for group in state.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        state.model.train()
        state.optimizer.zero_grad(set_to_none=True)
        loss = self._gradients.compute(batch)
        state.model.add_penalty_gradient()
        norm = clip_gradients(state.model.parameters(), self._train.clip_norm, self._train.clip)
        state.optimizer.step()
        state.progress.step += 1
        if state.average is not None:
            state.average.update(state.model)
        return loss, norm

    def _learning_rate(self) -> float:
        """That of the next step."""
        progress, course = self._state.progress, self._course
        if progress.step < course.main:
            return self._schedule.learning_rate(course.position(progress.step))
        last = (progress.best_step or course.main) - 1
        return self._schedule.averaging_rate(course.position(last))

    def _first_phase(self) -> dict[str, Tensor]:
        """The weights that the first phase came to; the model has them afterwards."""
        state = self._state
        if state.best is not None:
            state.model.load_state_dict(state.best)
            state.best = None
        return weights_of(state.model)

    def _settle(
        self,
        log: TrainingLog | None,
        stopwatch: Stopwatch,
        taken: tuple[Tensor, Tensor, float] | None = None,
    ) -> None:
        """What follows a step; the leading rank sees to it, and the others do as it says.

        Args:
            log: of the leading rank.
            stopwatch: of the training.
            taken: loss, gradient norm and learning rate of the step, if there was one.

        Raises:
            Interrupted: on SIGTERM, after a checkpoint.
        """
        if log is None:
            gap, steps, stop = self._ranks.led(3)
            self._heed(gap)
            self._shorten(steps)
        else:
            _, _, stop = self._ranks.led(3, lambda: self._look_after(log, stopwatch, taken))
        if stop:
            raise Interrupted

    def _look_after(
        self,
        log: TrainingLog,
        stopwatch: Stopwatch,
        taken: tuple[Tensor, Tensor, float] | None,
    ) -> tuple[float, float, bool]:
        """Logs a step; the weights are scored and the state is saved, if it is time.

        Returns:
            What the weights score, if that is heeded, and how many more steps there is time for, if
            not for all, else NaN; and whether to stop.
        """
        progress, gap = self._state.progress, math.nan
        if taken is not None:
            log.record(progress.step, self._course.total, *taken, self._train.batch_size)
        with suppress(Stopped):
            gap = self._evaluate_if_due(log)
        self._heed(gap)
        now = self._clock()
        progress.seconds = self._spent + now - self._started
        steps = self._steps_in_time(stopwatch, now - self._started)
        self._shorten(steps)
        stop = self._stop.made
        if stop or now - self._saved > self._train.checkpoint_seconds:
            save_checkpoint(self._folder / CHECKPOINT_NAME, self._state)
            self._saved = now
        return gap, steps, stop

    def _steps_in_time(self, stopwatch: Stopwatch, seconds: float) -> float:
        """How many more steps there is time for; NaN for all, or as was planned before."""
        progress, course = self._state.progress, self._course
        # What was written down before a kill is followed first.
        if self._limit is None or not course.legs[-1].step <= progress.step < course.total:
            return math.nan
        steps = stopwatch.steps_in_time(progress.step, course.total, seconds)
        return math.nan if steps is None else steps

    def _shorten(self, steps: float) -> None:
        """Plans so many more steps, unless it is NaN, and writes that down."""
        if math.isnan(steps):
            return
        progress = self._state.progress
        self._course = self._course.shortened(progress.step, int(steps))
        progress.legs = self._course.legs
        if self._ranks.leads:
            save_legs(self._folder, progress.legs)

    def _evaluate_if_due(self, log: TrainingLog) -> float:
        """Scores the weights if it is time, and they are not scored yet.

        While an average is kept, it is the average that is scored.

        Returns:
            The GAP of weights of the first phase; else, or where they are not scored, NaN.

        Raises:
            Stopped: on SIGTERM.
        """
        state, progress = self._state, self._state.progress
        if self._evaluation is None or progress.evaluated == progress.step or not self._is_due():
            return math.nan
        started = self._clock()
        phase = "main" if state.average is None else "average"
        with carrying(state.model, state.average):
            scores = self._evaluation.score(state.model, lambda: self._stop.made)
        seconds = self._clock() - started
        place = progress.step, self._course.total, progress.step / self._per_epoch
        log.record_evaluation(*place, phase, scores, seconds)
        progress.evaluated = progress.step
        progress.evaluation_seconds += seconds
        return scores["gap"] if phase == "main" else math.nan

    def _is_due(self) -> bool:
        """Whether weights are scored at this step: at the end of a phase, and in between."""
        step = self._state.progress.step
        if step in (self._course.main, self._course.total):
            return True
        between = (self._train.evaluate_every or math.inf) * self._per_epoch
        return step // between > (step - 1) // between

    def _heed(self, gap: float) -> None:
        """Keeps the weights if they are the best; ends the first phase if such are long ago.

        Args:
            gap: what they score; of NaN nothing follows, nor does it where there is no patience.
        """
        if self._train.patience is None or math.isnan(gap):
            return
        progress, patience = self._state.progress, self._train.patience * self._per_epoch
        if progress.best_gap is None or gap > progress.best_gap:
            progress.best_step, progress.best_gap = progress.step, gap
            self._state.best = weights_of(self._state.model)
        elif progress.step - progress.best_step >= patience and progress.step < self._course.main:
            progress.ended = progress.step
            self._course = replace(self._course, ended=progress.ended)
