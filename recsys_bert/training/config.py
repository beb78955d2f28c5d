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

    row_updates: bool = False
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
        if self.row_updates and self.adversarial != "none":
            raise InputError(
                "train.adversarial moves a whole table, train.row_updates touches only rows of one; leave one out."
            )
        if not 0 <= self.average_decay < 1:
            raise InputError(f"train.average_decay is {self.average_decay}; it must lie in [0, 1), as 0.999 does.")


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """What a student takes from its teacher."""

    soft_weight: float = 0.5
    """Share of the teacher's predictions, against that of the true targets, in the loss of predictions; in [0, 1]."""

    temperature: float = 2.0
    """Divides both models' logits where predictions are compared."""

    hidden_weight: float = 1.0
    """Factor on the distance of hidden states, which is added; 0 leaves them alone."""

    layers: tuple[int, ...] = ()
    """Teacher's state for the student's embeddings and for each of its layers, 0 being the teacher's embeddings and -1
    none; empty spreads them evenly."""

    def __post_init__(self) -> None:
        if not 0 <= self.soft_weight <= 1:
            raise InputError(f"distillation.soft_weight is {self.soft_weight}; it must lie in [0, 1].")
        if not self.temperature > 0:
            raise InputError(f"distillation.temperature is {self.temperature}; it must be above 0, as in 2.0.")
        if self.hidden_weight < 0:
            raise InputError(f"distillation.hidden_weight is {self.hidden_weight}; it cannot be negative.")
        if not self.soft_weight and not self.hidden_weight:
            raise InputError("distillation.soft_weight and hidden_weight are both 0; the teacher would teach nothing.")


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How a history is corrupted for masked-item training."""

    mask_prob: float = 0.2
    """Share of real positions to predict, in (0, 1)."""

    last_only_prob: float = 0.1
    """Share of histories in which only the last position is masked, as at test time."""

    span_prob: float = 0.0
    """Share of histories whose masks are runs of neighbouring positions."""

    span_length: float = 3.0
    """Mean length of such a run in positions; lengths are geometric."""

    ngram_prob: float = 0.0
    """Share of histories whose masks are runs of at most ``ngram_max`` positions, short ones more often than long."""

    ngram_max: int = 3
    """Longest such run; one of n positions is drawn in proportion to 1 / n."""

    replace_prob: float = 0.1
    """Share of predicted positions that show a random item in place of the mask; drawn per position."""

    keep_prob: float = 0.1
    """Share of predicted positions that keep their item; drawn per position."""

    def __post_init__(self) -> None:
        if not 0 < self.mask_prob < 1:
            raise InputError(f"masking.mask_prob is {self.mask_prob}; it must lie between 0 and 1, both excluded.")
        for names in (("last_only_prob", "span_prob", "ngram_prob"), ("replace_prob", "keep_prob")):
            shares = [getattr(self, name) for name in names]
            if min(shares) < 0 or sum(shares) > 1:
                told = " + ".join(f"masking.{name}" for name in names), " + ".join(map(str, shares))
                raise InputError(f"{told[0]} is {told[1]}; each ≥ 0, sum ≤ 1.")
        for name in ("span_length", "ngram_max"):
            if getattr(self, name) < 1:
                raise InputError(f"masking.{name} is {getattr(self, name)}; a run has at least 1 position.")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """How a predicted vector is compared with the item table."""

    name: Literal["full", "sampled", "gbce"] = "full"
    """Cross-entropy over the whole catalogue, over sampled items with logQ, or generalised binary cross-entropy."""

    negatives: int = 256
    """Items drawn per history and shared by its positions, for sampled and gbce."""

    negative_power: float = 0.0
    """Negatives are drawn in proportion to training count to this power; 0 is uniform."""

    similarity: Literal["dot", "cosine"] = "dot"
    """Plain inner product, or cosine divided by the temperature."""

    temperature: float = 0.06
    """Divides the cosine; not used by dot."""

    calibration: float = 0.75
    """gBCE's t in [0, 1]; 0 is plain binary cross-entropy."""

    chunk: int = 512
    """Positions scored at a time by the full cross-entropy; bounds its memory at chunk × catalogue floats."""

    def __post_init__(self) -> None:
        if self.negatives < 1 or self.chunk < 1:
            raise InputError(f"loss.negatives is {self.negatives}, loss.chunk {self.chunk}; both must be at least 1.")
        if not self.temperature > 0:
            raise InputError(f"loss.temperature is {self.temperature}; it must be above 0, as in 0.06.")
        if not 0 <= self.calibration <= 1:
            raise InputError(f"loss.calibration is {self.calibration}; it must lie in [0, 1].")
