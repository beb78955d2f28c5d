"""Settings of the two towers; no torch in here."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig, NegativesConfig

TOWERS_LOSS = LossConfig(name="sampled", similarity="cosine", negatives=NegativesConfig(in_batch=64, uniform=64))
"""Loss of two towers by default: softmax over mixed negatives, corrected by logQ."""


@dataclass(frozen=True, kw_only=True)
class TowersConfig:
    """Features of the two towers."""

    item_features: tuple[str, ...] = ()
    """Item features of the item tower, added to the item's embedding: categories through an MLP, numbers and vectors
    each through an adapter."""

    user_features: tuple[str, ...] = ()
    """User features of the user tower, added to the history's vector, likewise."""

    adapter: Literal["linear", "mlp"] = "linear"
    """Map from the numbers of a dense feature to the width of the embeddings: linear, or an MLP ``hidden`` wide."""

    hidden: int = 128
    """Width inside the MLP over features."""

    dropout: float = 0.1
    """Probability in [0, 1) inside those MLPs."""

    id_dropout: float = 0.0
    """Probability of masking an item's embedding in training, so that features alone make a vector; above 0 for
    catalogues with new items."""

    def __post_init__(self) -> None:
        for name in ("dropout", "id_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"towers.{name} is {getattr(self, name)}; it must lie in [0, 1).")
        for name in ("item_features", "user_features"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise InputError(f"towers.{name} are {', '.join(getattr(self, name))}: name each once.")
        if self.hidden < 1:
            raise InputError(f"towers.hidden is {self.hidden}; it must be at least 1.")

    def check_used(self, dense: Collection[str]) -> None:
        """Refuse settings of MLPs and adapters that these features have not.

        Args:
            dense: Names of the log's features that are numbers or vectors.

        Raises:
            InputError: One is set.
        """
        names = {*self.item_features, *self.user_features}
        if names and self.adapter != "linear" and not names & set(dense):
            raise InputError(f"towers.adapter is {self.adapter!r}, but none of {', '.join(sorted(names))} is numbers.")
        if names and names <= set(dense):
            unused = ("dropout", "hidden") if self.adapter == "linear" else ("dropout",)
            for name in unused:
                if getattr(self, name) != getattr(TowersConfig, name):
                    raise InputError(
                        f"towers.{name} is {getattr(self, name)}, but {', '.join(sorted(names))} are numbers, whose "
                        f"{self.adapter} adapter has none. Leave it out."
                    )
