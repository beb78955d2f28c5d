"""The contract of an objective, and how one is built by its name."""

from typing import Any, Protocol

import numpy as np
from torch import nn

from recsys_bert.encoder.config import Attention
from recsys_bert.encoder.parts import Options, build
from recsys_bert.objectives import OBJECTIVES
from recsys_bert.objectives.sequences import Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction


class Objective(Protocol):
    """Pretraining objective; its options are keyword-only arguments of the constructor."""

    attention: Attention
    """Attention that the encoder needs."""

    appends_mask: bool
    """Query at test time: True appends a mask to the history and reads the output there, False reads the last one."""

    extra_events: int
    """Events of a history beyond the encoder's ``max_len`` that a batch is made of."""

    def make_batch(self, sequences: Sequences, table: TokenTable, random: np.random.Generator) -> dict[str, Any]:
        """Inputs and targets of a batch of sequences.

        Returns:
            ``tokens [batch, seq]``, ``positions [n]`` of predicted positions in the flattened batch, ``targets [n]``
            rows to predict there, ``n_targets``; ``segments`` and ``times`` ``[batch, seq]`` if ``sequences`` has them;
            and what else the module reads, one row a sequence.
        """

    def module(self, prediction: TokenPrediction) -> nn.Module:
        """Module to train, an ``ObjectiveModule`` whose ``forward(batch)`` gives the loss; often ``prediction``."""


def build_objective(name: str, options: Options) -> Objective:
    """Build an objective by its name in ``OBJECTIVES``, or ``module:Class``.

    Raises:
        InputError: No such objective, an unknown option, or a value that is not allowed.
    """
    objective: Objective = build("objective", name, OBJECTIVES, options=options)
    return objective
