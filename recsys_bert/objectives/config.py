"""Settings of the objectives; no torch in here."""

from dataclasses import dataclass

from recsys_bert.errors import InputError


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
