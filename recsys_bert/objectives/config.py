"""Settings of the objectives; no torch in here."""

from dataclasses import dataclass

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Distillation of a teacher into a student."""

    soft_weight: float = 0.5
    """Weight of the teacher's predictions in [0, 1]; the true targets have the rest."""

    temperature: float = 2.0
    """Divides both models' logits when predictions are compared."""

    hidden_weight: float = 1.0
    """Weight of the distance of hidden states; 0 = not compared."""

    layers: tuple[int, ...] = ()
    """Teacher's state for the student's embeddings and for each of its layers: 0 = the teacher's embeddings, -1 = none;
    empty = evenly spread."""

    def __post_init__(self) -> None:
        if not 0 <= self.soft_weight <= 1:
            raise InputError(f"distillation.soft_weight is {self.soft_weight}; it must lie in [0, 1].")
        if not self.temperature > 0:
            raise InputError(f"distillation.temperature is {self.temperature}; it must be above 0, as in 2.0.")
        if self.hidden_weight < 0:
            raise InputError(f"distillation.hidden_weight is {self.hidden_weight}; it cannot be negative.")
        if not self.soft_weight and not self.hidden_weight:
            raise InputError("distillation.soft_weight and hidden_weight are both 0; the teacher would teach nothing.")
        if not self.soft_weight and self.temperature != 2.0:
            raise InputError("distillation.temperature has no effect with soft_weight 0; leave it out.")
        if not self.hidden_weight and self.layers:
            raise InputError("distillation.layers has no effect with hidden_weight 0; leave it out.")
