"""SimCSE (https://arxiv.org/abs/2104.08821) on histories: a history under two dropouts is a positive pair."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys_bert.objectives.contrast.contrast import Contrasted, SameTarget
from recsys_bert.objectives.sequences import Ints, Sequences, TokenTable


@dataclass(frozen=True, kw_only=True)
class SimCSE(Contrasted):
    """Two readings of the same history.

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
        """The history twice. See ``Contrast``."""
        return histories, histories, np.arange(len(targets))
