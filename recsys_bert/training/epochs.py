"""Epochs of a training: steps, validation, the best weights, checkpoints, and the lines of its log."""

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.training.averaging import WeightAverage
from recsys_bert.training.checkpoints import latest_first, random_state, save_checkpoint, save_weights
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.interrupts import deferred_interrupt
from recsys_bert.training.metrics_file import MetricsFile
from recsys_bert.training.run_folder import is_temporary
from recsys_bert.training.step import Batch, OptimiserStep, over_all, to_device
from recsys_bert.training.watching import current_watch


class Batches(Protocol):
    """Training data; the same (epoch, step) always gives the same batch."""

    @property
    def steps(self) -> int:
        """Batches per epoch."""

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield this process's share of the batches ``first_step``, ``first_step + 1`` … of ``epoch``."""


@dataclass
class TrainingState:
    """Plain numbers that a checkpoint needs for resuming."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    loss_sum: float = 0.0
    loss_count: float = 0.0
    loss_steps: int = 0
    epoch_loss_sum: float = 0.0
    epoch_loss_count: float = 0.0
    seconds: float = 0.0
    lines: int = 0


@dataclass
class Epochs:
    """A training under way: its epochs, one after the other, on this process."""

    model: nn.Module
    take_step: OptimiserStep
    accelerator: Accelerator
    batches: Batches
    config: TrainConfig
    folder: Path
    state: TrainingState
    log: MetricsFile
    before_step: Callable[[int], None] | None
    average: WeightAverage | None

    def __post_init__(self) -> None:
        if not self.accelerator.is_main_process:  # the main process has the sums of all
            self._reset(epoch=True)
        steps = math.ceil(self.batches.steps / self.config.accumulate)
        self.steps_per_line = min(self.config.log_steps, steps)
        self.clock = time.monotonic()

    def run(self, validate: Callable[[nn.Module], dict[str, float]] | None, label: str) -> None:
        """Run the epochs that are left, until patience is out.

        Raises:
            KeyboardInterrupt: After Ctrl-C, once a checkpoint is written.
        """
        state, total = self.state, self.config.epochs * self.batches.steps
        with (
            Progress(label, total, "batches", done=state.epoch * self.batches.steps + state.batch) as progress,
            deferred_interrupt() as interrupted,
        ):
            while state.epoch < self.config.epochs and not 0 < self.config.patience <= state.waited:
                self._epoch(progress, interrupted)
                self._finish_epoch(validate, progress)
                if self._is_interrupted(interrupted):
                    raise KeyboardInterrupt
            self._finish()
        if state.best is not None and (watch := current_watch()):
            watch.best = state.best

    def _is_interrupted(self, interrupted: threading.Event) -> bool:
        """Return True if any process got Ctrl-C; all of them then stop after the same step."""
        return over_all(self.accelerator, interrupted.is_set())[0] > 0

    def _epoch(self, progress: Progress, interrupted: threading.Event) -> None:
        """Run the rest of the current epoch."""
        state, rank, world = self.state, self.accelerator.process_index, self.accelerator.num_processes
        self.take_step.model.train()
        window: list[Batch] = []
        for batch in self.batches(state.epoch, state.batch, rank, world):
            window.append(batch)
            if len(window) < self.config.accumulate and state.batch + len(window) < self.batches.steps:
                continue
            loss = self._step(window)
            state.batch += len(window)
            progress.advance(len(window), epoch=f"{state.epoch + 1}", loss=loss)
            window = []
            if self._is_interrupted(interrupted):
                self._checkpoint()
                raise KeyboardInterrupt
            if state.step % self.config.checkpoint_steps == 0:
                self._checkpoint()

    def _finish_epoch(self, validate: Callable[[nn.Module], dict[str, float]] | None, progress: Progress) -> None:
        """Validate if due, save the best weights, write a checkpoint."""
        state = self.state
        self._collect()
        loss = state.epoch_loss_sum / (state.epoch_loss_count or 1.0)
        state.epoch_loss_sum = state.epoch_loss_count = 0.0
        state.epoch, state.batch = state.epoch + 1, 0
        value: float | None = None
        if self.average:
            self.average.after_epoch(state.epoch)
        if validate and (state.epoch % self.config.validate_every == 0 or state.epoch == self.config.epochs):
            self.take_step.model.eval()
            with self.average.in_place(self.sample()) if self.average else contextlib.nullcontext(), torch.no_grad():
                value = self._validate(validate)
            if self.accelerator.is_main_process:
                best = " (best)" if state.best_epoch == state.epoch else ""
                metric = f"validation {self.config.monitor} {value:.4f}{best}"
                progress.note(f"epoch {state.epoch}: loss {loss:.4g} · {metric}")
        self._checkpoint()
        if value is not None and (watch := current_watch()):
            watch.validated(state.epoch, value)

    def _finish(self) -> None:
        """Write the mean loss since the last line; a prolonged run drops that line, as the checkpoint lacks it."""
        self._collect()
        if self.state.loss_count:
            self._write_loss(self.state.epoch)

    def sample(self) -> Iterator[dict[str, Any]]:
        """Yield up to 100 training batches on the device, the same on every process."""
        return (to_device(batch, self.accelerator.device) for batch in itertools.islice(self.batches(0), 100))

    def _validate(self, validate: Callable[[nn.Module], dict[str, float]]) -> float:
        """Validate the current weights and save them if they are the best; returns the monitored metric."""
        state, metrics = self.state, validate(self.model)
        if self.config.monitor not in metrics:
            raise InputError(
                f"train.monitor is {self.config.monitor!r}; this training validates {', '.join(sorted(metrics))}."
            )
        self.log.write({"step": state.step, "epoch": state.epoch, **metrics, "seconds": round(self._seconds(), 2)})
        value = metrics[self.config.monitor]
        if self.config.is_better(value, state.best):
            state.best, state.best_epoch, state.waited = value, state.epoch, 0
            if self.accelerator.is_main_process:
                save_weights(self.folder / "checkpoints" / "best.safetensors", self.model)
        else:
            state.waited += 1
        return value

    def _step(self, window: list[Batch]) -> float:
        """Take one optimiser step over ``window``; returns the loss of its last batch."""
        state = self.state
        if self.before_step:
            self.before_step(state.step)
        losses = self.take_step(window, state.step)
        for loss, count in losses:
            state.loss_sum += loss * count
            state.loss_count += count
            state.epoch_loss_sum += loss * count
            state.epoch_loss_count += count
        state.step += 1
        state.loss_steps += 1
        if self.average:
            self.average.after_step(state.epoch + 1, state.step)
        if state.loss_steps == self.steps_per_line:
            self._collect()
            self._write_loss(state.epoch + 1)
            self._reset()
            state.loss_steps = 0
        return losses[-1][0]

    def _collect(self) -> None:
        """Sum the losses of all processes in the main process; stop if they are not finite."""
        state = self.state
        sums = over_all(
            self.accelerator, state.loss_sum, state.loss_count, state.epoch_loss_sum, state.epoch_loss_count
        )
        if not math.isfinite(sums[0]):
            precision = " or train with train.precision = 'fp32'" if self.accelerator.mixed_precision == "bf16" else ""
            raise InputError(
                f"the loss is {sums[0] / sums[1]} at step {state.step}. Lower train.lr{precision}. {self._saved()}"
            )
        if self.accelerator.is_main_process:
            state.loss_sum, state.loss_count, state.epoch_loss_sum, state.epoch_loss_count = sums
        else:
            self._reset(epoch=True)

    def _saved(self) -> str:
        """Name the checkpoint that a run which diverged leaves behind."""
        if is_temporary(self.folder):
            return "Nothing is kept of the run."
        saved = latest_first(self.folder)
        return f"The last finite weights are in {saved[0]}." if saved else "No checkpoint was written before that."

    def _reset(self, epoch: bool = False) -> None:
        """Reset the sums of losses of this process."""
        state = self.state
        state.loss_sum = state.loss_count = 0.0
        if epoch:
            state.epoch_loss_sum = state.epoch_loss_count = 0.0

    def _write_loss(self, epoch: int) -> None:
        """Write the mean loss of the last ``steps`` optimiser steps, in ``epoch`` counted from 1."""
        state = self.state
        if not state.loss_count:  # of this process alone: another one writes
            return
        lr = self.take_step.optimiser.param_groups[-1]["lr"]
        loss = state.loss_sum / state.loss_count
        self.log.write({"step": state.step, "epoch": epoch, "loss": loss, "steps": state.loss_steps, "lr": lr})

    def _seconds(self) -> float:
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now
        return self.state.seconds

    def _checkpoint(self) -> None:
        self._collect()
        self._seconds()
        self.state.lines = self.log.lines
        random = gather_object([random_state()])
        if self.accelerator.is_main_process:
            optimiser = self.take_step.optimiser.optimizer
            save_checkpoint(self.folder, self.model, optimiser, asdict(self.state), random, self.average)
        self.accelerator.wait_for_everyone()
