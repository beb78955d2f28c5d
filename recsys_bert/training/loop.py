"""The one training loop: epochs, validation, early stopping, checkpoints, exact resume, progress."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from recsys_bert.encoder.model import load_weights
from recsys_bert.errors import InputError
from recsys_bert.progress import Progress
from recsys_bert.training.checkpoints import latest_first, load_checkpoint, save_checkpoint, save_weights
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.interrupts import deferred_interrupt
from recsys_bert.training.metrics import MetricsFile
from recsys_bert.training.parameter_groups import parameter_groups
from recsys_bert.training.schedules import lr_factor

Batch = Mapping[str, "np.ndarray | Tensor | int"]


class Batches(Protocol):
    """What the loop asks of its data; the same (epoch, step) always gives the same batch."""

    @property
    def steps(self) -> int:
        """Batches per epoch."""

    def __call__(self, epoch: int, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Yield this process's share of the batches ``first_step``, ``first_step + 1`` … of ``epoch``."""


@dataclass
class Summary:
    """How a training went."""

    steps: int
    """Optimiser steps in all, resumed ones included."""

    epochs: int
    """Epochs finished."""

    best: float | None
    """Best value of the monitored figure; None without validation."""

    best_epoch: int
    """Epoch whose weights the model has now."""

    seconds: float
    """Wall time of all parts of the run, validation included."""


@dataclass
class _State:
    """Everything that a resumed run has to know, as plain numbers."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    loss_sum: float = 0.0
    loss_count: float = 0.0
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
    """Train ``model``; go on where ``run`` stopped, if it was begun before.

    Args:
        model: ``forward(batch)`` returns the mean loss over the batch's targets.
        batches: The data. Its ``n_targets`` entry, where there is one, weighs batches against each other when
            gradients are accumulated or averaged over processes; else every example counts the same.
        config: The settings.
        run: Folder for ``metrics.jsonl`` and ``checkpoints``.
        validate: Gives figures after an epoch; ``config.monitor`` must be among them.
        groups: Parameters with learning rates of their own, as ``{"params": […], "lr": 1e-4}``; the rest of the
            model's parameters take ``config.lr``.
        before_step: Called with the number of the optimiser step to come.
        label: Shown before the progress.

    Returns:
        The summary. ``model`` then has the weights of the best epoch, or of the last one without validation.

    Raises:
        InputError: The loss is not finite, or a checkpoint is damaged.
        KeyboardInterrupt: After Ctrl-C, once a checkpoint is written.
    """
    AcceleratorState._reset_state()  # an earlier fit in this process may have had another precision
    accelerator = Accelerator(
        cpu=config.device == "cpu", mixed_precision="bf16" if _use_bf16(config) else "no", log_with=None
    )
    model.to(accelerator.device)
    optimiser = torch.optim.AdamW(parameter_groups(model, config, groups or []), lr=config.lr, fused=True)
    state = _State()
    run.mkdir(parents=True, exist_ok=True)
    if found := latest_first(run):
        state = _State(**load_checkpoint(found[0], model, optimiser))
    log = MetricsFile(run / "metrics.jsonl", state.lines, accelerator.is_main_process)
    wrapped, prepared_optimiser = accelerator.prepare(model, optimiser)
    loop = _Loop(model, wrapped, prepared_optimiser, accelerator, batches, config, run, state, log, before_step)
    total = config.epochs * batches.steps
    with (
        Progress(label, total, "batches", done=state.epoch * batches.steps + state.batch) as progress,
        deferred_interrupt() as interrupted,
    ):
        while state.epoch < config.epochs and not loop.out_of_patience():
            loop.epoch(progress, interrupted)
            loop.finish_epoch(validate)
            if loop.told_to_stop(interrupted):
                raise KeyboardInterrupt
    if state.best is not None:
        load_weights(model, run / "checkpoints" / "best.safetensors")
    model.eval()
    return Summary(
        state.step, state.epoch, state.best, state.best_epoch if state.best is not None else state.epoch, state.seconds
    )


@dataclass
class _Loop:
    model: nn.Module
    wrapped: nn.Module
    optimiser: Any  # accelerate's wrapper
    accelerator: Accelerator
    batches: Batches
    config: TrainConfig
    run: Path
    state: _State
    log: MetricsFile
    before_step: Callable[[int], None] | None

    def __post_init__(self) -> None:
        self.base_lrs = [group["initial_lr"] for group in self.optimiser.param_groups]
        self.total_steps = self.config.epochs * math.ceil(self.batches.steps / self.config.accumulate)
        if not self.accelerator.is_main_process:  # the main process has the sums of all
            self.state.loss_sum = self.state.loss_count = 0.0
        self.clock = time.monotonic()

    def out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.state.waited

    def told_to_stop(self, interrupted: threading.Event) -> bool:
        """Whether any process got Ctrl-C; all of them then stop after the same step."""
        return self._over_all(interrupted.is_set())[0] > 0

    def epoch(self, progress: Progress, interrupted: threading.Event) -> None:
        """Run the rest of the current epoch."""
        state, rank, world = self.state, self.accelerator.process_index, self.accelerator.num_processes
        self.wrapped.train()
        window: list[Batch] = []
        for batch in self.batches(state.epoch, state.batch, rank, world):
            window.append(batch)
            if len(window) < self.config.accumulate and state.batch + len(window) < self.batches.steps:
                continue
            loss = self._step(window)
            state.batch += len(window)
            progress.advance(len(window), epoch=f"{state.epoch + 1}", loss=loss)
            window = []
            if self.told_to_stop(interrupted):
                self._checkpoint()
                raise KeyboardInterrupt
            if state.step % self.config.checkpoint_steps == 0:
                self._checkpoint()

    def finish_epoch(self, validate: Callable[[nn.Module], dict[str, float]] | None) -> None:
        """Log, validate where it is time, keep the best weights, write a checkpoint."""
        state = self.state
        self._log_loss()
        state.epoch, state.batch = state.epoch + 1, 0
        if validate and (state.epoch % self.config.validate_every == 0 or state.epoch == self.config.epochs):
            self.wrapped.eval()
            with torch.no_grad():
                figures = validate(self.model)
            if self.config.monitor not in figures:
                raise InputError(
                    f"train.monitor is {self.config.monitor!r}; this training validates {', '.join(sorted(figures))}."
                )
            self.log.write({"step": state.step, "epoch": state.epoch, **figures, "seconds": round(self._seconds(), 2)})
            value = figures[self.config.monitor]
            if state.best is None or value > state.best:
                state.best, state.best_epoch, state.waited = value, state.epoch, 0
                if self.accelerator.is_main_process:
                    save_weights(self.run / "checkpoints" / "best.safetensors", self.model)
            else:
                state.waited += 1
        self._checkpoint()

    def _step(self, window: list[Batch]) -> float:
        """One optimiser step over ``window``: the mean loss over all its targets, on all processes."""
        state, accelerator = self.state, self.accelerator
        if self.before_step:
            self.before_step(state.step)
        factor = lr_factor(
            state.step,
            schedule=self.config.schedule,
            warmup_steps=self.config.warmup_steps,
            total_steps=self.total_steps,
        )
        for group, lr in zip(self.optimiser.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * factor
        counts = [_count(batch) for batch in window]
        total = max(1.0, self._over_all(sum(counts))[0])
        shown = 0.0
        for i, (batch, count) in enumerate(zip(window, counts, strict=True)):
            hold = accelerator.no_sync(self.wrapped) if i + 1 < len(window) else contextlib.nullcontext()
            with hold:
                loss = self.wrapped(_to_device(batch, accelerator.device))
                # DDP averages over processes, so each share is scaled up by their number first
                accelerator.backward(loss * (count * accelerator.num_processes / total))
            shown = loss.item()
            state.loss_sum += shown * count
            state.loss_count += count
        if self.config.clip_norm:
            accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        state.step += 1
        if state.step % self.config.log_steps == 0:
            self._log_loss()
        return shown

    def _over_all(self, *values: float) -> list[float]:
        """Sum each value over all processes."""
        if self.accelerator.num_processes == 1:
            return list(values)
        own = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        summed: list[float] = self.accelerator.reduce(own).tolist()
        return summed

    def _collect(self) -> None:
        """Bring what was summed since the last line to the main process; stop if it is no number any more."""
        state = self.state
        loss_sum, loss_count = self._over_all(state.loss_sum, state.loss_count)
        if not math.isfinite(loss_sum):
            raise InputError(
                f"the loss is {loss_sum / loss_count} at step {state.step}. Lower train.lr or train with "
                f"train.precision = 'fp32'; the last sound weights are in {self.run / 'checkpoints'}."
            )
        is_main = self.accelerator.is_main_process
        state.loss_sum, state.loss_count = (loss_sum, loss_count) if is_main else (0.0, 0.0)

    def _log_loss(self) -> None:
        self._collect()
        state = self.state
        if not state.loss_count:
            return
        lr = self.optimiser.param_groups[-1]["lr"]
        loss = state.loss_sum / state.loss_count
        self.log.write({"step": state.step, "epoch": state.epoch + 1, "loss": loss, "lr": lr})
        state.loss_sum = state.loss_count = 0.0

    def _seconds(self) -> float:
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now
        return self.state.seconds

    def _checkpoint(self) -> None:
        self._collect()
        self._seconds()
        self.state.lines = self.log.lines
        if self.accelerator.is_main_process:
            save_checkpoint(self.run, self.model, self.optimiser.optimizer, asdict(self.state))
        self.accelerator.wait_for_everyone()


def _use_bf16(config: TrainConfig) -> bool:
    if config.precision != "auto":
        return config.precision == "bf16"
    if config.device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _count(batch: Batch) -> int:
    given = batch.get("n_targets")
    if given is not None:
        return int(given)
    first = next(iter(batch.values()))
    return 1 if isinstance(first, int) else len(first)


def _to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    moved: dict[str, Any] = {}
    for name, value in batch.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        moved[name] = value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
    return moved
