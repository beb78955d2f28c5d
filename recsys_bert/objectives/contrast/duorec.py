"""DuoRec (https://arxiv.org/abs/2110.05730): histories that lead to the same item are a positive pair."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys_bert.objectives.contrast.contrast import Contrasted, SameTarget
from recsys_bert.objectives.sequences import Ints, Sequences, TokenTable


@dataclass(frozen=True, kw_only=True)
class DuoRec(Contrasted):
    """A history, and one drawn from all that came before the same item; at times itself, under another dropout.

    Histories of a batch with the same next item are no negatives of each other.

    Args:
        weight: Weight of the loss, against 1 for the objective's.
        temperature: Divides cosines.
    """

    needs_dropout: ClassVar[bool] = True

    def views(
        self,
        histories: Sequences,
        targets: Ints,
        table: TokenTable,
        same_target: SameTarget,
        random: np.random.Generator,
    ) -> tuple[Sequences, Sequences, Ints]:
        """The history and one with its target. See ``Contrast``."""
        return histories, same_target(targets, random), targets
