"""Settings of the one training loop; no torch in here."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from recsys_bert.errors import InputError

LOWER_IS_BETTER = ("log_loss", "calibration_error")
"""Metrics whose best epoch is that of the lowest value, also after a task's name (``buy.log_loss``)."""

Precision = Literal["auto", "fp32", "bf16"]
"""Number format of matrix products; auto takes bf16 where the device computes it natively."""


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW and the gradients it is given."""

    weight_decay: float = 0.0
    """Decoupled weight decay; not applied to biases, norms and embeddings."""

    layer_decay: float = 1.0
    """Learning-rate factor in (0, 1] from each encoder layer to the one below it, embeddings last; 1 = one rate."""

    clip_norm: float = 5.0
    """Largest norm of the full gradient; 0 = no clipping."""

    sparse_adam: bool = False
    """Row-wise Adam without momentum for an encoder's item table: only rows that a step reads are updated, so a step
    costs the same however many items there are, and the state is two numbers a row. For sampled losses. The n-gram
    table (``encoder.ngrams``) is always updated so, unless it is attacked."""

    def __post_init__(self) -> None:
        _at_least("train.optimiser", self, 0, "weight_decay", "clip_norm")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"train.optimiser.layer_decay is {self.layer_decay}; it must lie in (0, 1], as 0.9 does.")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Learning-rate schedule."""

    name: Literal["constant", "linear", "cosine", "cosine_restarts", "polynomial", "inverse_sqrt"] = "constant"
    """Schedule after the warm-up: constant, falling to the floor by the last epoch, or 1 / √step (inverse_sqrt)."""

    warmup_steps: int = 0
    """Optimiser steps of linear warm-up."""

    floor: float = 0.0
    """Share of lr, in [0, 1), that linear, polynomial and the cosines fall to."""

    cycles: int = 2
    """Cycles of cosine_restarts."""

    power: float = 2.0
    """Power of polynomial; 1 is linear."""

    def __post_init__(self) -> None:
        _at_least("train.schedule", self, 0, "warmup_steps")
        _at_least("train.schedule", self, 1, "cycles")
        _above_zero("train.schedule", self, "power")
        if not 0 <= self.floor < 1:
            raise InputError(f"train.schedule.floor is {self.floor}; it must lie in [0, 1).")
        read = {
            "constant": (),
            "inverse_sqrt": (),
            "cosine_restarts": ("floor", "cycles"),
            "polynomial": ("floor", "power"),
        }
        _no_unread("train.schedule", self, "name", ("warmup_steps", *read.get(self.name, ("floor",))))


@dataclass(frozen=True, kw_only=True)
class AveragingConfig:
    """Weight averaging: validate and keep an average of the weights instead of the last ones."""

    method: Literal["none", "ema", "swa"] = "none"
    """ema = exponential average over steps, swa = equal average over epochs' ends or every so many steps."""

    first_epoch: int = 1
    """First epoch whose weights are averaged, counted from 1; before it the weights count as they are."""

    decay: float = 0.999
    """Decay of ema per step, in [0, 1); smaller during its first 10 / (1 - decay) steps or so."""

    every_steps: int = 0
    """Optimiser steps between weights that swa averages; 0 = one at each epoch's end."""

    def __post_init__(self) -> None:
        _at_least("train.averaging", self, 1, "first_epoch")
        _at_least("train.averaging", self, 0, "every_steps")
        if not 0 <= self.decay < 1:
            raise InputError(f"train.averaging.decay is {self.decay}; it must lie in [0, 1), as 0.999 does.")
        read = {"ema": ("first_epoch", "decay"), "swa": ("first_epoch", "every_steps")}
        _no_unread("train.averaging", self, "method", read.get(self.method, ()))


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """Adversarial training on an embedding table."""

    method: Literal["none", "fgm", "pgd"] = "none"
    """fgm = one step along the gradient, pgd = several projected steps. Training costs twice as much, or 1 + steps
    times."""

    table: str = "embeddings.token"
    """Name of the embedding table in the model, or the end of that name."""

    epsilon: float = 1.0
    """Length of fgm's step, radius of pgd's ball: Euclidean norm over the full table."""

    step_size: float = 0.3
    """Length of one step of pgd."""

    steps: int = 3
    """Steps of pgd."""

    def __post_init__(self) -> None:
        _at_least("train.adversarial", self, 1, "steps")
        _above_zero("train.adversarial", self, "epsilon", "step_size")
        read = {"fgm": ("table", "epsilon"), "pgd": ("table", "epsilon", "step_size", "steps")}
        _no_unread("train.adversarial", self, "method", read.get(self.method, ()))


@dataclass(frozen=True, kw_only=True)
class AuxiliaryConfig:
    """Auxiliary loss on the encoder's raw last layer, beside the one on the fused and necked output."""

    weight: float = 0.0
    """Share of the auxiliary loss in the total, in [0, 1); 0 = none, 0.8 is usual."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < 1:
            raise InputError(f"train.auxiliary.weight is {self.weight}; it must lie in [0, 1), as 0.8 does; 0 = none.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Training."""

    epochs: int = 50
    """Passes over the training data at most."""

    batch_size: int = 128
    """Examples per batch, over all processes together."""

    accumulate: int = 1
    """Batches per optimiser step."""

    lr: float = 1e-3
    """Highest learning rate."""

    precision: Precision = "auto"
    """Number format of matrix products; auto takes bf16 where the device computes it natively."""

    device: Literal["auto", "cpu"] = "auto"
    """auto takes a GPU when there is one."""

    monitor: str = "ndcg@10"
    """Validation metric that picks the best epoch: the highest value, or the lowest log_loss or calibration_error."""

    patience: int = 10
    """Validations without improvement before training stops; 0 = no early stopping."""

    validate_every: int = 1
    """Epochs between validations."""

    checkpoint_steps: int = 1000
    """Optimiser steps between checkpoints within an epoch; each epoch's end has one as well."""

    log_steps: int = 50
    """Optimiser steps between lines in metrics.jsonl."""

    seed: int = 0
    """Seeds initial weights, dropout, order, masks and negatives."""

    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """Optimiser: weight decay, layer-wise rates, clipping, row-wise updates."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Learning-rate schedule."""

    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    """Weight averaging."""

    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """Adversarial training on an embedding table."""

    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    """Auxiliary loss on the raw last layer."""

    def is_better(self, value: float, best: float | None) -> bool:
        """True if a value of ``monitor`` is better than the best one before, None at first."""
        sign = -1 if self.monitor.rpartition(".")[2] in LOWER_IS_BETTER else 1
        return best is None or sign * value > sign * best

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "accumulate", "validate_every", "checkpoint_steps", "log_steps")
        _at_least("train", self, 1, *counts)
        _at_least("train", self, 0, "patience", "seed")
        _above_zero("train", self, "lr")
        if self.averaging.first_epoch > self.epochs:
            first = self.averaging.first_epoch
            raise InputError(f"train.averaging.first_epoch is {first}; it must be one of epochs 1 to {self.epochs}.")
        if (
            self.averaging.method == "swa"
            and self.averaging.first_epoch == self.epochs
            and not self.averaging.every_steps
        ):
            raise InputError(
                f"train.averaging.method 'swa' has one set of weights to average: that of epoch {self.epochs}. Lower "
                "train.averaging.first_epoch, train for more epochs, or set train.averaging.every_steps."
            )
        if self.optimiser.sparse_adam and self.adversarial.method != "none":
            raise InputError(
                "train.adversarial moves the full item table, train.optimiser.sparse_adam updates only rows that were "
                "read; leave one out."
            )


def _at_least(prefix: str, config: Any, least: int, *names: str) -> None:
    rule = "cannot be negative" if least == 0 else f"must be at least {least}"
    for name in names:
        if getattr(config, name) < least:
            raise InputError(f"{prefix}.{name} is {getattr(config, name)}; it {rule}.")


def _above_zero(prefix: str, config: Any, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise InputError(f"{prefix}.{name} is {getattr(config, name)}; it must be above 0.")


def _no_unread(prefix: str, config: Any, switch: str, read: tuple[str, ...]) -> None:
    """Refuse a setting that differs from its default although the chosen method does not read it."""
    for setting in fields(config):
        value = getattr(config, setting.name)
        if setting.name not in (switch, *read) and value != setting.default:
            raise InputError(
                f"{prefix}.{setting.name} is {value}, which {prefix}.{switch} {getattr(config, switch)!r} does not "
                f"use. Leave it out; its default is {setting.default}."
            )
