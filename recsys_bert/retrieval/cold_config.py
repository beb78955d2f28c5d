"""Settings of item vectors by text neighbours. Plain values: importing this is instant."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ColdItemsConfig:
    """Vectors of items that a model was not trained on: the mean of the learned vectors of their text neighbours."""

    neighbours: int = 10
    """Nearest trained items by text whose learned vectors are averaged."""

    weighting: Literal["equal", "similarity"] = "similarity"
    """Weights of that mean: all alike, or by their similarity (cosine of the text vectors)."""

    length: float = 1.0
    """Length of these vectors against the usual one, the median of trained items; below 1 they are listed less."""

    least_events: int = 1
    """Items with fewer training events are cold: they get their vector from neighbours, and are nobody's neighbour."""

    shrinkage: float = 0.0
    """Items of the log with n training events keep n / (n + shrinkage) of their learned vector and get the rest from
    their neighbours, where above 0: few events say little. 0 leaves trained items alone."""

    def __post_init__(self) -> None:
        if not 0 <= self.shrinkage < float("inf"):
            raise InputError(f"shrinkage is {self.shrinkage}; it is a number of events, 0 at least.")
        if self.neighbours < 1 or self.least_events < 1:
            raise InputError(
                f"neighbours is {self.neighbours} and least_events {self.least_events}; both are at least 1."
            )
        if not 0 < self.length < float("inf"):
            raise InputError(f"length is {self.length}; it must be above 0.")
        if self.weighting not in ("equal", "similarity"):
            raise InputError(f"weighting is {self.weighting!r}; known are equal and similarity.")
