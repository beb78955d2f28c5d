"""Settings of the two towers; no torch in here."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TowersConfig:
    """What the two towers read and how they meet."""

    item_features: tuple[str, ...] = ()
    """Item features that the item tower reads beside the item's own embedding."""

    user_features: tuple[str, ...] = ()
    """User features that the user tower reads beside the history."""

    hidden: int = 128
    """Width inside the MLP over features."""

    dropout: float = 0.1
    """Probability in [0, 1) inside those MLPs."""

    id_dropout: float = 0.0
    """Probability of hiding an item's own embedding in training, so that features alone make a vector; above 0 for
    catalogues with new items."""

    similarity: Literal["cosine", "dot"] = "cosine"
    """Unit-length vectors divided by the temperature, or plain inner product."""

    temperature: float = 0.06
    """Divides the cosine; not used by dot."""

    loss: Literal["mixed", "full"] = "mixed"
    """Softmax over in-batch and uniform negatives, or over the whole catalogue."""

    in_batch: int = 64
    """Negatives per history drawn from the targets of its batch, that is, by popularity; for mixed."""

    uniform: int = 64
    """Negatives per history drawn uniformly; for mixed."""

    log_q: bool = True
    """Correct for how often each item is drawn; for mixed."""

    mask_history_hits: bool = False
    """Leave out negatives that the same user has anywhere in the history shown; for mixed."""

    hard_negatives: int = 0
    """Negatives per user mined from the item index; for mixed."""

    refresh_steps: int = 500
    """Optimiser steps from one mining to the next; the first is after as many."""

    skip_top: int = 0
    """Nearest items passed over when mining, since they may be what comes next."""

    def __post_init__(self) -> None:
        for name in ("dropout", "id_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"towers.{name} is {getattr(self, name)}; it must lie in [0, 1).")
        for name in ("item_features", "user_features"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InputError(f"towers.{name} are {', '.join(getattr(self, name))}: name each once.")
        if self.id_dropout and not self.item_features:
            raise InputError(
                "towers.id_dropout hides an item's own embedding; name towers.item_features, or set it to 0."
            )
        for name in ("in_batch", "uniform", "hard_negatives", "skip_top"):
            if getattr(self, name) < 0:
                raise InputError(f"towers.{name} is {getattr(self, name)}; it cannot be negative.")
        if self.hidden < 1 or self.refresh_steps < 1 or not self.temperature > 0:
            raise InputError(
                f"towers.hidden is {self.hidden}, refresh_steps {self.refresh_steps}, temperature {self.temperature}; "
                "all must be above 0."
            )
        if self.loss == "mixed" and self.in_batch + self.uniform < 1:
            raise InputError("towers.in_batch and towers.uniform are both 0; the mixed loss needs negatives.")
        if self.loss == "full" and (self.hard_negatives or self.mask_history_hits):
            raise InputError(
                "towers.hard_negatives and towers.mask_history_hits are for the mixed loss; the full one scores all."
            )
