"""Training loop: epochs, validation, early stopping, checkpoints, exact resume, progress."""

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import nn

from recsys_bert.devices import uses_bf16
from recsys_bert.encoder.model import Encoder, load_weights
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.training.adversarial import Attack
from recsys_bert.training.averaging import WeightAverage, recompute_batch_norm
from recsys_bert.training.checkpoints import (
    latest_first,
    load_checkpoint,
    random_state,
    save_checkpoint,
    save_weights,
)
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.interrupts import deferred_interrupt
from recsys_bert.training.metrics_file import MetricsFile
from recsys_bert.training.parameter_groups import parameter_groups
from recsys_bert.training.run_folder import is_temporary
from recsys_bert.training.schedules import warn_of_warmup
from recsys_bert.training.sparse_adam import RowAdamW, kept_from_ddp, row_tables
from recsys_bert.training.step import Batch, OptimiserStep, over_all, to_device


class Batches(Protocol):
    """Training data; the same (epoch, step) always gives the same batch."""

    @property
    def steps(self) -> int:
        """Batches per epoch."""

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield this process's share of the batches ``first_step``, ``first_step + 1`` … of ``epoch``."""


@dataclass
class Summary:
    """Result of a training."""

    steps: int
    """Optimiser steps, resumed ones included."""

    epochs: int
    """Finished epochs."""

    best: float | None
    """Best value of the monitored metric; None without validation."""

    best_epoch: int
    """Epoch of the model's weights."""

    seconds: float
    """Wall time of the run, resumed parts and validation included."""


@dataclass
class _State:
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


def fit(
    model: nn.Module,
    batches: Batches,
    config: TrainConfig,
    run: Path,
    *,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    groups: Sequence[Mapping[str, Any]] | None = None,
    before_step: Callable[[int], None] | None = None,
    label: str = "training",
) -> Summary:
    """Train ``model``; resume if ``run`` was begun before, also with more epochs than before.

    Args:
        model: ``forward(batch)`` returns the mean loss over the batch's targets.
        batches: The data. Its ``total_weight`` or ``n_targets`` entry, where there is one, weighs batches against each
            other when gradients are accumulated or averaged over processes; else every example counts the same.
        config: The settings.
        run: Folder for ``metrics.jsonl`` and ``checkpoints``.
        validate: Returns metrics; ``config.monitor`` must be among them.
        groups: Parameter groups with their learning rate, as ``{"params": […], "lr": 1e-4}``; all other parameters use
            ``config.lr``.
        before_step: Called with the number of the next optimiser step.
        label: Label of the progress display.

    Returns:
        The summary. ``model`` has the weights of the best epoch, or of the last one without validation; averaged ones
        with ``config.averaging``.

    Raises:
        InputError: The loss is not finite, a checkpoint is damaged, or ``optimiser.sparse_adam`` does not suit the
            model.
        KeyboardInterrupt: After Ctrl-C, once a checkpoint is written.
    """
    total, total_steps = config.epochs * batches.steps, config.epochs * math.ceil(batches.steps / config.accumulate)
    accelerator = _accelerator(model, config)
    if accelerator.is_main_process:
        warn_of_warmup(config, total_steps)
    model.to(accelerator.device)
    tables = row_tables(model, config)
    optimiser = _optimiser(model, config, tables, groups or [])
    state = _State()
    average = WeightAverage(model, config) if config.averaging.method != "none" else None
    attack = Attack(model, config) if config.adversarial.method != "none" else None
    run.mkdir(parents=True, exist_ok=True)
    if checkpoints := latest_first(run):
        state = _State(**load_checkpoint(checkpoints[0], model, optimiser, average, accelerator.process_index))
    log = MetricsFile(run / "metrics.jsonl", state.lines, accelerator.is_main_process)
    with kept_from_ddp(model, tables):
        wrapped, prepared_optimiser = accelerator.prepare(model, optimiser)
    take_step = OptimiserStep(wrapped, prepared_optimiser, accelerator, config, total_steps, attack, average)
    loop = _Loop(model, take_step, accelerator, batches, config, run, state, log, before_step, average)
    with (
        Progress(label, total, "batches", done=state.epoch * batches.steps + state.batch) as progress,
        deferred_interrupt() as interrupted,
    ):
        while state.epoch < config.epochs and not loop.out_of_patience():
            loop.epoch(progress, interrupted)
            loop.finish_epoch(validate, progress)
            if loop.is_interrupted(interrupted):
                raise KeyboardInterrupt
        loop.finish()
    if state.best is not None:
        load_weights(model, run / "checkpoints" / "best.safetensors")
    elif average:
        average.put()
        recompute_batch_norm(model, loop.sample())
    for table in tables:
        table.sparse = False
    model.eval()
    best_epoch = state.epoch if state.best is None else state.best_epoch
    return Summary(state.step, state.epoch, state.best, best_epoch, state.seconds)


@dataclass
class _Loop:
    model: nn.Module
    take_step: OptimiserStep
    accelerator: Accelerator
    batches: Batches
    config: TrainConfig
    run: Path
    state: _State
    log: MetricsFile
    before_step: Callable[[int], None] | None
    average: WeightAverage | None

    def __post_init__(self) -> None:
        if not self.accelerator.is_main_process:  # the main process has the sums of all
            self._reset(epoch=True)
        steps = math.ceil(self.batches.steps / self.config.accumulate)
        self.steps_per_line = min(self.config.log_steps, steps)
        self.clock = time.monotonic()

    def out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.state.waited

    def is_interrupted(self, interrupted: threading.Event) -> bool:
        """Return True if any process got Ctrl-C; all of them then stop after the same step."""
        return over_all(self.accelerator, interrupted.is_set())[0] > 0

    def epoch(self, progress: Progress, interrupted: threading.Event) -> None:
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
            if self.is_interrupted(interrupted):
                self._checkpoint()
                raise KeyboardInterrupt
            if state.step % self.config.checkpoint_steps == 0:
                self._checkpoint()

    def finish_epoch(self, validate: Callable[[nn.Module], dict[str, float]] | None, progress: Progress) -> None:
        """Validate if due, save the best weights, write a checkpoint."""
        state = self.state
        self._collect()
        loss = state.epoch_loss_sum / (state.epoch_loss_count or 1.0)
        state.epoch_loss_sum = state.epoch_loss_count = 0.0
        state.epoch, state.batch = state.epoch + 1, 0
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

    def finish(self) -> None:
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
                save_weights(self.run / "checkpoints" / "best.safetensors", self.model)
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
        if is_temporary(self.run):
            return "Nothing is kept of the run."
        saved = latest_first(self.run)
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
            save_checkpoint(self.run, self.model, optimiser, asdict(self.state), random, self.average)
        self.accelerator.wait_for_everyone()


def _optimiser(
    model: nn.Module, config: TrainConfig, tables: Sequence[nn.Embedding], groups: Sequence[Mapping[str, Any]]
) -> torch.optim.AdamW:
    """AdamW, or row-wise Adam with sparse gradients for ``tables``."""
    for table in tables:
        table.sparse = True  # until ``fit`` is done
    kind = RowAdamW if tables else torch.optim.AdamW
    return kind(parameter_groups(model, config, groups), lr=config.lr, fused=True)


def _accelerator(model: nn.Module, config: TrainConfig) -> Accelerator:
    AcceleratorState._reset_state()  # an earlier fit in this process may have had another precision
    on_gpu = config.device != "cpu" and torch.cuda.is_available()
    precision = "bf16" if uses_bf16(config.precision, torch.device("cuda" if on_gpu else "cpu")) else "no"
    # without cpu=True, accelerate takes each CPU process under torchrun for the only one
    on_cpu = config.device == "cpu" or not torch.accelerator.is_available()
    drops = any(isinstance(part, Encoder) and part.config.layer_drop > 0 for part in model.modules())
    unused = DistributedDataParallelKwargs(find_unused_parameters=drops)  # a skipped layer gets no gradient
    return Accelerator(cpu=on_cpu, mixed_precision=precision, log_with=None, kwargs_handlers=[unused])
