"""Settings of a search for settings. Plain values: importing this is instant."""

import os
from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """Settings of a search."""

    trials: int = 50
    """Trials in all, over all processes and calls on one folder; 0 = no limit."""

    hours: float = 0.0
    """Wall time of this call: no trial begins after it, and one is stopped at its next validation, for the next call to
    go on with; 0 = no limit."""

    sampler: Literal["tpe", "random"] = "tpe"
    """Choice of the next trial: tree-structured Parzen estimator (https://arxiv.org/abs/2304.11127), or at random."""

    startup_trials: int = 10
    """Trials drawn at random before TPE models the results."""

    pruner: Literal["median", "hyperband", "none"] = "median"
    """Early end of trials: median = below the median of the others at that epoch, once five (or ``startup_trials``, if
    fewer) are complete; hyperband = successive halving at several rates (https://arxiv.org/abs/1603.06560)."""

    recipe_first: bool = True
    """Try the recipe's own settings first, where they lie in the space."""

    retries: int = 2
    """Attempts at a trial whose process was killed, beside the first; it goes on where it stopped."""

    seed: int = 0
    """Seed of the sampler; trainings have the recipe's own."""

    def __post_init__(self) -> None:
        for name in ("trials", "hours", "retries", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it cannot be negative.")
        if self.startup_trials < 1:
            raise InputError(f"startup_trials is {self.startup_trials}; it must be at least 1.")
        if not self.trials and not self.hours:
            raise InputError("trials and hours are both 0, which never ends; limit one of them.")
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise InputError("tune trains in one process; start it several times on one folder, without torchrun.")
