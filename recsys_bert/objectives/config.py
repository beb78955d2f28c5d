"""Settings of the objectives; no torch in here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

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

    def replaces_targets(self, teacher: Path | None) -> bool:
        """True if the teacher's predictions replace the true targets."""
        return teacher is not None and self.soft_weight == 1

    def check_beside(self, teacher: Path | None, losses: Mapping[str, object]) -> None:
        """Refuse settings without a teacher, and losses of true targets beside one that replaces them.

        Args:
            teacher: The teacher, if there is one.
            losses: Further losses of true targets by their setting; true where they are set.

        Raises:
            InputError: There is one.
        """
        if teacher is None and self != DistillationConfig():
            raise InputError("distillation needs a teacher; give teacher as well.")
        if self.replaces_targets(teacher) and (unread := [name for name, is_set in losses.items() if is_set]):
            raise InputError(f"{unread[0]} adds to the loss of true targets; distillation.soft_weight 1 drops it.")

    def check_named_beside(self, teacher: Path | None, names: Iterable[str]) -> None:
        """Refuse settings that are named, though they be defaults, without a teacher.

        Args:
            teacher: The teacher, if there is one.
            names: All settings that were named.

        Raises:
            InputError: There is one.
        """
        if teacher is None and (unread := [name for name in names if name.startswith("distillation.")]):
            raise InputError(f"{min(unread)} has no effect without a teacher; give teacher as well.")
