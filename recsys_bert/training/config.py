"""Settings of the one training loop; no torch in here."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError


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

    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Course of the learning rate after the warm-up: flat, or falling to zero by the last epoch."""

    warmup_steps: int = 0
    """Optimiser steps over which the learning rate climbs from zero."""

    clip_norm: float = 5.0
    """Largest norm of the whole gradient; 0 leaves it unclipped."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
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
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "checkpoint_steps", "log_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"train.{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("weight_decay", "warmup_steps", "clip_norm", "patience", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"train.{name} is {getattr(self, name)}; it cannot be negative.")
        if not self.lr > 0:
            raise InputError(f"train.lr is {self.lr}; it must be above 0, as in 0.001.")


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

    replace_prob: float = 0.1
    """Share of predicted positions that show a random item in place of the mask; drawn per position."""

    keep_prob: float = 0.1
    """Share of predicted positions that keep their item; drawn per position."""

    def __post_init__(self) -> None:
        if not 0 < self.mask_prob < 1:
            raise InputError(f"masking.mask_prob is {self.mask_prob}; it must lie between 0 and 1, both excluded.")
        for first, second in (("last_only_prob", "span_prob"), ("replace_prob", "keep_prob")):
            shares = getattr(self, first), getattr(self, second)
            if min(shares) < 0 or sum(shares) > 1:
                raise InputError(f"masking.{first} + masking.{second} is {shares[0]} + {shares[1]}; both ≥ 0, sum ≤ 1.")
        if self.span_length < 1:
            raise InputError(f"masking.span_length is {self.span_length}; a run has at least 1 position.")


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
