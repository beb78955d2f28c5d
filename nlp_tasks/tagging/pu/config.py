"""Settings of positive-unlabelled learning from a dictionary. Plain values: importing this is instant."""

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PUConfig:
    """Positive-unlabelled learning from a dictionary and unlabelled text (https://aclanthology.org/P19-1231)."""

    dictionary: Path | None = None
    """File of ``entity<TAB>type`` lines. Labels of the training file are then ignored, and text outside of matches is
    unlabelled; nothing is held out, and without a validation file the last epoch is kept. None: the training file is
    fully annotated."""

    risk: Literal["biased", "unbiased", "non_negative"] = "non_negative"
    """biased: unmatched text is negative; unbiased and non_negative: see ``recsys_bert.positive_unlabelled.risk``."""

    priors: dict[str, float] = field(default_factory=dict)
    """Class priors: share of words (or characters) within entities, by type; the others are estimated. Unused by the
    biased risk."""

    weight: float = 1.0
    """Factor on the risk of matches."""

    correction: Literal["clip", "step_back"] = "clip"
    """non_negative, where the risk of negatives is below 0: clip it, or step back along its gradient."""

    tolerance: float = 0.0
    """Threshold below 0 at which that risk is corrected."""

    step_back: float = 1.0
    """Length of the step back as a share of an ordinary step, in [0, 1]."""

    memory: float = 0.9
    """Momentum of the running mean over batches on which that risk is judged, in [0, 1); 0 judges each batch alone."""

    warm_up: int = 1
    """First epochs with the biased risk on cross-entropy, since a bounded loss has flat gradients at random weights;
    fewer than train.epochs."""

    rounds: int = 1
    """Rounds of training from scratch; after each but the last, the dictionary grows by predictions on the training
    text. They end when nothing is added."""

    min_repeats: int = 3
    """Minimum number of predictions of an added entity."""

    agreement: float = 1.0
    """Minimum share of its occurrences that are predicted with its type."""

    min_score: float = 0.8
    """Minimum mean score of an added entity."""

    def __post_init__(self) -> None:
        if self.dictionary is None:
            if any(getattr(self, one.name) != _default(one) for one in fields(self)):
                raise InputError("settings of pu have no effect without a dictionary; set pu.dictionary.")
            return
        self._check_unread()
        for kind, prior in self.priors.items():
            if not 0 < prior < 1:
                raise InputError(
                    f"pu.priors: the prior of {kind!r} is {prior}; it must lie in (0, 1), such as 0.05. Leave the type "
                    "out to have it estimated."
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
            raise InputError(f"pu.memory is {self.memory}; it must lie in [0, 1).")

    def _check_unread(self) -> None:
        """Refuse settings of another risk, correction or number of rounds."""
        unread: dict[str, tuple[str, ...]] = {
            "rounds": ("min_repeats", "agreement", "min_score") if self.rounds == 1 else (),
            "risk": () if self.risk == "non_negative" else ("correction", "tolerance", "step_back", "memory"),
            "correction": () if self.correction == "step_back" else ("step_back",),
        }
        if self.risk == "biased":
            unread["risk"] += ("priors",)
        defaults = {one.name: _default(one) for one in fields(self)}
        for switch, names in unread.items():
            for name in names:
                if (value := getattr(self, name)) != defaults[name]:
                    raise InputError(f"pu.{name} is {value}, which pu.{switch} {getattr(self, switch)!r} does not use.")


def _default(one: "Field[Any]") -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()
