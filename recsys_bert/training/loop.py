"""Training loop: epochs, validation, early stopping, checkpoints, exact resume, progress."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch import nn

from recsys_bert.devices import uses_bf16
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.weights import load_weights
from recsys_bert.training.adversarial import Attack
from recsys_bert.training.averaging import WeightAverage, recompute_batch_norm
from recsys_bert.training.checkpoints import latest_first, load_checkpoint
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.epochs import Batches, Epochs, TrainingState
from recsys_bert.training.metrics_file import MetricsFile
from recsys_bert.training.parameter_groups import parameter_groups
from recsys_bert.training.schedules import warn_of_warmup
from recsys_bert.training.sparse_adam import RowAdamW, kept_from_ddp, row_tables
from recsys_bert.training.step import OptimiserStep
from recsys_bert.training.watching import current_watch


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
            model; or the training is watched and has no ``validate``.
        KeyboardInterrupt: After Ctrl-C, once a checkpoint is written.
    """
    total_steps = config.epochs * math.ceil(batches.steps / config.accumulate)
    if watch := current_watch():
        watch.begin(run, validates=validate is not None)
    accelerator = _accelerator(model, config)
    if accelerator.is_main_process:
        warn_of_warmup(config, total_steps)
    model.to(accelerator.device)
    tables = row_tables(model, config)
    optimiser = _optimiser(model, config, tables, groups or [])
    state = TrainingState()
    average = WeightAverage(model, config) if config.averaging.method != "none" else None
    attack = Attack(model, config) if config.adversarial.method != "none" else None
    run.mkdir(parents=True, exist_ok=True)
    if checkpoints := latest_first(run):
        state = TrainingState(**load_checkpoint(checkpoints[0], model, optimiser, average, accelerator.process_index))
    log = MetricsFile(run / "metrics.jsonl", state.lines, accelerator.is_main_process)
    with kept_from_ddp(model, tables):
        wrapped, prepared_optimiser = accelerator.prepare(model, optimiser)
    take_step = OptimiserStep(wrapped, prepared_optimiser, accelerator, config, total_steps, attack, average)
    epochs = Epochs(model, take_step, accelerator, batches, config, run, state, log, before_step, average)
    epochs.run(validate, label)
    log.seal()
    _finish(epochs, tables)
    best_epoch = state.epoch if state.best is None else state.best_epoch
    return Summary(state.step, state.epoch, state.best, best_epoch, state.seconds)


def _finish(epochs: Epochs, tables: Sequence[nn.Embedding]) -> None:
    """Give the model the weights of the best epoch, or, without validation, the averaged ones; end its training."""
    if epochs.state.best is not None:
        load_weights(epochs.model, epochs.folder / "checkpoints" / "best.safetensors")
    elif epochs.average:
        epochs.average.put()
        recompute_batch_norm(epochs.model, epochs.sample())
    for table in tables:
        table.sparse = False
    epochs.model.eval()


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
