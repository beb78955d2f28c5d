"""Prediction of the last token from all before it, which see each other both ways.

With ``crop = "every"`` every prefix of a history is such a sequence, as in the training of BSARec
(https://arxiv.org/abs/2312.10325): positions are counted from the target and no layer has to be causal.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recsys_bert.encoder.batch import FEATURE
from recsys_bert.objectives.sequences import Bools, Ints, Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction


@dataclass(frozen=True, kw_only=True)
class LastItem:
    """Predict the last token of a history, or a token drawn from a text, at the token before it.

    Later tokens are left out, so that the query is the last token of the input, as at test time.
    """

    attention: ClassVar[str] = "bidirectional"
    appends_mask: ClassVar[bool] = False
    extra_events: ClassVar[int] = 1

    def make_batch(self, sequences: Sequences, table: TokenTable, random: np.random.Generator) -> dict[str, Any]:
        """Tokens before the target; a history whose last token may not be predicted has none. See ``Objective``."""
        rows = np.arange(len(sequences.tokens))
        predictable = sequences.predictable & (sequences.tokens >= table.first)
        predictable[:, 0] = False  # nothing stands before it
        end = sequences.lengths - 1 if sequences.open_ended else _draw(predictable, random)
        target = rows[predictable[rows, end]]
        last = end[target] - 1
        seq = int(end.max(initial=1))
        tokens = np.where(np.arange(seq) < np.maximum(end, 1)[:, None], sequences.tokens[:, :seq], 0)
        targets = sequences.tokens[target, end[target]]
        batch: dict[str, Any] = {"tokens": tokens, "positions": target * seq + last, "targets": targets}
        batch["n_targets"] = len(targets)
        for name, values in (("segments", sequences.segments), ("times", sequences.times)):
            batch |= {} if values is None else {name: values[:, :seq]}
        batch |= {f"{FEATURE}{name}": values[:, :seq] for name, values in sequences.features.items()}
        return batch | sequences.target_weights(target * sequences.tokens.shape[1] + end[target])

    def module(self, prediction: TokenPrediction) -> TokenPrediction:
        """Train the prediction itself."""
        return prediction


def _draw(predictable: Bools, random: np.random.Generator) -> Ints:
    """Draw one True of each row, ``[batch]``; 0 where there is none."""
    choice: Ints = np.where(predictable, random.random(predictable.shape), 0.0).argmax(axis=1)
    return choice
