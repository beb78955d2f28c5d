"""Settings of the one training loop; no torch in here."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError

Precision = Literal["auto", "fp32", "bf16"]
"""Number format of matrix products; auto takes bf16 where the device computes it natively."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained."""

    epochs: int = 50
    """Passes over the training data at most."""

    batch_size: int = 128
    """Examples per batch, over all processes together."""

    accumulate: int = 1
    """Batches per optimiser step."""

    lr: float = 1e-3
    """Learning rate at its highest."""

    weight_decay: float = 0.0
    """AdamW's decoupled decay; biases, norms and embeddings are left out."""

    layer_decay: float = 1.0
    """Factor in (0, 1] on the learning rate from each encoder layer to the one below it; the embeddings are below the
    lowest. 1 trains all at the same rate."""

    auxiliary: bool = False
    """Add a second loss on the encoder's last layer as it is, beside the one on the fused and necked output."""

    auxiliary_weight: float = 0.8
    """Share of that loss in the whole, in (0, 1)."""

    schedule: Literal["constant", "linear", "cosine", "cosine_restarts", "polynomial", "inverse_sqrt"] = "constant"
    """Course of the learning rate after the warm-up: flat, falling to its floor by the last epoch, or, as inverse_sqrt,
    with 1 / √step."""

    schedule_floor: float = 0.0
    """Share of lr, in [0, 1), that linear, polynomial and the cosines fall to."""

    schedule_cycles: int = 2
    """Falls from the highest rate to the floor; for cosine_restarts."""

    schedule_power: float = 2.0
    """Power of the share of steps that is left; 1 is linear. For polynomial."""

    warmup_steps: int = 0
    """Optimiser steps over which the learning rate climbs from zero."""

    sparse_adam: bool = False
    """Update only those rows of an encoder's item table that a step has read, by Adam without momentum: a step costs as
    much however many items there are, and two numbers are kept of a row. For sampled losses. The table of runs
    (``encoder.ngrams``), which no loss reads whole, is always updated so, unless attacked."""

    average: Literal["none", "ema", "swa"] = "none"
    """Validate and keep an average of the weights that training passes through: an exponential one over all steps, or
    the equal one over epochs' ends."""

    average_from: int = 1
    """First epoch whose weights are averaged, counted from 1; before it the weights count as they are."""

    average_decay: float = 0.999
    """Share that an exponential average keeps per step, in [0, 1); smaller while it is younger than some
    10 / (1 - decay) steps. For ema."""

    average_steps: int = 0
    """Optimiser steps from one set of averaged weights to the next; 0 takes each epoch's last. For swa."""

    adversarial: Literal["none", "fgm", "pgd"] = "none"
    """Learn from a moved embedding table as well as from the true one: moved once along its gradient, or several times
    within a ball. A step then costs twice as much, or 1 + adversarial_moves times."""

    adversarial_table: str = "embeddings.token"
    """Name of the embedding table in the model, or how that name ends."""

    adversarial_radius: float = 1.0
    """How far the whole table goes (fgm) or may go (pgd), as the Euclidean norm of the move."""

    adversarial_length: float = 0.3
    """Length of one move; for pgd."""

    adversarial_moves: int = 3
    """Moves of one attack; for pgd."""

    clip_norm: float = 5.0
    """Largest norm of the whole gradient; 0 leaves it unclipped."""

    precision: Precision = "auto"
    """Number format of matrix products; auto takes bf16 where the device computes it natively."""

    device: Literal["auto", "cpu"] = "auto"
    """auto takes a GPU when there is one."""

    validate_every: int = 1
    """Epochs from one validation to the next."""

    patience: int = 10
    """Validations without improvement before training stops; 0 never stops early."""

    monitor: str = "ndcg@10"
    """Validation figure that picks the best epoch; higher is better."""

    checkpoint_steps: int = 1000
    """Optimiser steps between checkpoints within an epoch; each epoch's end has one as well."""

    log_steps: int = 50
    """Optimiser steps between lines in metrics.jsonl."""

    seed: int = 0
    """Seeds initial weights, dropout, order, masks and negatives."""

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "accumulate", "adversarial_moves", "schedule_cycles", "validate_every")
        for name in (*counts, "checkpoint_steps", "log_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"train.{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("weight_decay", "warmup_steps", "average_steps", "clip_norm", "patience", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"train.{name} is {getattr(self, name)}; it cannot be negative.")
        for name in ("lr", "schedule_power", "adversarial_radius", "adversarial_length"):
            if not getattr(self, name) > 0:
                raise InputError(f"train.{name} is {getattr(self, name)}; it must be above 0.")
        if not 0 <= self.schedule_floor < 1:
            raise InputError(f"train.schedule_floor is {self.schedule_floor}; it must lie in [0, 1).")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"train.layer_decay is {self.layer_decay}; it must lie in (0, 1], as 0.9 does.")
        if not 0 < self.auxiliary_weight < 1:
            raise InputError(f"train.auxiliary_weight is {self.auxiliary_weight}; it must lie in (0, 1), as 0.8 does.")
        if self.average != "none" and not 1 <= self.average_from <= self.epochs:
            raise InputError(f"train.average_from is {self.average_from}; it must be one of epochs 1 to {self.epochs}.")
        if self.sparse_adam and self.adversarial != "none":
            raise InputError(
                "train.adversarial moves a whole table, train.sparse_adam touches only rows of one; leave one out."
            )
        if not 0 <= self.average_decay < 1:
            raise InputError(f"train.average_decay is {self.average_decay}; it must lie in [0, 1), as 0.999 does.")
