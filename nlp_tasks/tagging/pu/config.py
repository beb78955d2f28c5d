"""Settings of learning entities from a dictionary. Plain values: importing this is instant."""

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PUConfig:
    """How a recogniser learns from a dictionary and text without labels (positive-unlabelled learning)."""

    dictionary: Path | None = None
    """File of ``entity<TAB>type`` lines. The training file is then read as text alone, whatever labels it has, and what
    is not in the dictionary may be an entity or not; nothing is held out of it, and without a validation file the last
    epoch is kept. None: every entity of the training file is marked."""

    risk: Literal["biased", "unbiased", "non_negative"] = "non_negative"
    """biased: unmatched text is no entity; unbiased and non_negative: see ``recsys_bert.positive_unlabelled.risk``."""

    priors: dict[str, float] = field(default_factory=dict)
    """Share of all units (characters or words) that lie within entities, by type; the others are estimated. Not used by
    the biased risk."""

    weight: float = 1.0
    """Factor on the risk of what is matched."""

    correction: Literal["clip", "step_back"] = "clip"
    """What non_negative does where the risk of negatives is below 0: learn from what is matched alone, or take a step
    back."""

    tolerance: float = 0.0
    """How far below 0 that risk may go before it is corrected."""

    step_back: float = 1.0
    """Length of the step back as a share of an ordinary one, in [0, 1]."""

    memory: float = 0.9
    """That risk is judged on a running mean over batches, which keeps this share a step, in [0, 1); 0 judges each batch
    alone."""

    warm_up: int = 1
    """Epochs with the biased risk on cross-entropy, whose gradients find a start where those of a bounded loss are
    flat; fewer than train.epochs."""

    rounds: int = 1
    """Trainings one after the other, each from the start; after each but the last, the dictionary grows by what was
    found in the training text. They end when nothing is added."""

    min_repeats: int = 3
    """Fewest places at which an entity is found to be added."""

    agreement: float = 1.0
    """Least share of the places at which its text stands where it is found, as the same type, to be added."""

    min_score: float = 0.8
    """Least mean score of an entity to be added."""

    def __post_init__(self) -> None:
        if self.dictionary is None:
            if any(getattr(self, one.name) != _default(one) for one in fields(self)):
                raise InputError("pu says how a dictionary is learned from; name it with pu.dictionary as well.")
            return
        for kind, prior in self.priors.items():
            if not 0 < prior < 1:
                raise InputError(
                    f"pu.priors: that of {kind!r} is {prior}; a share of units lies in (0, 1), as 0.05 does. Leave the "
                    "type out to have it estimated."
                )
        for name in ("weight", "min_repeats", "rounds"):
            if not getattr(self, name) > 0:
                raise InputError(f"pu.{name} is {getattr(self, name)}; it must be above 0.")
        for name in ("tolerance", "warm_up"):
            if getattr(self, name) < 0:
                raise InputError(f"pu.{name} is {getattr(self, name)}; it cannot be negative.")
        for name in ("step_back", "agreement", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"pu.{name} is {getattr(self, name)}; it must lie in [0, 1].")
        if not 0 <= self.memory < 1:
            raise InputError(f"pu.memory is {self.memory}; it must lie in [0, 1), for at 1 nothing new would count.")


def _default(one: "Field[Any]") -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()
